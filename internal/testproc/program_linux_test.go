package testproc_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

func TestMain(m *testing.M) {
	testproc.Main()
	unix.CloseRange(3, 1<<31, unix.CLOSE_RANGE_CLOEXEC) // whatever go test was given
	os.Exit(m.Run())
}

// TestWords says each word once, and looks at what it does.
func TestWords(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, tt := range []struct {
		script string
		stdin  string
		want   string // stdout, a regular expression
		stderr string // the same
		end    string // exit status 0 if empty
	}{
		{script: ""},
		{script: "exit 3", end: "exit status 3"},
		{script: "print a b; printn c", want: "a b\nc"},
		{script: "eprint a", stderr: "a\n"},
		{script: "writefd 2 a", stderr: "a\n"},
		{script: "writefd 99 a", stderr: "testproc: write 99: bad file descriptor\n", end: "exit status 74"},
		{script: "openstdout a", want: "a\n"},
		{script: "closefd 1; print a", stderr: "testproc: write 1: bad file descriptor\n", end: "exit status 74"},
		{script: "lines 3 5", want: "0 aaa\n1 bbb\n2 ccc\n"},
		{script: "flood 300", want: "0 a{97}\n1 b{97}\n2 c{97}\n"},
		{script: "readline; print got; cat", stdin: "one\ntwo", want: "got\ntwo"},
		{script: "repeat 2 { print x; print y }", want: "x\ny\nx\ny\n"},
		{script: "forever { print x; exit 1 }", want: "x\n", end: "exit status 1"},
		{script: "repeat 3 once " + file("twice") + " print x", want: "x\n"},
		{script: "exec /bin/echo a b", want: "a b\n"},
		{script: "trap HUP print hup; trap TERM { print term; exit 9 }; raise HUP; raise TERM; block", want: "(hup\n)?term\n(hup\n)?", end: "exit status 9"},
		{script: "trap USR1 { print usr1; exit 0 }; raise USR1; block", want: "usr1\n"},
		{script: "ignore TERM USR1; raise TERM; raise USR1; print alive", want: "alive\n"},
		{script: "raise USR1", end: "signal: user defined signal 1"},
		{script: "raise QUIT", end: "signal: quit"},
		{script: "raise RTMIN+3", end: "signal: signal 37"},
		{script: "segv", end: "signal: segmentation fault"},
		{script: "fork { print x }; fork { touch " + file("forked") + "; exit 2 }; waitfile " + file("forked"), want: "(x\n)?"},
		{script: "setsid { sid; touch " + file("sid") + " }; waitfile " + file("sid"), want: `sid \d+\n`},
		{script: "orphan 3 1ms; print x", want: "x\n"},
		{script: "append " + file("log") + " a; append " + file("log") + " b; show " + file("log"), want: "a\nb\n"},
		{script: "touch " + file("x") + "; waitfile " + file("x")},
		{script: "notify READY=1", stderr: "testproc: notify: NOTIFY_SOCKET is not set\n", end: "exit status 74"},
		{script: "alloc 1MiB; burn 1ms; sleep 1ms"},
		{script: "env NAME; env NO; env", want: "NAME=x\nNO unset\nNAME=x\n"},
		{script: "args", want: `args \[".*testproc.test" "testproc"\]\n`},
		{script: "pid; ppid; pgid; sid", want: fmt.Sprintf(`pid \d+\nppid %d\npgid \d+\nsid \d+\n`, os.Getpid())},
		{script: "cwd; uid; tty", want: `cwd /\nuid \d+ gid \d+ groups [\d ]*\ntty\n`},
		{script: "fds", want: `fds 0 1 2\n`},
		{script: "sigmask; status NoNewPrivs", want: `SigBlk 0{16}\nSigIgn [0-9a-f]{16}\nSigCgt [0-9a-f]{16}\nNoNewPrivs \d\n`},
		{script: "exit 1; exit 2", stderr: `testproc: "exit" is never reached\n`, end: "exit status 125"},
	} {
		t.Run(tt.script, func(t *testing.T) {
			t.Parallel()
			argv := testproc.Argv(tt.script)
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = []string{"NAME=x"}
			cmd.Dir = "/"
			cmd.Stdin = strings.NewReader(tt.stdin)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			end := ""
			if err != nil {
				end = err.Error()
			}
			if end != tt.end {
				t.Errorf("end: got %q, want %q", end, tt.end)
			}
			for _, out := range []struct{ name, got, want string }{{"stdout", stdout.String(), tt.want}, {"stderr", stderr.String(), tt.stderr}} {
				if !regexp.MustCompile("^(?:" + out.want + ")$").MatchString(out.got) {
					t.Errorf("%s: got %q, want %q", out.name, out.got, out.want)
				}
			}
		})
	}
}

// start runs a script and returns its output, line by line, and the end of it.
func start(t *testing.T, script string, env ...string) (*exec.Cmd, *bufio.Reader) {
	argv := testproc.Argv(script)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	})
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	return cmd, bufio.NewReader(r)
}

func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if got, err := r.ReadString('\n'); got != want+"\n" {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// TestFamily holds that children and orphans outlive the daemon, with its output in their hands.
func TestFamily(t *testing.T) {
	dir := t.TempDir()
	cmd, r := start(t, "fork { waitfile "+dir+"/go; print child }; orphan 2 100ms; print ready; block")
	expect(t, r, "ready")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("end: got %v", err)
	}
	os.WriteFile(dir+"/go", nil, 0o666)
	expect(t, r, "child")
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the last of them: got %v, want %v", err, io.EOF)
	}
}

func TestStop(t *testing.T) {
	cmd, r := start(t, "pid; stop; print continued")
	expect(t, r, fmt.Sprintf("pid %d", cmd.Process.Pid))
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatalf("got %v, %v, want stopped", ws, err)
	}
	cmd.Process.Signal(syscall.SIGCONT)
	expect(t, r, "continued")
}

func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start(t, "notify READY=1 'STATUS=all well'; block", "NOTIFY_SOCKET="+name)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if got, want := string(b[:n]), "READY=1\nSTATUS=all well"; got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestListen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "http")
	_, r := start(t, "listen "+name+" 503; print ready; block")
	expect(t, r, "ready")
	conn, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	b, err := io.ReadAll(conn)
	if want := "HTTP/1.1 503 "; !strings.HasPrefix(string(b), want) {
		t.Errorf("got %q, %v, want %q…", b, err, want)
	}
}

// TestProgram builds the static program, as for an image without anything else in it.
func TestProgram(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "testdaemon")
	cmd := exec.Command("go", "build", "-o", exe, "./cmd/testdaemon")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(exe, "fork", "print", "x;", "exit 3").Output()
	if got, want := fmt.Sprintf("%s, %v", out, err), "exit status 3"; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if deps, err := exec.Command("go", "list", "-deps", "./cmd/testdaemon").Output(); err != nil || strings.Contains(string(deps), "\ntesting\n") {
		t.Errorf("it links package testing (%v)", err)
	}
}
