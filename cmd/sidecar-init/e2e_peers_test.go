//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// verbs are what is asked, with the least control that it takes. SELF is the daemon to which the process that asks belongs.
var verbs = []struct {
	verb  string
	least bundle.Control
}{
	{"healthy", bundle.ControlNone},
	{"status SELF", bundle.ControlNone},
	{"wait --timeout 5s SELF", bundle.ControlNone}, // a judgement can take a second
	{"status", bundle.ControlRead},
	{"status victim", bundle.ControlRead},
	{"status SELF victim", bundle.ControlRead},
	{"wait --timeout 5s victim", bundle.ControlRead},
	{"wait --timeout 5s SELF victim", bundle.ControlRead},
	{"logs -n 1", bundle.ControlRead},
	{"logs -n 1 victim", bundle.ControlRead},
	{"events", bundle.ControlRead},
	{"job ls", bundle.ControlRead},
	{"job runs job", bundle.ControlRead},
	{"logs -n 1 private", bundle.ControlFull},
	{"logs -n 1 victim private", bundle.ControlFull},
	{"reload --dry-run", bundle.ControlFull},
	{"signal WINCH victim", bundle.ControlFull},
	{"start victim", bundle.ControlFull},
	{"stop victim", bundle.ControlFull},
	{"restart victim", bundle.ControlFull},
	{"add SELF-dev -- sleep 1000", bundle.ControlFull},
	{"remove victim", bundle.ControlFull},
	{"job run job", bundle.ControlFull},
	{"job cancel job", bundle.ControlFull},
	{"job pause job", bundle.ControlFull},
	{"job resume job", bundle.ControlFull},
}

// askScript asks for everything as one role of a daemon, and leaves the exit codes in a file.
const askScript = `
export SIDECAR_INIT_CONTROL=%[1]s
out=%[2]s/$1.$2
[ -e $out ] && exit
while read -r verb; do
	%[3]s $verb >>$out.log 2>&1 </dev/null
	echo "$? $verb" >>$out.part
done <<END
%[4]s
END
mv $out.part $out`

// TestPeers: what each process of a daemon may ask is what its service may, whatever way it was started by; who has left his
// parents may do the least that a service may, and who comes from outside everything.
func TestPeers(t *testing.T) {
	t.Parallel()
	places := []place{asRoot, asNobody, subreaper}
	controls := []bundle.Control{bundle.ControlNone, bundle.ControlRead, bundle.ControlFull}
	if testing.Short() { // each question is a process: an emulated machine would take minutes
		places, controls = places[:1], controls[:1]
	}
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.require(t)
			testPeers(t, p, controls)
		})
	}
}

func testPeers(t *testing.T, p place, controls []bundle.Control) {
	dir := openDir(t)
	socket := filepath.Join(dir, "s")
	roles := []string{"child", "grandchild", "orphan", "hook", "probe"}
	all := []string{
		daemon("victim", "block", "x-sidecar-init: { kill_mode: process }"),
		daemon("private", "block", `x-sidecar-init: { private_env: ["TOKEN_*"] }`),
	}
	for _, control := range controls {
		own := "x-sidecar-init: { control: " + string(control) + " }"
		name := "d-" + string(control)
		var text strings.Builder
		for _, v := range verbs {
			fmt.Fprintln(&text, strings.ReplaceAll(v.verb, "SELF", name))
		}
		ask := filepath.Join(dir, name+".sh")
		write(t, ask, fmt.Sprintf(askScript, socket, dir, shipped(), strings.TrimSpace(text.String())))
		main := fmt.Sprintf(`sh %[1]s %[2]s child; sh -c "sh -c 'sh %[1]s %[2]s grandchild; :'; :"; (setsid sh %[3]s/orphan.sh %[1]s %[2]s &); exec sleep 1000`, ask, name, dir)
		all = append(all, fmt.Sprintf("  %s:\n    command: [/bin/sh, -c, %s]\n    %s\n    post_start: [ { command: [/bin/sh, %s, %s, hook] } ]\n    healthcheck: { test: [CMD, /bin/sh, %s, %s, probe], interval: 1s, timeout: 1m }\n",
			name, strconv.Quote(main), own, ask, name, ask, name))
		for i, v := range verbs { // the main process itself, which asks as soon as it runs
			if strings.HasPrefix(v.verb, "healthy") || strings.Contains(v.verb, "-dev") {
				continue
			}
			self := fmt.Sprintf("m-%s-%d", control, i)
			argv := shipped() + " " + strings.ReplaceAll(v.verb, "SELF", self) // Compose splits it into words
			all = append(all, fmt.Sprintf("  %s:\n    command: %q\n    environment: { SIDECAR_INIT_CONTROL: %s }\n    depends_on: [victim, private]\n    %s\n", self, argv, socket, own))
		}
	}
	if p.name == asRoot.name {
		all = append(all, fmt.Sprintf("  foreign:\n    command: %q\n    user: \"65534:65534\"\n    environment: { SIDECAR_INIT_CONTROL: %s }\n", shipped()+" healthy", socket))
	}
	write(t, filepath.Join(dir, "orphan.sh"), `while read -r _ _ _ parent _ </proc/$$/stat; [ "$parent" != "$TOP" ]; do TOP=${TOP:-$(cat `+dir+`/top)}; sleep 0.01; done; sh $1 $2 orphan`)
	s := start(t, call{
		place: p, env: []string{"SIDECAR_INIT_CONTROL=" + socket},
		bundle: "x-sidecar-init: { transient: {} }\n" + services(all...) + "jobs:\n  job: { command: [/bin/true], triggers: { manual: true } }\n",
	})
	top := "1"
	if p.name == subreaper.name {
		top = strconv.Itoa(s.cmd.Process.Pid)
	}
	write(t, filepath.Join(dir, "top"), top)

	for _, control := range controls {
		for _, role := range roles {
			file := filepath.Join(dir, "d-"+string(control)+"."+role)
			eventually(t, file, func() bool { _, err := os.Lstat(file); return err == nil })
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			may, self := control, control
			if role == "orphan" {
				may, self = bundle.ControlNone, bundle.ControlRead // it has no daemon of its own
			}
			lines := strings.Split(strings.TrimSpace(string(got)), "\n")
			if len(lines) != len(verbs) {
				t.Errorf("%s: %d answers", file, len(lines))
				continue
			}
			for i, v := range verbs {
				least := v.least
				if strings.Contains(v.verb, "SELF") && least == bundle.ControlNone && role == "orphan" {
					least = self
				}
				refused := strings.HasPrefix(lines[i], strconv.Itoa(exitControl)+" ")
				if want := may.Less(least); refused != want {
					t.Errorf("%s of %s: refused: got %v, want %v: %s", role, control, refused, want, lines[i])
				}
			}
		}
	}
	c := client.New(socket)
	ctx := context.Background()
	for _, control := range controls {
		for i, v := range verbs {
			self := fmt.Sprintf("m-%s-%d", control, i)
			var d []client.Daemon
			var err error
			if strings.HasPrefix(v.verb, "healthy") || strings.Contains(v.verb, "-dev") {
				continue
			}
			eventually(t, self+" has ended", func() bool {
				d, err = c.Daemons(ctx, self)
				return err == nil && d[0].LastExit != nil
			})
			refused := d[0].LastExit.Code != nil && *d[0].LastExit.Code == exitControl
			if want := control.Less(v.least); refused != want {
				t.Errorf("%s, the main process, %s: got %s, want refused: %v\n%s", v.verb, control, d[0].LastExit, want, s.output())
			}
		}
	}
	if p.name == asRoot.name {
		if d, err := c.Daemons(ctx, "foreign"); err != nil || d[0].LastExit.String() != strconv.Itoa(exitNoSupervisor) {
			t.Errorf("another user: got %+v, %v", d, err)
		}
		testOutsider(t, s, socket)
	}
	s.signal(syscall.SIGTERM)
	<-s.ended // its code is the largest of all
}

// testOutsider asks as docker exec does: by a process of the container that nobody in it has started.
func testOutsider(t *testing.T, s *supervisor, socket string) {
	enter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Skip("there is no nsenter")
	}
	for _, verb := range []string{"status", "logs -n 1 private", "signal WINCH victim", "reload --dry-run"} {
		args := append([]string{"-t", strconv.Itoa(s.cmd.Process.Pid), "-p", "-m", shipped()}, strings.Fields(verb)...)
		cmd := exec.Command(enter, append(args, "--control", socket)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s from outside: %v: %s", verb, err, out)
		}
	}
}

// TestPeersMessage: what a process is told that may not ask, who may not read what is private, and that a reload counts from the
// next request on, without a restart.
func TestPeersMessage(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	dir := openDir(t)
	file, socket := filepath.Join(dir, "bundle.yaml"), filepath.Join(dir, "s")
	text := func(control string) string {
		loop := fmt.Sprintf(`while read -r verb; do %s $verb --control %s; echo "code $?"; done <%s/fifo`, shipped(), socket, dir)
		return services(
			fmt.Sprintf("  web:\n    command: [/bin/sh, -c, %s]\n    x-sidecar-init: { control: %s }\n", strings.ReplaceAll(strconv.Quote(loop), "$", "$$"), control),
			daemon("crash", "print excerpt-private; exit 3", `x-sidecar-init: { private_env: ["TOKEN_*"] }`),
			daemon("open", "print excerpt-open; exit 4"),
		)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, file, text("none"))
	s := start(t, call{args: []string{"run", "-f", file}, env: []string{"SIDECAR_INIT_CONTROL=" + socket}})
	fifo, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	ask := func(verb string) { fmt.Fprintln(fifo, verb) }
	c := client.New(socket)
	ctx := context.Background()
	reload := func(control string) {
		t.Helper()
		write(t, file, text(control))
		answer, err := c.Reload(ctx, client.ReloadOptions{})
		if err != nil || fmt.Sprint(answer.Steps) != "[{web update [control]}]" {
			t.Errorf("reload: %+v, %v", answer, err)
		}
	}
	eventually(t, "there is a control socket", func() bool { _, err := os.Lstat(socket); return err == nil })
	if _, err := c.Wait(ctx, client.Exited, "crash", "open"); err != nil {
		t.Fatal(err)
	}

	ask("stop open")
	s.expect("[web] sidecar-init: this process belongs to web, whose control is none: see x-sidecar-init.control", "[web] code 77")
	reload("read")
	ask("restart open")
	s.expect("[web] sidecar-init: this process belongs to web, whose control is read: see x-sidecar-init.control", "[web] code 77")
	ask("events --format json")
	s.expect("[web] code 0")
	ask("logs --lines 1")
	s.expect("[web] code 0")
	ask("logs crash")
	s.expect("[web] sidecar-init: what crash writes may be private, and is for those whose control is full: see x-sidecar-init.control", "[web] code 77")
	own := func(text string) (n int) {
		for _, line := range s.log() {
			if strings.HasPrefix(line, "[web]") && strings.Contains(line, text) {
				n++
			}
		}
		return n
	}
	if got := own("excerpt-private"); got != 0 {
		t.Errorf("what is private was seen %d times", got)
	}
	if got := own("excerpt-open"); got != 2 { // in an event, and in the log
		t.Errorf("what is not was seen %d times, want 2", got)
	}
	reload("full")
	ask("events --format json")
	s.expect("[web] code 0")
	if own("excerpt-private") == 0 {
		t.Error("what is private is not seen with full")
	}
	d, err := c.Daemons(ctx, "web")
	if err != nil || d[0].Starts != 1 {
		t.Errorf("got %+v, %v: it was restarted", d, err)
	}
	s.signal(syscall.SIGTERM)
	<-s.ended
}

// TestControlBehindWall: where a file says nothing, who is behind a wall may ask for nothing, and who is not for everything.
func TestControlBehindWall(t *testing.T) {
	t.Parallel()
	if kernel.Landlock() < 2 {
		t.Skip("the kernel has no Landlock")
	}
	dir := openDir(t)
	socket := filepath.Join(dir, "s")
	asks := func(name, more string) string {
		return fmt.Sprintf("  %s:\n    command: %q\n    environment: { SIDECAR_INIT_CONTROL: %s }\n%s", name, shipped()+" status", socket, more)
	}
	s := start(t, call{
		env: []string{"SIDECAR_INIT_CONTROL=" + socket},
		bundle: services(daemon("owner", "block", `x-sidecar-init: { private_env: ["TOKEN_*"] }`),
			asks("walled", ""), asks("outside", "    x-sidecar-init: { walls: off }\n")),
	})
	s.expect("[walled] sidecar-init: this process belongs to walled, whose control is none: see x-sidecar-init.control")
	s.match(`\[outside\] outside +running .*`)
	s.signal(syscall.SIGTERM)
	s.wait()
}
