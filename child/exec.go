package child

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// DefaultPath is the PATH that is used if [Program.Env] has none. It is Docker's default.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exec is the [Spawner] that executes real programs. A process gets a session, and so a process group, of its own; default signal
// dispositions; /dev/null as standard input, or an empty pipe if there is no /dev/null; and the files of its [Output]. The zero
// Exec discards output.
//
// A process starts with the signal mask that this program was started with, which the Go runtime restores. Signals that were
// ignored then, and are not passed to signal.Notify, stay ignored.
type Exec struct {
	// Output returns the files to which the next process writes; nil means /dev/null.
	Output func(*Spec) (Output, error)
	// Stdin, if not nil, is the standard input of the process, in place of /dev/null.
	Stdin *os.File
	// Foreground makes the process the foreground process group of the terminal Stdin, in this session instead of one of its
	// own.
	Foreground bool
	// ParentDeath, unless 0, is the signal that each process gets when this program dies (PR_SET_PDEATHSIG of prctl(2)), so that
	// daemons do not outlive a test that is killed. Only the main process gets it, and only if it does not change its user. Linux only.
	ParentDeath syscall.Signal
	// Shim is needed for a [Program] that has an [Attr]. It changes cmd, which would execute the program, into a command that
	// sets the attributes and then executes the program in the same process. It uses cmd's path, arguments, environment,
	// directory, extra files and credential.
	//
	// It is also used for a Program with another user. Without it, package os/exec sets the user in a child that shares our
	// memory until it executes the program, and the kernel then makes this process undumpable: from then on /proc/self/fd and the
	// like belong to root, who needs CAP_SYS_PTRACE to use them.
	//
	// The function that it returns is called once, after cmd was started or failed to start. It waits until the program
	// was executed, or returns why it was not: a *[StartError], [ErrUser], or the error of execve(2).
	Shim func(cmd *exec.Cmd, attr *Attr) (executed func() error, err error)

	system *system // nil means what this process has; a test brings another
}

// A system is what all processes of [Exec] have in common.
type system struct {
	kernel kernel.Features
	procs  proc.Scanner
}

var ownSystem = sync.OnceValue(func() *system { return &system{kernel: kernel.Own()} })

// An Output has the files to which one process of a daemon writes.
type Output struct {
	// Stdout and Stderr may be the same file; nil means /dev/null. If the program has a user of its own, that user becomes the
	// owner of the pipes; otherwise it could not open /dev/stdout.
	Stdout, Stderr *os.File
	// Extra becomes the descriptors 3, 4, and so on; a nil entry is not open in the process.
	Extra []*os.File
	// Started, if not nil, is called when the process has inherited the files, or could not be started: they can be closed then.
	Started func()
	// Exited, if not nil, is called when the process has ended. The end is reported only after it returns, so that the last lines
	// come first. It must return soon, even if other processes still hold the files.
	Exited func()
}

// Spawn implements [Spawner]. The error is always a *[StartError].
func (e Exec) Spawn(spec *Spec) (Process, error) {
	if len(spec.Argv) == 0 {
		return nil, &StartError{Reason: "there is no command", Code: 126}
	}
	var out Output
	if e.Output != nil {
		var err error
		if out, err = e.Output(spec); err != nil {
			return nil, startError("its output", err)
		}
		if out.Started != nil {
			defer out.Started()
		}
	}
	cred, err := credential(&spec.Program)
	if err != nil {
		return nil, err
	}
	path, err := lookPath(&spec.Program)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: spec.Argv, Env: environ(&spec.Program), Dir: spec.Dir, SysProcAttr: &syscall.SysProcAttr{}}
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would inherit ours
	}
	if e.Stdin != nil {
		cmd.Stdin = e.Stdin
	} else {
		null, err := noInput(os.DevNull)
		if err != nil {
			return nil, startError(os.DevNull, err)
		}
		defer null.Close()
		cmd.Stdin = null
	}
	// Only files: for another io.Writer os/exec copies until EOF, and Wait would hang as long as a grandchild holds the
	// pipe (go.dev/issue/23019).
	cmd.ExtraFiles = out.Extra
	if out.Stdout != nil {
		cmd.Stdout = out.Stdout
	}
	if out.Stderr != nil {
		cmd.Stderr = out.Stderr
	}
	if cred != nil {
		cmd.SysProcAttr.Credential = cred
		giveAway(cred, out.Stdout, out.Stderr)
	}
	if e.Foreground {
		cmd.SysProcAttr.Foreground = true
		cmd.SysProcAttr.Ctty = int(e.Stdin.Fd())
	} else {
		cmd.SysProcAttr.Setsid = true
	}
	setParentDeath(cmd.SysProcAttr, e.ParentDeath)
	executed := func() error { return nil }
	switch {
	case spec.Attr != nil && e.Shim == nil:
		return nil, &StartError{Reason: "its attributes cannot be set", Code: 126}
	case spec.Attr != nil:
		if executed, err = e.Shim(cmd, spec.Attr); err != nil {
			return nil, startError("its attributes", err)
		}
	case cred != nil && e.Shim != nil:
		if shimmed, err := e.Shim(cmd, &Attr{}); err == nil { // else, as where there is no /proc, os/exec does it
			executed = shimmed
		}
	}
	if e.system == nil {
		e.system = ownSystem()
	}
	p, err := start(cmd, e.system, spec)
	if execErr := executed(); err == nil && execErr != nil {
		p.Wait()
		p.Release(false)
		err = execErr
	}
	if err != nil {
		return nil, diagnose(&spec.Program, path, err)
	}
	p.exited = out.Exited
	return p, nil
}

// noInput opens the file of that name, which is empty, or where that cannot be had, as in a root file system without /dev, a
// pipe that is at its end.
func noInput(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err == nil || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return f, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.Close()
	return r, nil
}

// giveAway makes the daemon's user the owner of its pipes. It fails without privileges, and then the user is ours.
func giveAway(cred *syscall.Credential, files ...*os.File) {
	for _, f := range files {
		if f == nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
			_ = f.Chown(int(cred.Uid), int(cred.Gid))
		}
	}
}

// lookPath finds the program as execvp does, in the PATH of the daemon and seen from its directory.
func lookPath(p *Program) (string, error) {
	name := p.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := DefaultPath
	for _, kv := range p.Env { // the last one counts, as in os/exec
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	found := ""
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if dir == "" || dir == "." {
			file = "./" + name // a name without a slash would be looked up once more
		}
		seen := file
		if !filepath.IsAbs(file) {
			seen = filepath.Join(p.Dir, file)
		}
		info, err := os.Stat(seen)
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 != 0:
			return file, nil
		case found == "":
			found = file
		}
	}
	if found != "" {
		return "", &StartError{Reason: found + ": permission denied", Code: 126, Err: fs.ErrPermission}
	}
	return "", &StartError{Reason: fmt.Sprintf("%s: not found in PATH (%s)", name, path), Code: 127, Err: exec.ErrNotFound}
}

// diagnose says what is wrong: the kernel has one ENOENT for a missing program, interpreter and directory.
func diagnose(p *Program, path string, err error) error {
	var known *StartError
	if errors.As(err, &known) {
		return known
	}
	if p.Dir != "" {
		info, dirErr := os.Stat(p.Dir)
		if dirErr == nil && !info.IsDir() {
			dirErr = syscall.ENOTDIR
		}
		if dirErr != nil {
			return startError("working directory "+p.Dir, dirErr)
		}
	}
	seen := path
	if !filepath.IsAbs(path) {
		seen = filepath.Join(p.Dir, path)
	}
	info, statErr := os.Stat(seen)
	switch {
	case errors.Is(err, syscall.ENOENT) && statErr == nil:
		what := path + ": its interpreter"
		switch name, crlf := strings.CutSuffix(interpreter(seen), "\r"); {
		case crlf: // the kernel takes it for a part of the name
			what = fmt.Sprintf("%s: its first line, #!%s, ends with a carriage return: save it with the line ends of Unix", path, name)
		case name != "":
			what += " " + name
		}
		e := startError(what, err)
		e.Code = 127
		return e
	case errors.Is(err, syscall.EACCES) && statErr == nil && info.IsDir():
		return startError(path, syscall.EISDIR)
	case errors.Is(err, ErrUser) || errors.Is(err, syscall.EPERM) && p.User != "": // without a shim it is that, most likely
		return startError(path+" as user "+cmp.Or(p.User, "of further groups"), err)
	case errors.Is(err, syscall.ENOEXEC):
		return startError(path, fmt.Errorf("%w (neither a program for this machine nor a script that begins with #!)", syscall.ENOEXEC))
	}
	e := startError(path, err)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
		e.Code = 127
	}
	return e
}

// interpreter returns what the first line of a script names after #!.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	line, ok := strings.CutPrefix(string(head[:n]), "#!")
	if !ok {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	line = strings.Trim(line, " \t")
	if end := strings.IndexAny(line, " \t"); end >= 0 {
		line = line[:end]
	}
	return line
}

// startError is an error about what, without the names of system calls and the like around err.
func startError(what string, err error) *StartError {
	var errno syscall.Errno
	if errors.As(err, &errno) && !errors.Is(err, syscall.ENOEXEC) {
		err = errno
	}
	e := &StartError{Reason: what + ": " + err.Error(), Code: 126, Err: err}
	for _, lack := range []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.ETXTBSY} {
		e.Transient = e.Transient || errors.Is(err, lack)
	}
	return e
}
