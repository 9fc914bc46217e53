package child_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/proc"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// TestGroups is what becomes of a process group, on every kernel alike.
func TestGroups(t *testing.T) {
	const (
		main     = "trap TERM { print term; exit 3 }; trap HUP exit 0; pid; print main; block"
		deaf     = "fork { ignore TERM; print member; block }; "
		slow     = "fork { trap TERM { sleep 30ms; print done; exit 0 }; print member; block }; "
		requests = "exited code 3 as requested"
	)
	ready := []string{"main", "member"} // in any order
	for _, tt := range []struct {
		name   string
		script string
		spec   child.Spec
		do     func(p *play)
		events string
	}{
		{
			name: "a stop waits for the others", script: slow + main,
			do:     func(p *play) { p.tell(child.Terminate{}); p.hear("term", "done"); p.hear() },
			events: requests + "; stopped",
		},
		{
			name: "the others have the grace", script: deaf + main, spec: child.Spec{RestartGrace: time.Second},
			do:     func(p *play) { p.tell(child.Terminate{}); p.hear("term"); p.hear() },
			events: requests + "; killed; stopped",
		},
		{
			name: "not with kill_mode process", script: deaf + main, spec: child.Spec{KillMode: child.KillProcess},
			do: func(p *play) {
				p.tell(child.Terminate{})
				p.hear("term")
				p.expect("stopped")
				p.alive()
			},
			events: requests + "; stopped",
		},
		{
			name: "a restart waits for the others", script: slow + main,
			do: func(p *play) {
				p.tell(child.Restart{})
				p.hear("term", "done")
				p.hear(ready...)
				p.tell(child.Kill{})
				p.hear()
			},
			events: "restarting; " + requests + "; started; exited code -9 (SIGKILL) as requested",
		},
		{
			name: "the others live on, until the next start", script: deaf + main,
			do: func(p *play) {
				p.hup()
				p.expect("exited")
				p.alive()
				p.tell(child.Start{})
				p.hear(ready...)
				p.tell(child.Kill{})
				p.hear()
			},
			events: "exited code 0; starting; started; exited code -9 (SIGKILL) as requested",
		},
		{
			name: "the others live on, until a stop", script: slow + main,
			do: func(p *play) {
				p.hup()
				p.expect("exited")
				p.alive()
				p.tell(child.Terminate{})
				p.hear("done")
				p.hear()
			},
			events: "exited code 0; stopped",
		},
		{
			name: "the others live on, until the end of the bundle", script: deaf + main,
			do: func(p *play) {
				p.hup()
				p.expect("exited")
				p.tell(child.Retire{})
				p.alive()
				p.tell(child.Kill{})
				p.hear()
			},
			events: "exited code 0",
		},
		{
			name: "alone, and collected at once", script: main,
			spec: child.Spec{Name: "alone"},
			do: func(p *play) {
				p.hup()
				p.expect("exited")
				if s := proc.Read(p.main); s.PID != 0 {
					p.t.Errorf("the main process is there: %+v", s)
				}
			},
			events: "exited code 0",
		},
	} {
		for _, k := range child.Kernels() {
			t.Run(k.Name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				spec := *testproc.Spec("x", tt.script)
				spec.RestartGrace, spec.KillMode = cmp.Or(tt.spec.RestartGrace, 20*time.Second), tt.spec.KillMode
				p := perform(t, k, &spec)
				if p.tell(child.Start{}); tt.spec.Name == "alone" {
					p.hear("main")
				} else {
					p.hear(ready...)
				}
				p.expect("started")
				p.events = nil
				tt.do(p)
				if !strings.Contains(tt.events, "SIGKILL") {
					p.expect(tt.events[strings.LastIndex(tt.events, " ")+1:])
				}
				p.end()
				if got := strings.Join(p.events, "; "); got != tt.events {
					t.Errorf("events: got %s, want %s", got, tt.events)
				}
				if s := proc.Read(p.main); s.PID != 0 && s.Parent == os.Getpid() {
					t.Errorf("at the end the main process is there: %+v", s)
				}
			})
		}
	}
}

// A play is a real daemon, whose group is seen from outside.
type play struct {
	t       *testing.T
	child   *child.Child
	spec    *child.Spec
	out     *bufio.Reader // its end means that nobody of a life is left
	w       *os.File
	news    chan string // events
	events  []string
	done    chan error
	main    int // the PID of the main process
	members []int
}

func perform(t *testing.T, k child.Kernel, spec *child.Spec) *play {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	p := &play{t: t, spec: spec, out: bufio.NewReader(r), w: w, news: make(chan string, 100), done: make(chan error, 1)}
	e := k.On(child.Exec{Output: func(*child.Spec) (child.Output, error) { return child.Output{Stdout: w, Stderr: w}, nil }})
	p.child = child.New(spec, e, child.Hooks{Event: func(e child.Event) {
		s := string(e.Kind)
		if e.Kind == child.EventExited {
			s += " " + e.Exit.String()
		}
		if e.Requested {
			s += " as requested"
		}
		if e.Kind != child.EventForwarded {
			p.news <- s
		}
	}})
	go func() { p.done <- p.child.Run() }()
	return p
}

func (p *play) tell(m child.Msg) { _ = p.child.Ref().Tell(m) }
func (p *play) hup()             { p.tell(child.Signal{Sig: syscall.SIGHUP}) }

// hear waits for lines, in any order; for none it waits until everybody who could write one has ended.
func (p *play) hear(lines ...string) {
	p.t.Helper()
	if len(lines) == 0 {
		p.w.Close()
		if line, err := p.out.ReadString('\n'); err != io.EOF {
			p.t.Fatalf("got %q, %v, want the end", line, err)
		}
		return
	}
	for left := slices.Clone(lines); len(left) > 0; {
		line, err := p.out.ReadString('\n')
		if _, scanErr := fmt.Sscanf(line, "pid %d\n", &p.main); scanErr == nil {
			continue
		}
		i := slices.Index(left, strings.TrimSuffix(line, "\n"))
		if i < 0 {
			p.t.Fatalf("got %q, %v, want %q", line, err, left)
		}
		left = slices.Delete(left, i, i+1)
	}
}

// expect waits for an event.
func (p *play) expect(kind string) {
	p.t.Helper()
	for !slices.ContainsFunc(p.events, func(e string) bool { return strings.HasPrefix(e, kind) || strings.HasSuffix(e, kind) }) {
		select {
		case e := <-p.news:
			p.events = append(p.events, e)
		case <-time.After(20 * time.Second):
			p.t.Fatalf("no event %s after %q", kind, p.events)
		}
	}
}

// alive holds that another of the group lives.
func (p *play) alive() {
	p.t.Helper()
	for _, pid := range proc.PIDs("/proc") {
		if s := proc.Read(pid); s.Group == p.main && pid != p.main && !s.Dead() {
			p.members = append(p.members, pid)
			return
		}
	}
	p.t.Error("nobody else of the group lives")
}

// end ends the Child, and what it is not to touch.
func (p *play) end() {
	p.tell(child.Kill{})
	if err := <-p.done; err != nil {
		p.t.Errorf("Run: got %v, want nil", err)
	}
	for len(p.news) > 0 {
		p.events = append(p.events, <-p.news)
	}
	if p.spec.KillMode == child.KillProcess {
		for _, pid := range p.members {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// TestZombieMember: who has ended in the group, and is not collected by a parent elsewhere, is not waited for.
func TestZombieMember(t *testing.T) {
	for _, k := range child.Kernels() {
		if k.List != nil { // without /proc it cannot be known
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			zombies := false
			k.List = func() (all []proc.Stat) {
				for _, pid := range proc.PIDs("/proc") {
					s := proc.Read(pid)
					if zombies {
						s.State = 'Z'
					}
					all = append(all, s)
				}
				return all
			}
			w := &realWorld{t: t, kernel: k, script: "fork { trap USR1 print alive; pid; print ready; block }; trap TERM exit 3; print ready; block"}
			p, err := w.spawn()
			if err != nil {
				t.Fatal(err)
			}
			signals(2, false, syscall.SIGTERM)(t, w, p)
			if exit := p.Wait(); exit.Code != 3 {
				t.Errorf("exit: got %v, want code 3", exit)
			}
			if !p.Left() {
				t.Error("alive: got none left")
			}
			zombies = true
			if p.Left() {
				t.Error("a zombie: got left")
			}
			p.Release(false)
		})
	}
}

// TestManyStops: those who stop at the same time share looks at /proc.
func TestManyStops(t *testing.T) {
	const n = 100
	for _, k := range child.Kernels() {
		if k.List != nil {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			looks := 0 // one at a time
			k.List = func() (all []proc.Stat) {
				looks++
				for _, pid := range proc.PIDs("/proc") {
					all = append(all, proc.Read(pid))
				}
				return all
			}
			e := k.On(child.Exec{})
			var started, ended sync.WaitGroup
			started.Add(n)
			daemons := make([]*child.Child, n)
			for i := range daemons {
				daemons[i] = child.New(&child.Spec{Name: "x", Program: child.Program{Argv: []string{"/bin/sleep", "1000"}}}, e, child.Hooks{Event: func(e child.Event) {
					if e.Kind == child.EventStarted {
						started.Done()
					}
				}})
				ended.Go(func() { _ = daemons[i].Run() })
				_ = daemons[i].Ref().Tell(child.Start{})
			}
			started.Wait()
			begin := time.Now()
			for _, d := range daemons {
				_ = d.Ref().Tell(child.Terminate{Final: true})
			}
			ended.Wait()
			t.Logf("%d daemons have stopped in %v, with %d looks at /proc", n, time.Since(begin), looks)
			if looks > n/2 {
				t.Errorf("%d daemons have stopped with %d looks at /proc", n, looks)
			}
		})
	}
}
