package reap

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/proc"
)

const (
	// recheck is how long a sweep waits for SIGCHLD before it looks again: a process that becomes our child because
	// its parent ended tells us nothing, and neither does the end of a child that another thread waits for.
	recheck = 10 * time.Millisecond
	// pause spaces the looks of the time before SIGKILL. Whoever forks and ends without end would keep us busy, and
	// the scheduler would then hold that time against us when the race matters.
	pause = time.Millisecond
)

// Sweep ends what is alive once the program's own processes have ended: each gets SIGTERM and SIGCONT, TermTime or what
// is left of it until the deadline, then SIGKILL. After the deadline it gets SIGKILL at once. The zero deadline is
// TermTime from now.
//
// Sweep returns when nothing is left; when nothing has ended for the time of bound after SIGKILL; and in any case bound
// after the deadline. A call that came later than that kills whoever it finds in one look, however long that takes, and returns
// 10 ms after it. A process that another thread of this program waits for is
// signalled too, and left for it to reap. The main goroutine calls Sweep after Run.
//
// Who is left is found in /proc. Where that is missing, or is that of another pid namespace, PID 1 does not need it;
// a subreaper can then only wait.
func (r *Reaper) Sweep(deadline time.Time, bound time.Duration) Swept {
	defer onMainThread()()
	s := &sweep{Reaper: r, self: os.Getpid(), proc: proc.IsOwn(), sent: map[int]syscall.Signal{}}
	s.wake = make(chan os.Signal, 1)
	signal.Notify(s.wake, unix.SIGCHLD)
	defer signal.Stop(s.wake)
	s.timer = time.NewTimer(0)
	defer s.timer.Stop()

	now := time.Now()
	term := now.Add(TermTime)
	if deadline.IsZero() {
		deadline = term
	}
	if deadline.Before(term) {
		term = deadline
	}
	if term.After(now) && s.phase(unix.SIGTERM, term, TermTime) {
		return s.swept
	}
	s.swept.Left = !s.phase(unix.SIGKILL, deadline.Add(bound), bound)
	return s.swept
}

type sweep struct {
	*Reaper
	swept Swept
	self  int
	proc  bool                   // /proc can be used
	sent  map[int]syscall.Signal // to each child, where signals go to children one by one
	wake  chan os.Signal
	timer *time.Timer
}

// phase sends sig to all that is left, and reaps, until nothing is left (then it returns true), until nothing new has
// been found for the time of patience, or until end.
func (s *sweep) phase(sig syscall.Signal, end time.Time, patience time.Duration) (empty bool) {
	late := func() bool { return !time.Now().Before(end) }
	last := time.Now()
	for first := true; ; first = false {
		// As PID 1 one system call reaches everybody, also those that are forking: it holds the lock of the process
		// list. It returns 0 even if it was allowed to kill nobody, so only the absence of children counts.
		if s.self == 1 && (first || sig == unix.SIGKILL) {
			s.sendAll(sig)
		}
		looking := late
		if first && sig == unix.SIGKILL {
			// Where the kernel does not list children, a look reads all of /proc, which on a busy machine takes longer than
			// what is left. Who is not found now is left alive.
			looking = func() bool { return false }
		}
		news, others := s.sendEach(sig, looking)
		if soonest := time.Now().Add(recheck); first && sig == unix.SIGKILL && end.Before(soonest) {
			end = soonest
		}
		empty := s.drain(late, func(pid int, status syscall.WaitStatus) {
			news = true
			delete(s.sent, pid)
			s.swept.Reaped++
			if sig == unix.SIGKILL && status.Signaled() && status.Signal() == unix.SIGKILL {
				s.swept.Killed++
			}
			s.report(pid, status)
		})
		// The others were counted first: whoever was alive then is among them, or has left its children to us.
		if empty && others == 0 {
			return true
		}
		now := time.Now()
		if news {
			last = now
		}
		if !now.Before(end) || now.Sub(last) >= patience {
			return false
		}
		wake, wait := s.wake, min(recheck, end.Sub(now), patience-now.Sub(last))
		if news {
			if sig == unix.SIGKILL {
				continue // those that fork and end are caught only by being faster
			}
			wake, wait = nil, min(pause, wait)
		}
		s.timer.Reset(wait)
		select {
		case <-wake:
		case <-s.timer.C:
		}
	}
}

// sendAll sends sig to every process of the pid namespace. Outside of a container that would be every process of the
// machine, hence the condition.
func (s *sweep) sendAll(sig syscall.Signal) {
	if os.Getpid() != 1 {
		return
	}
	syscall.Kill(-1, sig)
	if sig == unix.SIGTERM {
		syscall.Kill(-1, unix.SIGCONT) // a stopped process would not see it
	}
}

// sendEach sends sig to every child that has not had it, and returns whether there was one, and how many live children
// other threads have. Its grandchildren come to us when a child ends, so there is no tree to walk.
func (s *sweep) sendEach(sig syscall.Signal, late func() bool) (news bool, others int) {
	if !s.proc {
		return false, 0
	}
	own, foreign := s.children(late)
	for _, pid := range own { // nobody but us reaps these, so pid is what it was
		news = s.send(pid, sig, late) || news
	}
	for _, pid := range foreign {
		// Another thread may reap this one at any moment. Its number would have to be used up and come round again
		// between the next two lines.
		if is := proc.Read(pid); is.Parent != s.self || is.Dead() {
			continue
		}
		others++
		news = s.send(pid, sig, late) || news
	}
	if late() {
		others++ // there was no time to look at all
	}
	return news, others
}

func (s *sweep) send(pid int, sig syscall.Signal, late func() bool) bool {
	if s.self == 1 || s.sent[pid] == sig || late() {
		return false
	}
	s.sent[pid] = sig
	// A session that is not ours was made by a descendant of ours, and only its descendants can be in it. So the group
	// can be killed, at once, and whoever forks in it loses.
	if group := s.foreignGroup(pid); group > 1 && sig == unix.SIGKILL {
		syscall.Kill(-group, sig)
	}
	syscall.Kill(pid, sig)
	if sig == unix.SIGTERM {
		syscall.Kill(pid, unix.SIGCONT)
	}
	return true
}

// foreignGroup is the process group of a child, 0 if its session is ours.
func (s *sweep) foreignGroup(pid int) int {
	ours, err := unix.Getsid(0)
	if err != nil {
		return 0
	}
	if theirs, err := unix.Getsid(pid); err != nil || theirs == ours {
		return 0
	}
	group, err := unix.Getpgid(pid)
	if err != nil {
		return 0
	}
	return group
}
