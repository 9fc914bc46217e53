package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
)

// self is this program, whatever has become of its file.
const self = "/proc/self/exe"

// word is the argument that makes a process a shim.
const word = "__exec"

// Prepare is child.Exec.Shim.
func Prepare(cmd *exec.Cmd, attr *child.Attr) (executed func() error, err error) {
	r := &request{
		Rlimits: attr.Rlimits, NoNewPrivileges: attr.NoNewPrivileges, OOMScoreAdj: attr.OOMScoreAdj, Umask: attr.Umask, CPUs: attr.CPUs, PIDVariable: attr.PIDVariable,
		Wall: attr.Wall, Credential: cmd.SysProcAttr.Credential, path: cmd.Path, dir: cmd.Dir, argv: cmd.Args, env: cmd.Environ(),
	}
	if attr.Cgroup != nil {
		r.Cgroup = attr.Cgroup.Dir
	}
	var errAdd, errDrop error
	r.Caps.Add, r.Caps.AddAll, errAdd = parseCaps(attr.CapAdd)
	r.Caps.Drop, r.Caps.DropAll, errDrop = parseCaps(attr.CapDrop)
	if err := errors.Join(errAdd, errDrop); err != nil {
		return nil, err
	}
	b, err := r.encode()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(self); err != nil {
		return nil, fmt.Errorf("a /proc is needed for them: %w", err)
	}
	// Two pipes: there is always room for them, and any size of request goes through, which the shim reads while we write.
	// (A memory file would need memfd_create, which strict seccomp profiles refuse.)
	in, ask, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	report, out, err := os.Pipe()
	if err != nil {
		in.Close()
		ask.Close()
		return nil, err
	}
	fd := 3 + len(cmd.ExtraFiles)
	cmd.ExtraFiles = append(cmd.ExtraFiles[:len(cmd.ExtraFiles):len(cmd.ExtraFiles)], in, out)
	cmd.Path, cmd.Args = self, []string{"sidecar-init", word, strconv.Itoa(fd)}
	// For the shim's own Go runtime. A collection would allocate when limits are set already; and one processor means fewer
	// threads and no look at the control group.
	cmd.Env = []string{"GOGC=off", "GOMAXPROCS=1"}
	cmd.Dir, cmd.SysProcAttr.Credential = "", nil
	return func() error {
		in.Close()
		out.Close()
		defer report.Close()
		_, _ = ask.Write(b) // it fails if the shim has died, and then there is no report
		ask.Close()
		return readReport(report)
	}, nil
}

// The report of a shim is one of these, then for the latter an error number, a space, and what could not be done.
// Without either the shim has died.
const (
	executing = '+'
	failed    = '-'
)

// maxReport bounds a report.
const maxReport = 4096

// What could not be done where it was to execute the program, and where it was to become its user.
const (
	theExec = "execve"
	theUser = "setuid"
)

// readReport returns why the program was not executed.
func readReport(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, maxReport))
	i := bytes.IndexByte(b, failed)
	if err == nil && i < 0 && bytes.IndexByte(b, executing) < 0 {
		err = errors.New("it died")
	}
	switch {
	case err != nil:
		return &child.StartError{Reason: "its shim: " + err.Error(), Code: 126, Err: err}
	case i < 0:
		return nil
	}
	number, what, _ := bytes.Cut(b[i+1:], []byte{' '})
	n, err := strconv.Atoi(string(number))
	if err != nil {
		return &child.StartError{Reason: "its shim: " + string(b), Code: 126}
	}
	errno := syscall.Errno(n)
	switch string(what) {
	case theExec:
		return errno
	case theUser:
		return fmt.Errorf("%w: %w", child.ErrUser, errno)
	}
	e := &child.StartError{Reason: string(what), Code: 126, Err: errno}
	if errno != 0 {
		e.Reason += ": " + errno.Error()
	}
	e.Transient = errno == unix.EAGAIN || errno == unix.ENOMEM
	return e
}
