//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

// The end-to-end tests run the whole program: this test binary, which is sidecar-init when that is its name. It
// is PID 1 of a new namespace, as root and as nobody, or a subreaper. Its daemons are testdaemon, built without the race
// detector since there are hundreds of them.

func TestMain(m *testing.M) {
	pidns.Main()
	testproc.Main()
	if len(os.Args) > 1 && os.Args[1] == hostileWord {
		hostile(os.Args[2])
		return
	}
	if os.Args[0] == stageName {
		panic(stage(os.Args[1], os.Args[2], os.Args[3:]))
	}
	testscript.Main(suite{m}, map[string]func(){"sidecar-init": main})
}

// noAtexitSleep is for the programs that are this binary: with the race detector each would sleep for 1 s at its end.
const noAtexitSleep = "GORACE=atexit_sleep_ms=0"

// suite removes what the tests have built, and the daemons of supervisors that a failed test has killed: the test process is
// the subreaper, so these are its children then.
type suite struct{ *testing.M }

func (s suite) Run() int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "daemons of failed tests will be left:", err)
	}
	testproc.Unignore()
	code := s.M.Run()
	for begin := time.Now(); time.Since(begin) < 10*time.Second; {
		files, _ := filepath.Glob("/proc/self/task/*/children")
		for _, file := range files {
			pids, _ := os.ReadFile(file)
			for _, pid := range strings.Fields(string(pids)) {
				n, _ := strconv.Atoi(pid)
				syscall.Kill(n, syscall.SIGKILL)
			}
		}
		if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
			break
		}
	}
	if built != "" {
		os.RemoveAll(built)
	}
	return code
}

var built string // a directory

// prebuilt names a directory with testdaemon and sidecar-init, for a machine that has no Go.
var prebuilt = os.Getenv("SIDECAR_INIT_TOOLS")

// tools is a directory with testdaemon, which every user can execute.
var tools = sync.OnceValue(func() string {
	if prebuilt != "" {
		return prebuilt
	}
	dir, err := os.MkdirTemp("", "sidecar-init-e2e-")
	if err != nil {
		panic(err)
	}
	built = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	build(filepath.Join(dir, "testdaemon"), "../../internal/testproc/cmd/testdaemon")
	return dir
})

// shipped is sidecar-init as it is shipped, for what is to be measured: with the race detector even its exit takes time, and
// how it is compiled and linked is half of its size.
var shipped = sync.OnceValue(func() string {
	exe := filepath.Join(tools(), "sidecar-init")
	if prebuilt != "" {
		return exe
	}
	cmd := exec.Command("make", "-C", "../..", "build", "BIN="+exe)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	return exe
})

func build(exe, pkg string) {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", exe, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
}

// A place is where the supervisor runs.
type place struct {
	name    string
	command func(name string, args ...string) *exec.Cmd
	require func(t testing.TB)
}

var (
	asRoot    = place{"PID1", pidns.Self.Command, pidns.Self.Require}
	asNobody  = place{"PID1 as nobody", pidns.Nobody.Command, pidns.Nobody.Require}
	subreaper = place{"subreaper", ordinary, func(testing.TB) {}}
)

func ordinary(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// sample is all of the cases for root, and the first for others: they differ in what they may do, not in what they do.
func (p place) sample(sigs ...syscall.Signal) []syscall.Signal {
	if p.name == asRoot.name {
		return sigs
	}
	return sigs[:1]
}

// everywhere runs a test in all places.
func everywhere(t *testing.T, f func(t *testing.T, p place)) {
	t.Parallel()
	for _, p := range []place{asRoot, asNobody, subreaper} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.require(t)
			f(t, p)
		})
	}
}

// stageName is the name of this binary when it is to do something, and then to become another program.
const stageName = "sidecar-init-stage"

// daemon is a service of a Compose file: a testdaemon with a script, and more keys.
func daemon(name, script string, keys ...string) string {
	// What Go quotes is YAML too, and a dollar would begin a variable.
	s := fmt.Sprintf("  %s:\n    command: [testdaemon, %s]\n", name, strings.ReplaceAll(strconv.Quote(script), "$", "$$"))
	for _, k := range keys {
		s += "    " + k + "\n"
	}
	return s
}

// services is a Compose file.
func services(daemons ...string) string { return "services:\n" + strings.Join(daemons, "") }

// routed is a Compose file with signal routes.
func routed(signals string, daemons ...string) string {
	return "x-sidecar-init: { signals: { " + signals + " } }\n" + services(daemons...)
}

// openDir is a temporary directory that all users can use, unlike that of testing.
func openDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sidecar-init-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A call is how the supervisor is started.
type call struct {
	place   place
	bundle  string // a Compose file
	args    []string
	env     []string
	program string   // instead of this test binary
	stage   string   // what the process does before it becomes the supervisor
	prefix  []string // of an argument list of testdaemon, by which that becomes the supervisor
	stdin   *os.File
	stdout  *os.File // nil: it is read line by line
	adapt   func(*exec.Cmd)
	forget  string // lines that begin so are not kept: there are too many
}

// A supervisor is one that was started.
type supervisor struct {
	t      *testing.T
	cmd    *exec.Cmd
	ended  chan struct{}
	at     time.Time     // of the end
	eof    chan struct{} // of its standard output
	errEOF chan struct{} // of its standard error
	mu     sync.Mutex
	more   chan struct{} // closed and replaced at each line
	lines  []string
	seen   []bool // by expect
	stderr strings.Builder
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

// start starts a supervisor.
func start(t *testing.T, c call) *supervisor {
	t.Helper()
	args := c.args
	if c.bundle != "" {
		file := filepath.Join(openDir(t), "compose.yaml")
		if err := os.WriteFile(file, []byte(c.bundle), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"run", "-f", file}, args...)
	}
	exe, argv := "/proc/self/exe", append([]string{"sidecar-init"}, args...)
	if c.program != "" {
		exe = c.program
	}
	if c.stage != "" {
		argv = append([]string{stageName, c.stage, exe}, argv...)
		exe = "/proc/self/exe"
	}
	if c.prefix != nil {
		argv = slices.Concat(c.prefix, []string{exe}, argv)
		exe = filepath.Join(tools(), "testdaemon")
	}
	if c.place.command == nil {
		c.place = asRoot
		c.place.require(t)
	}
	cmd := c.place.command(exe, argv[1:]...)
	// The program's argv[0] is that of the test; pidns has put more in front.
	cmd.Args[len(cmd.Args)-len(argv)] = argv[0]
	cmd.Env = append([]string{"PATH=" + tools() + ":/usr/bin:/bin", "SIDECAR_INIT_CONTROL=off", noAtexitSleep}, c.env...)
	cmd.Stdin = c.stdin
	s := &supervisor{t: t, cmd: cmd, ended: make(chan struct{}), eof: make(chan struct{}), errEOF: make(chan struct{}), more: make(chan struct{})}
	// Only files: os/exec would wait for the end of the output of whoever holds it.
	errR, errW := pipe(t)
	cmd.Stdout, cmd.Stderr = c.stdout, errW
	if c.stdout == nil {
		outR, outW := pipe(t)
		defer outW.Close()
		cmd.Stdout = outW
		go s.read(outR, func(line string) { // until the end of the output
			if c.forget == "" || !strings.HasPrefix(line, c.forget) {
				s.add(line)
			}
		}, s.eof)
	} else {
		close(s.eof)
	}
	go s.read(errR, func(line string) { s.stderr.WriteString(line + "\n") }, s.errEOF) // the same
	if c.adapt != nil {
		c.adapt(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	errW.Close()
	go func() { // until the supervisor ends
		cmd.Wait()
		s.at = time.Now()
		close(s.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-s.ended
		if t.Failed() {
			select { // its last words, such as those of a panic, are on their way
			case <-s.errEOF:
			case <-time.After(time.Second): // somebody else holds it
			}
			t.Logf("%v; output:\n%s", cmd.ProcessState, s.output())
		}
	})
	return s
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// read hands on the lines of r, the last one also if it has no newline.
func (s *supervisor) read(r io.Reader, each func(string), eof chan struct{}) {
	var rest []byte
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b)
		rest = append(rest, b[:n]...)
		s.mu.Lock()
		for i := slices.Index(rest, '\n'); i >= 0; i = slices.Index(rest, '\n') {
			each(string(rest[:i]))
			rest = rest[i+1:]
		}
		if err != nil && len(rest) > 0 {
			each(string(rest) + "<no newline>")
		}
		s.mu.Unlock()
		if err != nil {
			if eof != nil {
				close(eof)
			}
			return
		}
	}
}

func (s *supervisor) add(line string) {
	s.lines = append(s.lines, line)
	s.seen = append(s.seen, false)
	close(s.more)
	s.more = make(chan struct{})
}

// log is the lines so far.
func (s *supervisor) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// output is all that was printed so far.
func (s *supervisor) output() string {
	lines := s.log()
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(append(lines, s.stderr.String()), "\n")
}

// find waits for a line that was not found before, and that fits; it returns its index.
func (s *supervisor) find(what string, fits func(string) bool) int {
	s.t.Helper()
	timeout := time.After(patience)
	ended := false
	for from := 0; ; {
		s.mu.Lock()
		for ; from < len(s.lines); from++ {
			if !s.seen[from] && fits(s.lines[from]) {
				s.seen[from] = true
				s.mu.Unlock()
				return from
			}
		}
		more := s.more
		s.mu.Unlock()
		if ended {
			s.t.Fatalf("no line %s before the end of the output", what)
		}
		select {
		case <-more:
		case <-s.eof:
			ended = true // look once more
		case <-timeout:
			s.t.Fatalf("no line %s within %v", what, patience)
		}
	}
}

// expect waits for each of these lines, in whatever order they come.
func (s *supervisor) expect(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		s.find(strconv.Quote(line), func(l string) bool { return l == line })
	}
}

// match waits for a line that is the regular expression, and returns its submatches.
func (s *supervisor) match(pattern string) []string {
	s.t.Helper()
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	i := s.find("like "+pattern, re.MatchString)
	return re.FindStringSubmatch(s.log()[i])[1:]
}

// count returns how many lines so far are the regular expression.
func (s *supervisor) count(pattern string) (n int) {
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	for _, l := range s.log() {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}

// never fails the test if a line so far is the regular expression.
func (s *supervisor) never(pattern string) {
	s.t.Helper()
	if n := s.count(pattern); n > 0 {
		s.t.Errorf("%d lines are like %s", n, pattern)
	}
}

// signal sends signals to the supervisor, and returns when.
func (s *supervisor) signal(sigs ...syscall.Signal) time.Time {
	s.t.Helper()
	at := time.Now()
	for _, sig := range sigs {
		if err := s.cmd.Process.Signal(sig); err != nil {
			s.t.Fatalf("%v: %v", sig, err)
		}
	}
	return at
}

// wait waits for the end of the supervisor and of everything that could write to its output, and returns the exit code.
func (s *supervisor) wait() int {
	s.t.Helper()
	timeout := time.After(patience)
	select {
	case <-s.ended:
	case <-timeout:
		s.t.Fatalf("the supervisor has not ended within %v", patience)
	}
	for _, eof := range []chan struct{}{s.eof, s.errEOF} {
		select {
		case <-eof:
		case <-timeout:
			s.t.Fatal("the supervisor has ended, and somebody who holds its output has not")
		}
	}
	return s.cmd.ProcessState.ExitCode()
}

// exit waits for the end and compares the exit code, also with the last line.
func (s *supervisor) exit(code int) {
	s.t.Helper()
	if err := s.ends(code); err != nil {
		s.t.Error(err)
	}
}

// ends is exit for tests that can be repeated.
func (s *supervisor) ends(code int) error {
	s.t.Helper()
	if got := s.wait(); got != code {
		return fmt.Errorf("exit code: got %d (%v), want %d", got, s.cmd.ProcessState, code)
	}
	if got, want := s.last(), fmt.Sprintf("sidecar-init: exit %d", code); got != want {
		return fmt.Errorf("last line: got %q, want %q", got, want)
	}
	return nil
}

// said reports which of these lines were not said, for tests that can be repeated; the supervisor has ended.
func (s *supervisor) said(lines ...string) (err error) {
	for _, line := range lines {
		if !slices.Contains(s.log(), line) {
			err = errors.Join(err, fmt.Errorf("no line %q", line))
		}
	}
	return err
}

func (s *supervisor) last() string {
	lines := s.log()
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// children returns the states of the supervisor's children, as in /proc/PID/stat: Z is a zombie, T is stopped.
func (s *supervisor) children() (states []string) {
	s.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if f[1] == strconv.Itoa(s.cmd.Process.Pid) {
			states = append(states, f[0])
		}
	}
	return states
}

// eventually waits until something holds that no line tells of.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// inTime runs a test that measures, and may take that long; see again.
func inTime(t *testing.T, limit time.Duration, measure func() (time.Duration, error)) {
	t.Helper()
	if prebuilt != "" {
		limit += 2 * time.Second // the machine is emulated: its system calls take ten times as long
	}
	again(t, func() error {
		late := lateness()
		took, err := measure()
		limit := limit + 3*late()
		if took > limit {
			err = errors.Join(err, fmt.Errorf("took %v, want at most %v", took.Round(time.Millisecond), limit.Round(time.Millisecond)))
		}
		return err
	})
}

// lateness measures, until the function that it returns is called, how late a timer has come at most: on a machine that starves what
// is measured beside it has waited for the processor as long, several times. On one that is quiet it is less than a millisecond.
func lateness() func() time.Duration {
	stop, worst := make(chan struct{}), make(chan time.Duration)
	go func() { // until the function is called
		var late time.Duration
		for begin := time.Now(); ; begin = time.Now() {
			select {
			case <-time.After(5 * time.Millisecond):
				late = max(late, time.Since(begin)-5*time.Millisecond)
			case <-stop:
				worst <- late
				return
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-worst
	}
}

// again runs a test that measures up to four times: a busy machine can be late, a program that is late is so each time. One that is
// emulated, with all of its tests beside each other, is late more often than not.
func again(t *testing.T, try func() error) {
	t.Helper()
	var problems []error
	tries := 4
	if prebuilt != "" {
		tries = 12
	}
	for range tries {
		err := try()
		if err == nil {
			return
		}
		problems = append(problems, err)
	}
	t.Error(errors.Join(problems...))
}

// exited is the line of a death that nobody asked for.
func exited(name, how string) string {
	return fmt.Sprintf("sidecar-init: %s exited with code %s; leaving surviving daemons running (operator-visible via agent-side failure)", name, how)
}
