package testproc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A daemon is this process while it obeys a script.
type daemon struct {
	actions map[syscall.Signal]sigaction // the handlers of Go's runtime, which newDaemon has replaced
	ballast [][]byte
}

// sigaction is the kernel's struct of that name, which differs between architectures; it is only ever kept and given
// back, or zero, which means the default action.
type sigaction [8]uint64

// newDaemon gives every signal its default action, save those that Go's runtime needs for itself.
func newDaemon() *daemon {
	d := &daemon{actions: make(map[syscall.Signal]sigaction)}
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, 32, 33, 34: // cannot be changed; belong to libc
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGURG, syscall.SIGPROF: // Go's own
		default:
			var old sigaction
			rtSigaction(sig, nil, &old)
			if ignored := old[0] == 1; !ignored {
				d.actions[sig] = old
				rtSigaction(sig, new(sigaction), nil)
			}
		}
	}
	return d
}

func rtSigaction(sig syscall.Signal, act, old *sigaction) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

func (d *daemon) run(list []statement) {
	for i := range list {
		list[i].word.do(d, &list[i])
	}
}

// die ends the process with a message on stderr.
func (d *daemon) die(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "testproc: %s\n", fmt.Sprintf(format, args...))
	exit(code)
}

// must ends the process if err is not nil.
func (d *daemon) must(what string, err error) {
	if err != nil {
		d.die(exitIO, "%s: %v", what, err)
	}
}

// write writes all of b to a descriptor. Not through os.Stdout, which would make a SIGPIPE of its own out of EPIPE.
func (d *daemon) write(fd int, b []byte) {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN: // someone has made the pipe non-blocking
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		case err != nil:
			d.die(exitIO, "write %d: %v", fd, err)
		default:
			b = b[n:]
		}
	}
}

func (d *daemon) print(format string, args ...any) {
	d.write(1, fmt.Appendf(nil, format+"\n", args...))
}

// The arguments, which parse has checked.

func (s *statement) text(i int) string {
	if i >= len(s.args) {
		return ""
	}
	return strings.Join(s.args[i:], " ")
}

func (s *statement) number(i int) int {
	n, _ := strconv.Atoi(s.args[i])
	return n
}

func (s *statement) duration(i int) time.Duration {
	v, _ := time.ParseDuration(s.args[i])
	return v
}

func (s *statement) size(i int) int64 {
	n, _ := parseSize(s.args[i])
	return n
}

func (s *statement) signal(i int) syscall.Signal {
	sig, _ := parseSignal(s.args[i])
	return sig
}

// vocabulary returns the words of a script by name.
func vocabulary() map[string]*word {
	words := make(map[string]*word)
	for _, w := range []*word{
		{usage: "print TEXT...", do: func(d *daemon, s *statement) { d.write(1, []byte(s.text(0)+"\n")) }},
		{usage: "eprint TEXT...", do: func(d *daemon, s *statement) { d.write(2, []byte(s.text(0)+"\n")) }},
		{usage: "printn TEXT...", do: func(d *daemon, s *statement) { d.write(1, []byte(s.text(0))) }},
		{usage: "writefd N TEXT...", do: func(d *daemon, s *statement) { d.write(s.number(0), []byte(s.text(1)+"\n")) }},
		{usage: "openstdout TEXT...", do: (*daemon).openStdout},
		{usage: "lines N SIZE", do: func(d *daemon, s *statement) {
			d.lines(int(s.size(1)), func(n int, _ int64) bool { return n < s.number(0) })
		}},
		{usage: "flood [SIZE]", do: func(d *daemon, s *statement) {
			d.lines(99, func(_ int, written int64) bool { return len(s.args) == 0 || written < s.size(0) })
		}},
		{usage: "cat", do: (*daemon).cat},
		{usage: "readline", do: (*daemon).readLine},
		{usage: "closefd N...", do: func(d *daemon, s *statement) {
			for i := range s.args {
				d.must("close", syscall.Close(s.number(i)))
			}
		}},

		{usage: "exit CODE", last: true, do: func(_ *daemon, s *statement) { exit(s.number(0)) }},
		{usage: "sleep D", do: func(_ *daemon, s *statement) { time.Sleep(s.duration(0)) }},
		{usage: "block", last: true, do: func(*daemon, *statement) { block() }},
		{usage: "forever WORDS", last: true, do: func(d *daemon, s *statement) {
			for {
				d.run(s.body)
			}
		}},
		{usage: "repeat N WORDS", do: func(d *daemon, s *statement) {
			for range s.number(0) {
				d.run(s.body)
			}
		}},
		{usage: "once FILE WORDS", do: func(d *daemon, s *statement) {
			f, err := os.OpenFile(s.args[0], os.O_CREATE|os.O_EXCL, 0o666)
			if errors.Is(err, os.ErrExist) {
				return
			}
			d.must("once", err)
			f.Close()
			d.run(s.body)
		}},
		{usage: "exec PROGRAM ARG...", last: true, do: func(d *daemon, s *statement) {
			d.must("exec", syscall.Exec(s.args[0], s.args, os.Environ()))
		}},

		{usage: "trap SIG WORDS", do: (*daemon).trap},
		{usage: "ignore SIG...", do: func(_ *daemon, s *statement) {
			for i := range s.args {
				signal.Ignore(s.signal(i))
			}
		}},
		{usage: "raise SIG", do: func(d *daemon, s *statement) { d.raise(s.signal(0)) }},
		{usage: "stop", do: func(d *daemon, _ *statement) { d.raise(syscall.SIGSTOP) }},
		{usage: "segv", do: func(d *daemon, _ *statement) { d.raise(syscall.SIGSEGV) }},

		{usage: "fork WORDS", do: func(d *daemon, s *statement) { d.fork(s.raw, nil) }},
		{usage: "setsid WORDS", do: func(d *daemon, s *statement) { d.fork(s.raw, &syscall.SysProcAttr{Setsid: true}) }},
		{usage: "orphan N [D]", do: func(d *daemon, s *statement) {
			var life *unix.Timespec
			if len(s.args) > 1 {
				ts := unix.NsecToTimespec(s.duration(1).Nanoseconds())
				life = &ts
			}
			orphan(s.number(0), life)
		}},

		{usage: "touch FILE", do: func(d *daemon, s *statement) { d.must("touch", os.WriteFile(s.args[0], nil, 0o666)) }},
		{usage: "append FILE TEXT...", do: func(d *daemon, s *statement) {
			f, err := os.OpenFile(s.args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
			d.must("append", err)
			d.write(int(f.Fd()), []byte(s.text(1)+"\n"))
			f.Close()
		}},
		{usage: "show FILE", do: func(d *daemon, s *statement) {
			b, err := os.ReadFile(s.args[0])
			d.must("show", err)
			d.write(1, b)
		}},
		{usage: "waitfile FILE", do: func(_ *daemon, s *statement) {
			for !exists(s.args[0]) {
				time.Sleep(2 * time.Millisecond)
			}
		}},
		{usage: "notify TEXT...", do: (*daemon).notify},
		{usage: "listen ADDR [CODE]", do: (*daemon).listen},
		{usage: "alloc SIZE", do: func(d *daemon, s *statement) {
			d.ballast = append(d.ballast, bytes.Repeat([]byte{1}, int(s.size(0))))
		}},
		{usage: "burn D", do: func(_ *daemon, s *statement) {
			for cpuTime() < s.duration(0) {
			}
		}},

		{usage: "env [NAME]", do: (*daemon).env},
		{usage: "args", do: func(d *daemon, _ *statement) { d.print("args %q", os.Args[:len(os.Args)-1]) }},
		{usage: "pid", do: func(d *daemon, _ *statement) { d.print("pid %d", os.Getpid()) }},
		{usage: "ppid", do: func(d *daemon, _ *statement) { d.print("ppid %d", os.Getppid()) }},
		{usage: "pgid", do: func(d *daemon, _ *statement) { d.print("pgid %d", syscall.Getpgrp()) }},
		{usage: "sid", do: func(d *daemon, _ *statement) {
			sid, err := unix.Getsid(0)
			d.must("getsid", err)
			d.print("sid %d", sid)
		}},
		{usage: "cwd", do: func(d *daemon, _ *statement) {
			dir, err := syscall.Getwd()
			d.must("getcwd", err)
			d.print("cwd %s", dir)
		}},
		{usage: "uid", do: func(d *daemon, _ *statement) {
			groups, err := os.Getgroups()
			d.must("getgroups", err)
			d.print("uid %d gid %d groups %s", os.Getuid(), os.Getgid(), strings.Trim(fmt.Sprint(groups), "[]"))
		}},
		{usage: "fds", do: (*daemon).fds},
		{usage: "tty", do: (*daemon).tty},
		{usage: "status NAME...", do: func(d *daemon, s *statement) { d.status(s.args...) }},
		{usage: "sigmask", do: func(d *daemon, _ *statement) { d.status("SigBlk", "SigIgn", "SigCgt") }},
	} {
		words[w.name()] = w
	}
	return words
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// block waits for ever. An empty select would be a deadlock to Go's runtime.
func block() {
	for {
		unix.Poll(nil, -1)
	}
}

func cpuTime() time.Duration {
	var ru unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func (d *daemon) openStdout(s *statement) {
	fd, err := syscall.Open("/dev/stdout", syscall.O_WRONLY, 0)
	d.must("open /dev/stdout", err)
	d.write(fd, []byte(s.text(0)+"\n"))
	syscall.Close(fd)
}

// lines writes lines while more wants them, in pieces that do not end where lines do.
func (d *daemon) lines(size int, more func(n int, written int64) bool) {
	const piece = 32 << 10
	var b []byte
	var written int64
	for n := 0; more(n, written); n++ {
		b = append(appendLine(b, n, size), '\n')
		written += int64(size) + 1
		for len(b) >= piece {
			d.write(1, b[:piece])
			b = b[:copy(b, b[piece:])]
		}
	}
	d.write(1, b)
}

func (d *daemon) cat(*statement) {
	b := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(0, b)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, -1)
		case err != nil:
			d.die(exitIO, "read 0: %v", err)
		case n == 0:
			return
		default:
			d.write(1, b[:n])
		}
	}
}

func (d *daemon) readLine(*statement) {
	b := make([]byte, 1) // no more than the line, the rest may be for cat
	for b[0] != '\n' {
		switch n, err := syscall.Read(0, b); {
		case err == syscall.EINTR:
		case err != nil:
			d.die(exitIO, "read 0: %v", err)
		case n == 0:
			d.die(exitIO, "read 0: %v", io.EOF)
		}
	}
}

func (d *daemon) trap(s *statement) {
	sig := s.signal(0)
	c := make(chan os.Signal, 64)
	if act, ok := d.actions[sig]; ok {
		// The runtime believes that its handler is in place, so Notify would not install it again.
		rtSigaction(sig, &act, nil)
		delete(d.actions, sig)
	}
	signal.Notify(c, sig)
	go func() { // until the process ends
		for range c {
			d.run(s.body)
		}
	}()
}

func (d *daemon) raise(sig syscall.Signal) {
	switch sig {
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE:
		rtSigaction(sig, new(sigaction), nil)
	}
	// No core file in the directory of a test.
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	// To this thread: a signal to the process can reach another one, while this goes on and ends with 0.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d.must("tgkill", unix.Tgkill(os.Getpid(), unix.Gettid(), sig))
}

// fork starts this program once more, with a script of its own.
func (d *daemon) fork(script string, attr *syscall.SysProcAttr) {
	p, err := os.StartProcess("/proc/self/exe", []string{"testdaemon", script}, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   attr,
	})
	d.must("fork", err)
	go p.Wait() // until the child ends
}

// orphan makes n children of a child that ends at once. They sleep for life, or for ever if it is nil. They are bare
// forks, since 600 executions of a test binary would take seconds; for the same reason none of what a forked Go
// program must not do is done here: it makes system calls, and nothing else.
//
//go:norace
func orphan(n int, life *unix.Timespec) {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		exit(exitIO)
	}
	if pid != 0 {
		syscall.Wait4(int(pid), nil, 0, nil)
		return
	}
	code := uintptr(0)
	for range n {
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			code = exitIO
			break
		}
		if pid != 0 {
			continue
		}
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(life)), 0, 0, 0)
		break
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, code, 0, 0)
	}
}

func (d *daemon) notify(s *statement) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		d.die(exitIO, "notify: NOTIFY_SOCKET is not set")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	d.must("socket", err)
	d.must("sendto", unix.Sendto(fd, []byte(strings.Join(s.args, "\n")), 0, &unix.SockaddrUnix{Name: name}))
	unix.Close(fd)
}

func (d *daemon) listen(s *statement) {
	network := "tcp"
	if strings.Contains(s.args[0], "/") {
		network = "unix"
	}
	l, err := net.Listen(network, s.args[0])
	d.must("listen", err)
	code := 200
	if len(s.args) > 1 {
		code = s.number(1)
	}
	go func() { // until the process ends
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // one answer, then ends
				defer conn.Close()
				r := bufio.NewReader(conn)
				for line := "x"; strings.TrimSpace(line) != ""; {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				fmt.Fprintf(conn, "HTTP/1.1 %d answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", code)
			}()
		}
	}()
}

func (d *daemon) env(s *statement) {
	if len(s.args) > 0 {
		if v, ok := os.LookupEnv(s.args[0]); ok {
			d.print("%s=%s", s.args[0], v)
		} else {
			d.print("%s unset", s.args[0])
		}
		return
	}
	env := os.Environ()
	slices.Sort(env)
	for _, kv := range env {
		d.print("%s", kv)
	}
}

// fds prints the descriptors that survive an exec: those are the inherited ones, for Go makes its own the other way.
func (d *daemon) fds(*statement) {
	entries, err := os.ReadDir("/proc/self/fd")
	d.must("fds", err)
	var fds []int
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	d.print("fds %s", strings.Trim(fmt.Sprint(fds), "[]"))
}

func (d *daemon) tty(*statement) {
	line := "tty"
	foreground := false
	for fd := range 3 {
		if pgid, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil {
			line += fmt.Sprintf(" %d", fd)
			foreground = pgid == syscall.Getpgrp()
		}
	}
	if foreground {
		line += " foreground"
	}
	d.print("%s", line)
}

func (d *daemon) status(names ...string) {
	b, err := os.ReadFile("/proc/self/status")
	d.must("status", err)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if slices.Contains(names, name) {
			d.print("%s %s", name, strings.Join(strings.Fields(value), " "))
		}
	}
}
