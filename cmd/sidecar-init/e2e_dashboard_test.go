//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
)

// A page is a dashboard that runs.
type page struct {
	t          *testing.T
	cmd        *exec.Cmd
	url, token string
}

// serve starts a dashboard for the supervisor at that socket.
func serve(t *testing.T, socket string, args ...string) *page {
	t.Helper()
	if len(args) == 0 || args[0] != "--listen" {
		args = append([]string{"--listen", "127.0.0.1:0"}, args...)
	}
	p := &page{t: t, cmd: exec.Command(shipped(), append([]string{"dashboard", "--control", socket}, args...)...)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the dashboard: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "dashboard: ")
	if !ok {
		t.Fatalf("got %q", line)
	}
	p.url, p.token, _ = strings.Cut(url, "?token=")
	return p
}

// ask makes a request, and returns the status and the body.
func (p *page) ask(method, path string, change func(*http.Request)) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(body)
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

func token(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Sidecar-Init-Token", value) }
}

// TestDashboard: what the page may read and change, for whom, and what is refused.
func TestDashboard(t *testing.T) {
	t.Parallel()
	s, socket := controlled(t, call{place: subreaper, program: shipped(), bundle: services(
		daemon("web", "print '<script>alert(1)</script>'; block"), daemon("worker", "print up; block"))})
	s.expect("[web] <script>alert(1)</script>", "[worker] up")

	reads := serve(t, socket, "--host", "dash.example")
	resp, body := reads.ask("GET", "", nil)
	if resp.StatusCode != 200 || !strings.Contains(body, "<title>sidecar-init</title>") {
		t.Errorf("the page: got %d, %s", resp.StatusCode, body)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self';", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
	} {
		if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	_, port, err := net.SplitHostPort(strings.Trim(strings.TrimPrefix(reads.url, "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	for name, status := range map[string]int{
		"localhost:" + port: 200, "dash.example": 200, "dash.example:" + port: 200, "evil.example": 403, "evil.example:" + port: 403, "127.0.0.1:1": 403,
	} {
		if resp, _ := reads.ask("GET", "api/state", host(name)); resp.StatusCode != status {
			t.Errorf("host %s: got %d, want %d", name, resp.StatusCode, status)
		}
	}
	var state struct {
		Daemons []client.Daemon `json:"daemons"`
		Actions bool            `json:"actions"`
	}
	_, body = reads.ask("GET", "api/state", nil)
	if err := json.Unmarshal([]byte(body), &state); err != nil || len(state.Daemons) != 2 || state.Actions {
		t.Errorf("the state: got %v, %s", err, body)
	}
	for path, want := range map[string]string{"api/timeline.svg": "<svg ", "api/plan": `"unchanged":2`, "script.js": "use strict", "style.css": "prefers-color-scheme"} {
		if resp, body := reads.ask("GET", path, nil); resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: got %d, %.200s", path, resp.StatusCode, body)
		}
	}
	if resp, body := reads.ask("POST", "api/daemons/web/restart", token("x")); resp.StatusCode != 403 || !strings.Contains(body, "for reading only") {
		t.Errorf("an action: got %d, %s", resp.StatusCode, body)
	}
	if resp, _ := reads.ask("GET", "api/logs/nobody", nil); resp.StatusCode != 404 {
		t.Errorf("the log of nobody: got %d", resp.StatusCode)
	}

	acts := serve(t, socket, "--actions")
	for name, change := range map[string]func(*http.Request){
		"no token": nil, "a wrong one": token("x"), "only in the URL": func(r *http.Request) { r.URL.RawQuery = "token=" + acts.token },
		"from another site": func(r *http.Request) { token(acts.token)(r); r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		if resp, _ := acts.ask("POST", "api/daemons/web/restart", change); resp.StatusCode != 403 {
			t.Errorf("%s: got %d", name, resp.StatusCode)
		}
	}
	if resp, _ := acts.ask("GET", "api/daemons/web/restart", token(acts.token)); resp.StatusCode == 200 {
		t.Error("a GET has done something")
	}
	if resp, body := acts.ask("POST", "api/daemons/worker/restart", token(acts.token)); resp.StatusCode != 200 || !strings.Contains(body, `"restarts":1`) {
		t.Errorf("with the token: got %d, %s", resp.StatusCode, body)
	}
	s.match(`sidecar-init: worker restarted \(pid \d+\)`)

	open := serve(t, socket, "--listen", "0.0.0.0:0", "--host", "localhost")
	open.url = strings.Replace(open.url, "0.0.0.0", "localhost", 1)
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"no token": {nil, 403}, "a wrong one": {token("x"), 403}, "the token": {token(open.token), 200}, "in the URL": {func(r *http.Request) { r.URL.RawQuery = "token=" + open.token }, 200},
		"a cookie": {func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "sidecar-init-token", Value: open.token}) }, 200},
	} {
		for _, path := range []string{"", "api/state"} {
			if resp, _ := open.ask("GET", path, tt.change); resp.StatusCode != tt.status {
				t.Errorf("on all addresses, %s: %q: got %d, want %d", name, path, resp.StatusCode, tt.status)
			}
		}
	}

	// The stream ends with the supervisor, and what is asked then is answered that there is none.
	resp, err = http.Get(reads.url + "api/logs/web")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, `\u003cscript\u003e`) {
		t.Errorf("the log: got %q, %v", line, err)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
	if _, err := io.ReadAll(lines); err != nil {
		t.Error(err)
	}
	if resp, body := reads.ask("GET", "api/state", nil); resp.StatusCode != 502 || !strings.Contains(body, "no supervisor answers") {
		t.Errorf("without a supervisor: got %d, %s", resp.StatusCode, body)
	}

	out, err := exec.Command(shipped(), "dashboard", "--listen", "127.0.0.1:"+port).CombinedOutput()
	if err == nil || err.Error() != "exit status 1" || !strings.Contains(string(out), "cannot listen at 127.0.0.1:"+port+": ") {
		t.Errorf("a port in use: got %v, %s", err, out)
	}
}
