package setup

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A primed is what a process says of itself after Process.
type primed struct {
	PID, UID    int
	Warnings    []string
	Environ     []string // as returned by Process
	OSEnviron   []string
	ProcEnviron string // without zeros
	Cmdline     string
	Comm        string
	Threads     string
	MaxProcs    int
	Subreaper   bool
	Child       inspection // by a process that it started
	ChildStatus map[string]string
}

// An inspection is what can be known of a process without /proc.
type inspection struct {
	Mask bool // something is blocked
	FDs  []int
	Env  []string
}

func primedRole() {
	var r primed
	var exposed string
	if r.Environ, r.Warnings, exposed = Process(); exposed != "" {
		r.Warnings = append(r.Warnings, exposed)
	}
	Take()
	r.PID, r.UID = os.Getpid(), os.Getuid()
	r.OSEnviron = os.Environ()
	environ, _ := os.ReadFile("/proc/self/environ")
	r.ProcEnviron = string(bytes.Trim(environ, "\x00"))
	cmdline, _ := os.ReadFile("/proc/self/cmdline")
	r.Cmdline = string(cmdline)
	r.Comm = status("/proc/self/status")["Name"]
	r.Threads = status("/proc/self/status")["Threads"]
	r.MaxProcs = runtime.GOMAXPROCS(0)
	var subreaper int32
	must(unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(pointer(&subreaper)), 0, 0, 0))
	r.Subreaper = subreaper != 0

	done := make(chan struct{})
	go func() { // never on the main thread
		defer close(done)
		path := self
		if _, err := os.Stat(path); err != nil {
			path = "/tmp/program"
		}
		cmd := exec.Command(path, "inspect")
		cmd.Env = []string{"GORACE=" + noRaceSleep}
		if out, err := cmd.Output(); err == nil {
			must(json.Unmarshal(out, &r.Child))
		}
		if out, err := exec.Command("/bin/cat", "/proc/self/status").Output(); err == nil {
			r.ChildStatus = parseStatus(out)
		}
	}()
	<-done
	fmt.Println(encode(r))
}

func inspectRole() {
	var r inspection
	var mask, none unix.Sigset_t
	must(unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask))
	r.Mask = mask != none
	for fd := range 1024 {
		// What the Go runtime has opened is close-on-exec, what was inherited cannot be.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			r.FDs = append(r.FDs, fd)
		}
	}
	r.Env = os.Environ()
	fmt.Println(encode(r))
}

func status(name string) map[string]string {
	data, _ := os.ReadFile(name)
	return parseStatus(data)
}

func parseStatus(data []byte) map[string]string {
	m := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":")
		m[key] = strings.TrimSpace(value)
	}
	return m
}

func allSignals() (all []int) {
	for sig := 1; sig <= 64; sig++ {
		if sig != int(unix.SIGKILL) && sig != int(unix.SIGSTOP) {
			all = append(all, sig)
		}
	}
	return all
}

const noSignal = "0000000000000000"

var secrets = []string{"EGRESS_TOKEN_A=hunter2", "EMPTY=", "LONG=" + strings.Repeat("hunter2", 2000), "SSL_CERT_FILE=/certs"}

func TestProcess(t *testing.T) {
	tests := []struct {
		name   string
		params launchParams
	}{
		{"clean", launchParams{}},
		{"all blocked", launchParams{Block: allSignals()}},
		{"some blocked", launchParams{Block: []int{int(unix.SIGTERM), 64}}},
		{"all ignored", launchParams{Ignore: allSignals()}},
		{"all of it", launchParams{Block: allSignals(), Ignore: allSignals(), Open: []int{9, 10, 200, 1000}, Name: "odd) 1 2 (name"}},
		{"descriptors", launchParams{Open: []int{3, 4, 5, 6, 7, 8, 9, 10, 64, 200, 1000}}},
		{"stdin and stderr closed", launchParams{Close: []int{0, 2}, Open: []int{9}}},
	}
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					if tt.params.Name == "" {
						tt.params.Name = self
					}
					var got primed
					p.run(t, secrets, "launch", tt.params, &got)
					if len(got.Warnings) > 0 {
						t.Errorf("warnings: %q", got.Warnings)
					}
					for _, key := range []string{"SigBlk", "SigIgn", "SigCgt"} {
						if v := got.ChildStatus[key]; v != noSignal {
							t.Errorf("a child has %s %s", key, v)
						}
					}
					if want := []int{0, 1, 2}; got.Child.Mask || !slices.Equal(got.Child.FDs, want) {
						t.Errorf("a child has %+v, want descriptors %v", got.Child, want)
					}
					if !slices.Equal(got.Environ[2:], secrets) {
						t.Errorf("got environment %.200q, want %.200q", got.Environ[2:], secrets)
					}
					if want := []string{"SSL_CERT_FILE=/certs"}; !slices.Equal(got.OSEnviron, want) {
						t.Errorf("os.Environ is %q, want %q", got.OSEnviron, want)
					}
					if got.ProcEnviron != "" {
						t.Errorf("/proc/self/environ has %.200q", got.ProcEnviron)
					}
					if want := tt.params.Name + "\x00primed\x00\x00"; got.Cmdline != want {
						t.Errorf("/proc/self/cmdline is %q, want %q", got.Cmdline, want)
					}
					if want := got.PID != 1; got.Subreaper != want {
						t.Errorf("subreaper is %t, want %t", got.Subreaper, want)
					}
					if got.MaxProcs > 2 {
						t.Errorf("GOMAXPROCS is %d", got.MaxProcs)
					}
				})
			}
		})
	}
}

// After it was executed once more, the process still has the name that operators look for.
func TestNameSurvivesReexec(t *testing.T) {
	dir, err := os.MkdirTemp("", "setup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	link := dir + "/supervisor"
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(exe, link); err != nil {
		t.Skipf("cannot make a second name for the test binary: %v", err)
	}
	var got primed
	place{"by name", func(_ string, args ...string) *exec.Cmd { return exec.Command(link, args...) }, func(testing.TB) {}}.
		run(t, nil, "launch", launchParams{Block: []int{int(unix.SIGUSR1)}, Name: link}, &got)
	if got.Comm != "supervisor" {
		t.Errorf("the process is named %q, want supervisor", got.Comm)
	}
}

// What does not depend on /proc works without it, and the rest says so.
func TestProcessWithoutProc(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to hide /proc")
	}
	tests := []struct {
		name     string
		params   launchParams
		warnings []string // their beginnings
		blocked  bool
	}{
		{"hidden", launchParams{HideProc: true, Open: []int{9}}, []string{"private variables"}, false},
		{
			"bare, as an unknown user",
			launchParams{Bare: true, UID: 12345, Block: allSignals(), Ignore: allSignals(), Open: []int{9}},
			[]string{"private variables"},
			false,
		},
		{
			"nothing to execute",
			launchParams{Bare: true, Block: []int{int(unix.SIGUSR1)}, ByDescriptor: true},
			[]string{"signals that were blocked", "private variables"},
			true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.params.Name = self
			var got primed
			pid1.run(t, secrets, "launch", tt.params, &got)
			t.Logf("%q", got.Warnings)
			if !slices.EqualFunc(got.Warnings, tt.warnings, strings.HasPrefix) {
				t.Errorf("got warnings %q, want %q", got.Warnings, tt.warnings)
			}
			for _, w := range got.Warnings {
				if strings.Contains(w, "\n") || strings.Contains(w, "hunter2") {
					t.Errorf("bad warning %q", w)
				}
			}
			if got.UID != tt.params.UID {
				t.Errorf("uid %d, want %d", got.UID, tt.params.UID)
			}
			if !slices.Equal(got.Environ[2:], secrets) {
				t.Errorf("got environment %.200q, want %.200q", got.Environ[2:], secrets)
			}
			if tt.params.Bare {
				if want := []int{0, 1, 2}; got.Child.Mask != tt.blocked || !slices.Equal(got.Child.FDs, want) {
					t.Errorf("a child has %+v, want descriptors %v, blocked %t", got.Child, want, tt.blocked)
				}
			}
		})
	}
}

// The limits that are meant for daemons do not act on the supervisor, and GOMAXPROCS can only make it smaller.
func TestGoVariables(t *testing.T) {
	for _, tt := range []struct {
		env                []string
		procs, mostThreads int
	}{
		{[]string{"GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=1B"}, 1, 16},
		{[]string{"GOMAXPROCS=100"}, 2, 20}, // with 1000 the runtime has collected garbage, and made threads for it, before any code of ours
	} {
		var got primed
		plain.run(t, tt.env, "primed", nil, &got)
		if got.MaxProcs > tt.procs || len(got.Environ) != 2+len(tt.env) {
			t.Errorf("%v: got GOMAXPROCS %d and environment %q", tt.env, got.MaxProcs, got.Environ)
		}
		if threads, err := strconv.Atoi(got.Threads); err != nil || threads > tt.mostThreads {
			t.Errorf("%v: got %s threads, want at most %d", tt.env, got.Threads, tt.mostThreads)
		}
	}
}
