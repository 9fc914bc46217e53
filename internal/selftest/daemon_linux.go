package selftest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// word is the argument that makes a process a daemon of the selftest.
const word = "__selftest"

// The variable that is private to the daemon owner, and a value that is none.
const (
	privateName  = "SELFTEST_TOKEN"
	privateValue = "only-for-the-owner"
)

// Main makes this process a daemon of the selftest, if it is one, and does not return then.
func Main() {
	if len(os.Args) < 3 || os.Args[1] != word {
		return
	}
	switch os.Args[2] {
	case "code":
		os.Exit(7)
	case "lines":
		for i := range lineCount {
			fmt.Printf("line %d %s\n", i, strings.Repeat("x", 100))
		}
		fmt.Print("last")
	case "crash":
		fmt.Println("up")
		os.Exit(3)
	case "hears":
		hears()
	case "orphan":
		start("parent", "ends")
		fmt.Println("up")
		block()
	case "parent":
		start(os.Args[3])
	case "ends":
		<-time.After(50 * time.Millisecond) // it has lost its parent by then
	case "deaf":
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM) // and does nothing
		member := start("member")
		fmt.Println("member", member)
		block()
	case "member":
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM) // and does nothing
		block()
	case "owner":
		fmt.Println("private", os.Getenv(privateName))
		block()
	case "other":
		fmt.Println("private", os.Getenv(privateName))
		fmt.Println("owner", spy())
		block()
	case "nobody":
		fmt.Println("uid", os.Getuid(), "gid", os.Getgid())
		block()
	case "limited":
		var l syscall.Rlimit
		_ = syscall.Getrlimit(syscall.RLIMIT_CORE, &l)
		fmt.Println("core", l.Max)
		block()
	case "files":
		fmt.Println("files", files())
		block()
	}
	os.Exit(0)
}

// lineCount is how many lines a daemon writes at once.
const lineCount = 200

// block waits for a signal that ends the process. (The Go runtime ends a program in which nobody can ever go on.)
func block() {
	for {
		<-time.After(time.Hour)
	}
}

// hears prints what it hears.
func hears() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	fmt.Println("up", os.Getpid())
	for range c {
		fmt.Println("heard")
	}
}

// start starts a daemon as a child of this one.
func start(args ...string) (pid int) {
	cmd := exec.Command("/proc/self/exe", append([]string{word}, args...)...)
	cmd.Stdout = os.Stdout
	if err := cmd.Start(); err != nil {
		fmt.Println("cannot start:", err)
		return 0
	}
	return cmd.Process.Pid
}

// spy looks for the private value in the environment of all processes: "not seen", "read", or "refused".
func spy() string {
	said := "not seen"
	for begin := time.Now(); time.Since(begin) < time.Second; <-time.After(10 * time.Millisecond) {
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			args, _ := os.ReadFile(dir + "/cmdline")
			if !bytes.Contains(args, []byte("\x00"+word+"\x00owner\x00")) {
				continue
			}
			env, err := os.ReadFile(dir + "/environ")
			switch {
			case err != nil:
				said = "refused"
			case bytes.Contains(env, []byte(privateValue)):
				return "read"
			}
		}
		if said == "refused" {
			return said
		}
	}
	return said
}

// files are the open descriptors, but for the one that is looked with and those of the Go runtime, which are anonymous.
func files() string {
	names, _ := os.ReadDir("/proc/self/fd")
	var open []string
	for _, n := range names {
		if target, err := os.Readlink("/proc/self/fd/" + n.Name()); err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/fs/cgroup/") { // the runtime reads its share of the processors there
			open = append(open, n.Name())
		}
	}
	return strings.Join(open, " ")
}

// atoi is a number, or 0.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
