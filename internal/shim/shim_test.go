package shim

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

func TestMain(m *testing.M) {
	Main()
	testproc.Main()
	os.Exit(m.Run())
}

// run runs the program of spec and returns what it prints.
func run(t testing.TB, spec *child.Spec) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e := child.Exec{Shim: Prepare, Output: func(*child.Spec) (child.Output, error) {
		return child.Output{Stdout: w, Stderr: w, Started: func() { w.Close() }}, nil
	}}
	p, err := e.Spawn(spec)
	if err != nil {
		return "", err
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if exit := p.Wait(); exit.Failed() {
		t.Errorf("it ended with %v: %s", exit, out)
	}
	p.Release(true)
	return string(out), nil
}

// status runs a program with attr as user, and returns the lines of its /proc/self/status.
func status(t *testing.T, user string, attr *child.Attr) map[string]string {
	t.Helper()
	out, err := run(t, &child.Spec{Program: child.Program{Argv: []string{"/bin/cat", "/proc/self/status"}, User: user, Attr: attr}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, ":")
		got[name] = strings.Join(strings.Fields(value), " ")
	}
	return got
}

func hex(s capSet) string { return fmt.Sprintf("%016x", uint64(s)) }

// TestCapabilities reads back what the kernel says of daemons.
func TestCapabilities(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has capabilities")
	}
	was, err := current()
	if err != nil {
		t.Fatal(err)
	}
	// What is ignored here is so without the shim too: GNU make starts its children with signal 32 ignored.
	ignored := status(t, "", nil)["SigIgn"]
	raw, kill, bind := of(unix.CAP_NET_RAW), of(unix.CAP_KILL), of(unix.CAP_NET_BIND_SERVICE)
	for _, tt := range []struct {
		name               string
		user               string
		attr               child.Attr
		bnd, eff, inh, amb capSet
		noNewPrivs         string
		uid, gid           string
	}{
		{name: "nothing to do", bnd: was.bounding, eff: was.bounding},
		{name: "drop one", attr: child.Attr{CapDrop: []string{"NET_RAW"}}, bnd: was.bounding &^ raw, eff: was.bounding &^ raw},
		{name: "drop all", attr: child.Attr{CapDrop: []string{"ALL"}}},
		{name: "drop all, add two", attr: child.Attr{CapDrop: []string{"ALL"}, CapAdd: []string{"KILL", "NET_RAW"}}, bnd: raw | kill, eff: raw | kill},
		{name: "add all, drop one", attr: child.Attr{CapAdd: []string{"ALL"}, CapDrop: []string{"KILL"}}, bnd: was.bounding &^ kill, eff: was.bounding &^ kill},
		{
			name: "drop all with no-new-privileges", attr: child.Attr{CapDrop: []string{"ALL"}, CapAdd: []string{"KILL"}, NoNewPrivileges: true},
			bnd: kill, eff: kill, noNewPrivs: "1",
		},
		{name: "no-new-privileges", attr: child.Attr{NoNewPrivileges: true}, bnd: was.bounding, eff: was.bounding, noNewPrivs: "1"},
		{
			name: "user", user: "4242:4343", attr: child.Attr{NoNewPrivileges: true}, bnd: was.bounding, noNewPrivs: "1",
			uid: "4242 4242 4242 4242", gid: "4343 4343 4343 4343",
		},
		{
			name: "user, drop all", user: "4242:4343", attr: child.Attr{CapDrop: []string{"ALL"}},
			uid: "4242 4242 4242 4242", gid: "4343 4343 4343 4343",
		},
		{
			name: "user, add one", user: "4242:4343", attr: child.Attr{CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}},
			bnd: bind, eff: bind, inh: bind, amb: bind,
			uid: "4242 4242 4242 4242", gid: "4343 4343 4343 4343",
		},
		{
			name: "user, add one, no-new-privileges", user: "4242:4343",
			attr: child.Attr{CapAdd: []string{"NET_BIND_SERVICE"}, NoNewPrivileges: true},
			bnd:  was.bounding, eff: bind, inh: bind, amb: bind, noNewPrivs: "1",
			uid: "4242 4242 4242 4242", gid: "4343 4343 4343 4343",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := map[string]string{
				"CapBnd": hex(tt.bnd), "CapPrm": hex(tt.eff), "CapEff": hex(tt.eff), "CapInh": hex(tt.inh), "CapAmb": hex(tt.amb),
				"NoNewPrivs": "0", "Uid": "0 0 0 0", "Gid": "0 0 0 0", "Groups": "", "SigBlk": hex(0), "SigIgn": ignored,
			}
			if tt.noNewPrivs != "" {
				want["NoNewPrivs"] = tt.noNewPrivs
			}
			if tt.user != "" {
				want["Uid"], want["Gid"] = tt.uid, tt.gid
			} else {
				delete(want, "Groups") // ours
			}
			got := status(t, tt.user, &tt.attr)
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("%s: got %s, want %s", name, got[name], want[name])
				}
			}
		})
	}
}

// TestUnprivileged: without privileges what only takes away works.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() == 0 {
		cmd := exec.Command(self, "-test.run=^(TestUnprivileged|TestFailures|TestAttributes)$", "-test.v")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "TMPDIR=/tmp", "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("as nobody: %v\n%s", err, out)
		}
		return
	}
	got := status(t, "", &child.Attr{CapDrop: []string{"ALL"}})
	if got["CapEff"] != hex(0) || got["CapPrm"] != hex(0) || got["NoNewPrivs"] != "1" {
		t.Errorf("got %v, want no capability now and later", got)
	}
	_, err := run(t, &child.Spec{Program: child.Program{Argv: []string{"/bin/true"}, Attr: &child.Attr{CapAdd: []string{"NET_RAW"}}}})
	if got, want := text(err), "cannot add capabilities that the supervisor does not have: NET_RAW"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = run(t, &child.Spec{Program: child.Program{Argv: []string{"/bin/true"}, User: "4242", Attr: &child.Attr{NoNewPrivileges: true}}})
	if got, want := text(err), "/bin/true as user 4242: operation not permitted"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAttributes(t *testing.T) {
	score, umask := 321, 0o27
	attr := &child.Attr{
		Umask: &umask, CPUs: []int{0},
		Rlimits: []child.Rlimit{
			{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: 100, Hard: 200},
			{Name: "core", Resource: unix.RLIMIT_CORE, Soft: 0, Hard: 0},
			{Name: "nproc", Resource: unix.RLIMIT_NPROC, Soft: 4000, Hard: 5000},
			{Name: "as", Resource: unix.RLIMIT_AS, Soft: 1 << 30, Hard: -1},
			{Name: "data", Resource: unix.RLIMIT_DATA, Soft: 1 << 20, Hard: 1 << 30},
			{Name: "stack", Resource: unix.RLIMIT_STACK, Soft: 1 << 20, Hard: 1 << 30},
		},
		OOMScoreAdj: &score,
		PIDVariable: "WATCHDOG_PID",
	}
	dir := t.TempDir()
	script := `cat /proc/self/limits /proc/self/oom_score_adj; echo "$0 $1"; echo "$A $WATCHDOG_PID $$"; pwd; cat <&5; umask; grep Cpus_allowed_list /proc/self/status`
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "from 5")
	w.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outR.Close()
	e := child.Exec{Shim: Prepare, Output: func(*child.Spec) (child.Output, error) {
		return child.Output{Stdout: outW, Stderr: outW, Extra: []*os.File{nil, nil, r}, Started: func() { outW.Close(); r.Close() }}, nil
	}}
	p, err := e.Spawn(&child.Spec{
		Program: child.Program{
			Argv: []string{"sh", "-c", script, "zero", "one\xff"}, Dir: dir, Attr: attr,
			Env: []string{"A=\xfe", "PATH=/usr/bin:/bin", "A=\xff", "WATCHDOG_PID=1", "GOMEMLIMIT=nonsense", "GODEBUG=inittrace=1"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(outR)
	if err != nil {
		t.Fatal(err)
	}
	if exit := p.Wait(); exit.Failed() {
		t.Errorf("it ended with %v", exit)
	}
	p.Release(true)
	squeezed := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"Max open files 100 200 files", "Max core file size 0 0 bytes", "Max processes 4000 5000 processes",
		fmt.Sprintf("Max address space %d unlimited bytes", 1<<30), fmt.Sprintf("Max data size %d %d bytes", 1<<20, 1<<30),
		fmt.Sprintf("Max stack size %d %d bytes", 1<<20, 1<<30), " 321 ", "zero one\xff",
		fmt.Sprintf("\xff %d %[1]d %s from 5", p.PID(), dir), "0027 Cpus_allowed_list: 0",
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestNothingElse: what is not asked for is what it is without a shim: limits, though the Go runtime of the shim has raised
// that of files, and descriptors.
func TestNothingElse(t *testing.T) {
	look := func(attr *child.Attr) string {
		out, err := run(t, &child.Spec{Program: child.Program{Argv: []string{"/bin/sh", "-c", "cat /proc/self/limits; umask; ls /proc/self/fd"}, Attr: attr}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if with, without := look(&child.Attr{NoNewPrivileges: true}), look(nil); with != without {
		t.Errorf("with a shim:\n%s\nwithout:\n%s", with, without)
	}
}

// TestFailures: what cannot be done is told as it would be without a shim.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/no/such\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	const hard int64 = 1 << 40
	for _, tt := range []struct {
		spec child.Spec
		attr child.Attr
		want string // "" is what is said without a shim
	}{
		{spec: child.Spec{Program: child.Program{Argv: []string{"/no/such"}}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{"no-such"}}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{"/"}}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{plain}}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{script}}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{text}}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{"/bin/true", "\x00"}}}, want: "its attributes: invalid argument"},
		{spec: child.Spec{Program: child.Program{Argv: []string{"/bin/true"}, Dir: "/no/such"}}},
		{spec: child.Spec{Program: child.Program{Argv: []string{"/bin/true"}, Dir: plain}}},
		{
			spec: child.Spec{Program: child.Program{Argv: []string{"/bin/true"}}}, attr: child.Attr{CapAdd: []string{"FLY"}},
			want: `its attributes: there is no capability "FLY"`,
		},
		{
			spec: child.Spec{Program: child.Program{Argv: []string{"/bin/true"}}},
			attr: child.Attr{Rlimits: []child.Rlimit{{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: hard, Hard: hard}}},
			want: fmt.Sprintf("ulimit nofile %d:%[1]d: operation not permitted", hard),
		},
		{
			spec: child.Spec{Program: child.Program{Argv: []string{"/bin/true"}}},
			attr: child.Attr{Rlimits: []child.Rlimit{{Name: "core", Resource: unix.RLIMIT_CORE, Soft: 2, Hard: 1}}},
			want: "ulimit core 2:1: invalid argument",
		},
	} {
		code := 126
		if tt.want == "" {
			spec := tt.spec
			_, err := child.Exec{}.Spawn(&spec)
			if err == nil {
				t.Fatalf("%q: it starts", spec.Argv)
			}
			tt.want, code = err.Error(), err.(*child.StartError).Code
		}
		tt.attr.NoNewPrivileges = true
		tt.spec.Attr = &tt.attr
		_, err := run(t, &tt.spec)
		if err == nil || err.Error() != tt.want || err.(*child.StartError).Code != code {
			t.Errorf("%q: got %v, want %s (%d)", tt.spec.Argv, err, tt.want, code)
		}
	}
	if children := zombies(t); children != "" {
		t.Errorf("left behind: %s", children)
	}
}

// zombies are our children that have ended and were not waited for.
func zombies(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid,stat,args", "--ppid", fmt.Sprint(os.Getpid())).Output()
	if err != nil {
		return ""
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "<defunct>") {
			left = append(left, line)
		}
	}
	return strings.Join(left, "")
}

// TestNotForUsers: the word is no command.
func TestNotForUsers(t *testing.T) {
	for _, tt := range []struct {
		arg, want string
		code      int
	}{
		{arg: "x", want: "sidecar-init: __exec is for sidecar-init itself\n", code: 64},
		{arg: "1", want: "sidecar-init: __exec is for sidecar-init itself\n", code: 64},
		{arg: "77", code: 126},
	} {
		cmd := exec.Command(self, word, tt.arg)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run() // the exit code says it
		if got := out.String(); got != tt.want || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("%s: got %q, code %d, want %q, code %d", tt.arg, got, cmd.ProcessState.ExitCode(), tt.want, tt.code)
		}
	}
}

func BenchmarkSpawn(b *testing.B) {
	for _, bb := range []struct {
		name string
		attr *child.Attr
	}{{"plain", nil}, {"shim", &child.Attr{NoNewPrivileges: true}}} {
		b.Run(bb.name, func(b *testing.B) {
			e := child.Exec{Shim: Prepare}
			for b.Loop() {
				p, err := e.Spawn(&child.Spec{Program: child.Program{Argv: []string{"/bin/true"}, Attr: bb.attr}})
				if err != nil {
					b.Fatal(err)
				}
				p.Wait()
				p.Release(false)
			}
		})
	}
}
