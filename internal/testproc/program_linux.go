package testproc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bot-bottle/sidecar-init/child"
)

// marker is the first argument of a test binary that is to be a daemon. The environment is not used for that: it
// belongs to the tests.
const marker = "testproc"

// Exit codes of the program's own.
const (
	exitScript = 125 // the script is wrong
	exitIO     = 74  // it could not do what the script says
)

// Main obeys a script if this process was started to be a daemon, and does not return then: if the program is called
// testdaemon, its arguments are the script, and after the argument "testproc" the further ones. Anything else it
// leaves alone. TestMain calls it first.
//
// A script is statements, separated by semicolons; at its end the exit code is 0. The words:
//
//	print TEXT...        a line to stdout, in one write
//	eprint TEXT...       a line to stderr
//	printn TEXT...       to stdout, without a newline
//	writefd N TEXT...    a line to descriptor N
//	openstdout TEXT...   a line to /dev/stdout, opened by that name
//	lines N SIZE         N lines of SIZE bytes, as Line has them
//	flood [SIZE]         lines of 100 bytes, SIZE bytes in all or for ever
//	cat                  stdin to stdout, up to its end
//	readline             waits for a line of stdin
//	closefd N...         closes descriptors
//
//	exit CODE            ends the process
//	sleep D              waits
//	block                waits for ever
//	forever WORDS        says WORDS again and again
//	repeat N WORDS       says WORDS N times
//	once FILE WORDS      says WORDS if FILE does not exist, and makes it
//	exec PROGRAM ARG...  becomes another program
//
//	trap SIG WORDS       says WORDS at each SIG
//	ignore SIG...        ignores signals
//	raise SIG            sends itself a signal
//	stop                 raise STOP
//	segv                 raise SEGV
//
//	fork WORDS           a child in its process group, which is waited for but not killed at the end
//	setsid WORDS         a child in a session of its own, with the same output
//	orphan N [D]         N children of a child that ends at once; they live for D, or for ever
//
//	touch FILE           makes FILE
//	append FILE TEXT...  a line to FILE
//	show FILE            prints FILE, in one write
//	waitfile FILE        waits until FILE exists
//	notify TEXT...       sends a datagram to NOTIFY_SOCKET, one line for each TEXT
//	listen ADDR [CODE]   accepts connections at host:port or at a path, and answers HTTP with CODE
//	alloc SIZE           takes memory, and writes to it
//	burn D               spends CPU time
//
//	env [NAME]           prints NAME=VALUE, or "NAME unset"; without a name all, sorted
//	args                 prints the arguments before the script, with argv[0]
//	pid ppid pgid sid cwd
//	                     each prints its name and value
//	uid                  prints "uid 1 gid 2 groups 3 4"
//	fds                  prints "fds" and the descriptors that it inherited
//	tty                  prints "tty" and which of 0 to 2 are terminals, and whether it is in the foreground
//	status NAME...       prints these lines of /proc/self/status
//	sigmask              status SigBlk SigIgn SigCgt
//
// SIG is HUP, SIGHUP or 1; D is as in time.ParseDuration; SIZE can have KiB, MiB or GiB. WORDS are one statement, or
// any number in braces that stand alone. A quoted word can have spaces and semicolons: 'as it stands' or "as in\tGo".
//
// What it inherited as ignored, Go's runtime has replaced before it can be seen, save for HUP and INT; the true
// dispositions are seen by "exec /bin/cat /proc/self/status".
func Main() {
	var script []string
	switch {
	case len(os.Args) > 0 && filepath.Base(os.Args[0]) == "testdaemon":
		script = os.Args[1:]
	case len(os.Args) > 1 && os.Args[1] == marker:
		script = os.Args[2:]
	default:
		return
	}
	d := newDaemon()
	list, err := parse(vocabulary(), strings.Join(script, " "))
	if err != nil {
		d.die(exitScript, "%v", err)
	}
	d.run(list)
	exit(0)
}

// Argv is a command that obeys the script: this binary, whose TestMain has to call Main.
func Argv(script string) []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{exe, marker, script}
}

// Spec is a daemon that obeys the script. Its environment is empty.
func Spec(name, script string) *child.Spec {
	return &child.Spec{Name: name, Program: child.Program{Argv: Argv(script)}}
}

// Line is the line number n that the word lines writes, without its newline.
func Line(n, size int) string {
	return string(appendLine(nil, n, size))
}

func appendLine(b []byte, n, size int) []byte {
	start := len(b)
	b = fmt.Appendf(b, "%d ", n)
	if fill := size - (len(b) - start); fill > 0 {
		b = append(b, bytes.Repeat([]byte{'a' + byte(n%26)}, fill)...)
	}
	return b[:start+size]
}

// exit ends the process. Not by os.Exit: a program built with -race sleeps for a second there.
func exit(code int) {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(code), 0, 0)
	}
}
