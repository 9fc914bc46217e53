//go:build linux

// Command demo starts a supervisor for `make run`, as it would run in a container: as PID 1 of a pid namespace of its
// own where the system allows that, as root or with a user namespace, and as an ordinary process elsewhere.
//
//	demo [-plain] PATH/sidecar-init
//
// It first says what this is and what to try, and only then lets the supervisor start. It ends with the supervisor's
// exit code. The supervisor stays in the process group of whoever called, so that Ctrl-C reaches it from the terminal.
// If demo dies, the supervisor is asked to end.
//
// Inside the new namespace it is demo itself that runs first: it mounts a /proc that fits, waits, and then becomes the
// supervisor by exec, so that the supervisor has pid 1 and the name sidecar-init.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bundle is what the supervisor runs; seen from the top of the repository.
const bundle = "examples/demo/bundle.yaml"

// inside is the environment variable that tells demo to become the supervisor: its value is the way's name.
const inside = "SIDECAR_INIT_DEMO_INSIDE"

// control is the environment variable with the path of the supervisor's control socket. By its default, somebody outside
// the namespace would not find it.
const control = "SIDECAR_INIT_CONTROL"

// The parent-death signal belongs to threads on both sides: it is sent when the thread that forked ends, and is kept
// by the thread that set it. Main's thread ends with the process and is the one that execs.
func init() { runtime.LockOSThread() }

func main() {
	if way := os.Getenv(inside); way != "" {
		fmt.Fprintln(os.Stderr, "demo:", become(way, os.Args[1:]))
		os.Exit(1)
	}
	plain := flag.Bool("plain", false, "run the supervisor as an ordinary process")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: demo [-plain] PATH/sidecar-init")
		os.Exit(64)
	}
	code, err := run([]string{flag.Arg(0), "run", "-f", bundle}, *plain)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// A way is how the supervisor is set apart.
type way struct {
	name  string
	flags uintptr
	says  string // how it is to be told from outside, with its pid
}

var ways = []way{
	{"pid", unix.CLONE_NEWPID | unix.CLONE_NEWNS, "PID 1 of a pid namespace of its own, as in a container; from here its pid is %d"},
	{"user", unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUSER, "PID 1 of a pid namespace of its own, as in a container; from here its pid is %d"},
	{"plain", 0, "an ordinary process, since a pid namespace cannot be had here; its pid is %d"},
}

// run starts argv by the first way that works and returns its exit code.
func run(argv []string, plain bool) (int, error) {
	// Signals are taken before there is anybody to forward them to. SIGINT and SIGQUIT come from the terminal, which sends
	// them to the supervisor too.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT)
	if !signal.Ignored(unix.SIGHUP) {
		signal.Notify(signals, unix.SIGHUP) // the terminal is gone
	}
	// If make is killed, nobody would press Ctrl-C any more.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return 0, fmt.Errorf("cannot ask for the parent-death signal: %w", err)
	}

	socket, set := os.LookupEnv(control)
	if !set {
		socket = filepath.Join(os.TempDir(), fmt.Sprintf("sidecar-init-demo-%d.sock", os.Getpid()))
	}
	cmd, w, gate, err := start(argv, socket, plain)
	if err != nil {
		return 0, err
	}
	banner(cmd.Process.Pid, w, argv[0], socket)
	gate.Write([]byte{1}) // an error means that it has died, which Wait tells
	gate.Close()

	go func() {
		for s := range signals {
			if s == unix.SIGTERM || s == unix.SIGHUP {
				cmd.Process.Signal(unix.SIGTERM) // an error means that it is gone
			}
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// start starts demo once more, in the namespaces of the first way that the system allows. It waits there until a byte is
// written to gate.
func start(argv []string, socket string, plain bool) (cmd *exec.Cmd, w way, gate *os.File, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, way{}, nil, err
	}
	hold, gate, err := os.Pipe()
	if err != nil {
		return nil, way{}, nil, err
	}
	defer hold.Close()
	for _, w = range ways {
		if plain && w.flags != 0 {
			continue
		}
		cmd = exec.Command(self, argv...)
		cmd.Env = append(os.Environ(), inside+"="+w.name, control+"="+socket, "EGRESS_TOKEN_DEMO=not-a-real-token")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.ExtraFiles = []*os.File{hold} // becomes descriptor 3
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: w.flags, Pdeathsig: unix.SIGTERM}
		if w.flags&unix.CLONE_NEWUSER != 0 {
			// Everybody stays who they are. An exec takes the capabilities of whoever is not root, but for ambient ones, and
			// without this one /proc cannot be mounted.
			uid, gid := os.Getuid(), os.Getgid()
			cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		}
		if err = cmd.Start(); err == nil {
			return cmd, w, gate, nil
		}
	}
	gate.Close()
	return nil, way{}, nil, err
}

// become waits for the gate and then turns this process into argv. It returns only if that fails.
func become(way string, argv []string) error {
	if way != "plain" {
		// Without this /proc the supervisor would find the processes of the old namespace in there. Where it cannot be had,
		// as in a container whose /proc is partly hidden, it has to do.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err == nil {
			_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // an old kernel has none
	gate := os.NewFile(3, "gate")
	if _, err := io.ReadFull(gate, make([]byte, 1)); err != nil {
		return fmt.Errorf("demo has died: %w", err)
	}
	gate.Close()
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, inside+"=") {
			env = append(env, kv)
		}
	}
	return fmt.Errorf("cannot execute %s: %w", argv[0], unix.Exec(argv[0], argv, env))
}

// banner says what this is, and what to try in another terminal.
func banner(pid int, w way, program, socket string) {
	fmt.Printf(`sidecar-init runs five small daemons: egress, pipelock, git-gate, git-http and supervise, as %s says.
It is %s.

Try in another terminal, in the same directory:
  export %[4]s=%[5]s
  %[6]s status
  %[6]s signal KILL git-http    it crashes, and is restarted; the others run on
  kill -HUP %[3]d     egress reads examples/demo/routes.txt again; the others notice nothing
  kill -USR1 %[3]d    pipelock is restarted, with a new look at examples/demo/allowlist.txt
  %[6]s top
  kill -TERM %[3]d    all are stopped, and sidecar-init exits with 0
Here, Ctrl-C does what kill -TERM does.

`, bundle, fmt.Sprintf(w.says, pid), pid, control, socket, program)
}
