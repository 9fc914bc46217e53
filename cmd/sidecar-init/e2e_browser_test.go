//go:build linux

package main

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browse runs a browser on a page, without a window, and returns what it prints.
func browse(t *testing.T, url string, args ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds; -short is set")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed (Debian package chromium)")
	}
	args = append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=8000",
	}, args...)
	cmd := exec.Command(browser, append(args, url)...)
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return string(out)
}

// TestDashboardBrowser: in a real browser the page has the daemons, and a script in a log line stays text.
func TestDashboardBrowser(t *testing.T) {
	t.Parallel()
	s, socket := controlled(t, call{place: subreaper, program: shipped(), bundle: services(
		daemon("web", `print "<script>document.title='owned'</script><img src=x onerror=alert(1)>"; block`), daemon("worker", "print up; exit 3"))})
	s.match(`\[web\] <script>.*`)
	s.expect(exited("worker", "3"))
	p := serve(t, socket)
	for view, want := range map[string][]string{
		"daemons":  {">web</button>", `class="good">running</td>`, `class="bad">not well: worker (exited)</p>`, `class="off">exited</td>`},
		"log":      {"&lt;script&gt;document.title='owned'&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"},
		"events":   {"worker exited with code 3", "web started"},
		"jobs":     {"there are no jobs"},
		"timeline": {`src="/api/timeline.svg?at=`},
		"reload":   {"nothing: the files say what runs"},
	} {
		dom := browse(t, p.url+"#view="+view+"&daemon=web", "--dump-dom")
		for _, text := range want {
			if !strings.Contains(dom, text) {
				t.Errorf("%s: there is no %s in\n%s", view, text, dom)
			}
		}
		if strings.Contains(dom, "<title>owned") {
			t.Errorf("%s: a line of the log was run", view)
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(3)
}

// TestDashboardOfMany: the page has a thousand daemons, and its process stays below 20 MB.
func TestDashboardOfMany(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range 1000 { // which wait for what never comes, so that there are no thousand processes
		fmt.Fprintf(&b, "  d%d: { command: [testdaemon, block], depends_on: { gate: { condition: service_healthy } } }\n", i)
	}
	b.WriteString("  gate: { command: [testdaemon, block], x-sidecar-init: { ready: { log: never } } }\n")
	s, socket := controlled(t, call{place: subreaper, program: shipped(), bundle: b.String(), forget: "sidecar-init: d"})
	s.expect("sidecar-init: starting gate")
	p := serve(t, socket)
	dom := browse(t, p.url, "--dump-dom")
	for _, name := range []string{"gate", "d0", "d500", "d999"} {
		if !strings.Contains(dom, ">"+name+"</button>") {
			t.Errorf("there is no %s", name)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "RssAnon:")
	line, _, _ = strings.Cut(line, " kB")
	kb, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the process of the page has %d kB of its own", kb)
	if kb > 20_000 {
		t.Errorf("the process of the page has %d kB, want at most 20 MB", kb)
	}
	s.signal(syscall.SIGTERM)
	s.wait()
}

// TestDashboardPictures: the example shows itself, on a phone and on a screen. With -update the pictures in docs/ are those.
func TestDashboardPictures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser takes seconds; -short is set")
	}
	s, _ := example(t, "dashboard", nil, []string{"SIDECAR_INIT_CONTROL=" + filepath.Join(openDir(t), "s")}, "sh")
	s.expect("sidecar-init: dashboard is ready")
	s.match(`sidecar-init: worker exited with code 3; restarting.*`)
	for width, height := range map[int]int{360: 740, 1280: 340} {
		file := filepath.Join(t.TempDir(), "page.png")
		browse(t, "http://127.0.0.1:8400/", "--screenshot="+file, fmt.Sprintf("--window-size=%d,%d", width, height))
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := picture.Bounds().Size(); got != (image.Point{X: width, Y: height}) {
			t.Errorf("the picture has %v, want %d × %d", got, width, height)
		}
		if n := colors(picture); n < 5 {
			t.Errorf("there are %d colors in the picture of %d: it shows nothing", n, width)
		}
		if *update {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(fmt.Sprintf("../../docs/dashboard-%d.png", width), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	s.signal(syscall.SIGTERM)
	s.wait() // with 0 or 3: the worker may be dead just now
}

// colors is how many a picture has.
func colors(p image.Image) int {
	seen := map[[3]uint32]bool{}
	for y := range p.Bounds().Dy() {
		for x := range p.Bounds().Dx() {
			r, g, b, _ := p.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}
