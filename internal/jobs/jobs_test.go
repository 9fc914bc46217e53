package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/schedule"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// A clock is a wall clock that can be set.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
	timer  *time.Timer
	at     time.Time
	wake   func()
	closed chan struct{}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Set is Timer.
func (c *clock) Set(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
	c.rearm()
	return nil
}

func (c *clock) rearm() {
	if c.timer != nil {
		c.timer.Stop()
	}
	if !c.at.IsZero() {
		c.timer = time.AfterFunc(c.at.Sub(time.Now().Add(c.offset)), c.tick)
	}
}

func (c *clock) tick() {
	c.mu.Lock()
	wake := c.wake
	c.mu.Unlock()
	wake()
}

// Run is Timer.
func (c *clock) Run(wake func()) error {
	c.mu.Lock()
	c.wake = wake
	c.mu.Unlock()
	<-c.closed
	return nil
}

// Close is Timer.
func (c *clock) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Time{}
	c.rearm()
	close(c.closed)
	return nil
}

// jump sets the clock.
func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	c.offset += d
	c.rearm()
	c.mu.Unlock()
	c.tick()
}

// A lab has jobs with processes in memory, in a bubble.
type lab struct {
	t     *testing.T
	fake  *testproc.Fake
	root  *root.Root
	k     *Keeper
	clock *clock
	done  chan struct{}
	code  int

	mu     sync.Mutex
	events []string
}

func at(t *testing.T, cron, zone string) bundle.Trigger {
	t.Helper()
	z, err := schedule.Zone(zone)
	if err != nil {
		t.Skip(err)
	}
	when, err := schedule.Parse(cron, z)
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Trigger{Cron: cron, Timezone: zone, When: when}
}

// define makes a job; change may change it.
func define(name string, triggers ...bundle.Trigger) Definition {
	return Definition{Name: name, Job: bundle.Job{Manual: true, Triggers: triggers}}
}

// specs are the daemons that jobs are, behind those of services.
func specs(services []child.Spec, jobs []Definition) []child.Spec {
	for _, d := range jobs {
		trigger := child.TriggerManual
		if len(d.Triggers) > 0 {
			trigger = child.TriggerSchedule
		}
		services = append(services, child.Spec{
			Name: d.Name, Program: child.Program{Argv: []string{"/bin/" + d.Name}}, Job: trigger, Timeout: d.Timeout, After: d.After, StopGrace: time.Second,
		})
	}
	return services
}

func service(name string) child.Spec {
	return child.Spec{Name: name, Program: child.Program{Argv: []string{"/bin/" + name}}}
}

func ends(d time.Duration, code int) []testproc.Life {
	return []testproc.Life{{ExitAfter: d, Exit: child.Exit{Code: code}}}
}

// experiment runs a bundle in a bubble, and shuts it down when do returns.
func experiment(t *testing.T, services []child.Spec, jobs []Definition, lives map[string][]testproc.Life, do func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, fake: &testproc.Fake{Lives: lives}, clock: &clock{closed: make(chan struct{})}, done: make(chan struct{})}
		r, err := root.New(root.Config{Specs: specs(services, jobs), Spawner: l.fake, Observe: func(e child.Event) {
			l.note(e)
			l.k.Observe(e)
		}})
		if err != nil {
			t.Fatal(err)
		}
		l.root = r
		l.fake.OnReady = func(daemon string, life, _ int) {
			_ = r.Ref().Tell(root.Fact{Name: daemon, Msg: child.Ready{Gen: uint64(life)}})
		}
		l.k = New(Options{
			Root: r.Ref(), Observe: l.note, Now: l.clock.now, NewTimer: func() (Timer, error) { return l.clock, nil },
			Printf: func(format string, a ...any) { l.say(fmt.Sprintf(format, a...)) },
		})
		l.k.Set(jobs)
		kept := make(chan error)
		go func() { kept <- l.k.Run() }()
		go func() {
			l.code, _ = r.Run()
			close(l.done)
		}()
		synctest.Wait()
		do(l)
		_ = r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
		<-l.done
		l.k.Close()
		if err := <-kept; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		l.fake.Check(t)
	})
}

func (l *lab) say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, line)
}

// note keeps what happens to jobs, with the time of the clock that can be set.
func (l *lab) note(e child.Event) {
	if e.Trigger == "" {
		return
	}
	switch e.Kind {
	case child.EventStarting, child.EventExited, child.EventFailed, EventSkipped:
		l.say(fmt.Sprintf("%s %s %s", l.clock.now().UTC().Format("02 15:04:05"), e.Daemon, e.Kind))
	case EventMissed:
		l.say(fmt.Sprintf("%s %s missed %d, %s", l.clock.now().UTC().Format("02 15:04:05"), e.Daemon, e.Attempt, e.Reason))
	}
}

// took returns what has happened since it was called last.
func (l *lab) took() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.events
	l.events = nil
	return all
}

// want compares what has happened, in the order of time: what happens at the same time to several jobs has none.
func (l *lab) want(want ...string) {
	l.t.Helper()
	got := l.took()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// job is what the keeper says of one.
func (l *lab) job(name string) Status {
	l.t.Helper()
	all, err := l.k.List(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	l.t.Fatalf("there is no job %s", name)
	return Status{}
}

// The bubble's clock begins on 1 January 2000, a Saturday, at midnight UTC.

func TestSchedule(t *testing.T) {
	jobs := []Definition{define("a", at(t, "*/20 * * * *", "UTC")), define("b", at(t, "0 2 * * *", "Europe/Berlin"))}
	experiment(t, []child.Spec{service("web")}, jobs, map[string][]testproc.Life{"a": ends(time.Second, 0), "b": ends(time.Minute, 3)}, func(l *lab) {
		l.want()
		time.Sleep(65 * time.Minute)
		l.want("01 00:20:00 a starting", "01 00:20:01 a exited", "01 00:40:00 a starting", "01 00:40:01 a exited",
			"01 01:00:00 a starting", "01 01:00:00 b starting", "01 01:00:01 a exited", "01 01:01:00 b exited")
		if s := l.job("b"); s.Last.Result != Failed || s.Last.Code != 3 || s.State() != "scheduled" || s.Next.UTC().Day() != 2 || s.Counts[Failed] != 1 {
			t.Errorf("got %+v, %+v", s, s.Last)
		}
		if s := l.job("a"); s.Last.ID != 3 || s.Counts[Succeeded] != 3 || !s.LastSuccess.Equal(s.Last.Ended) {
			t.Errorf("got %+v, %+v", s, s.Last)
		}
	})
}

// TestYear: each fire of a year exactly once, over the changes of the clock.
func TestYear(t *testing.T) {
	jobs := []Definition{define("daily", at(t, "30 2 * * *", "America/New_York")), define("hourly", at(t, "0 * * * *", "America/New_York"))}
	lives := map[string][]testproc.Life{"daily": ends(time.Second, 0), "hourly": ends(time.Second, 0)}
	experiment(t, []child.Spec{service("web")}, jobs, lives, func(l *lab) {
		time.Sleep(366*24*time.Hour + time.Minute)
		if s := l.job("daily"); s.Counts[Succeeded] != 366 || s.Counts[Skipped]+s.Counts[Missed] != 0 {
			t.Errorf("daily: %v", s.Counts)
		}
		if s := l.job("hourly"); s.Counts[Succeeded] != 366*24 || s.Counts[Skipped]+s.Counts[Missed] != 0 {
			t.Errorf("hourly: %v", s.Counts)
		}
	})
}

// TestConcurrency: a fire during a run is skipped, or one of them waits.
func TestConcurrency(t *testing.T) {
	queue := at(t, "* * * * *", "UTC")
	queue.Queue = true
	jobs := []Definition{define("forbid", at(t, "* * * * *", "UTC")), define("queue", queue)}
	lives := map[string][]testproc.Life{"forbid": ends(150*time.Second, 0), "queue": ends(150*time.Second, 0)}
	experiment(t, []child.Spec{service("web")}, jobs, lives, func(l *lab) {
		time.Sleep(5*time.Minute + time.Second)
		var forbid, queue []string
		for _, e := range l.took() {
			if strings.Contains(e, "forbid") {
				forbid = append(forbid, e)
			} else {
				queue = append(queue, e)
			}
		}
		if want := []string{
			"01 00:01:00 forbid starting", "01 00:02:00 forbid job-skipped", "01 00:03:00 forbid job-skipped", "01 00:03:30 forbid exited",
			"01 00:04:00 forbid starting", "01 00:05:00 forbid job-skipped",
		}; !slices.Equal(forbid, want) {
			t.Errorf("forbid: got %q", forbid)
		}
		if want := []string{
			"01 00:01:00 queue starting", "01 00:03:00 queue job-skipped", "01 00:03:30 queue exited", "01 00:03:30 queue starting", "01 00:05:00 queue job-skipped",
		}; !slices.Equal(queue, want) {
			t.Errorf("queue: got %q", queue)
		}
		if _, err := l.k.Start(l.t.Context(), "forbid", nil); err == nil || err.Error() != "forbid is running" {
			t.Errorf("a run beside another: %v", err)
		}
		r, err := l.k.Start(l.t.Context(), "queue", nil)
		if err != nil || r.Result != Waiting {
			t.Errorf("a run that waits: %+v, %v", r, err)
		}
		if _, err := l.k.Start(l.t.Context(), "queue", nil); err == nil {
			t.Error("two runs by hand wait")
		}
		r, err = l.k.Wait(l.t.Context(), "queue", r.ID, true)
		if err != nil || r.Result != Succeeded || r.Trigger != child.TriggerManual {
			t.Errorf("it has come to %+v, %v", r, err)
		}
	})
}

// TestClockSet: what could not fire in time is made up for by one run, or by none, and no instant fires twice.
func TestClockSet(t *testing.T) {
	skip := at(t, "0 * * * *", "UTC")
	skip.SkipMissed = true
	jobs := []Definition{define("one", at(t, "0 * * * *", "UTC")), define("skip", skip)}
	lives := map[string][]testproc.Life{"one": ends(time.Second, 0), "skip": ends(time.Second, 0)}
	experiment(t, []child.Spec{service("web")}, jobs, lives, func(l *lab) {
		l.clock.jump(3*time.Hour + 10*time.Minute)
		l.want("01 03:10:00 one missed 3, one run stands for all", "01 03:10:00 skip missed 3, nothing runs for them", "01 03:10:00 one starting")
		time.Sleep(time.Minute)
		l.want("01 03:10:01 one exited")
		l.clock.jump(-2 * time.Hour) // 01:11
		l.want()
		time.Sleep(2*time.Hour - time.Second) // it shows what it has shown before
		l.want()
		time.Sleep(time.Hour)
		l.want("01 04:00:00 one starting", "01 04:00:00 skip starting", "01 04:00:01 one exited", "01 04:00:01 skip exited")
		l.clock.jump(time.Date(2000, 1, 1, 5, 0, 30, 0, time.UTC).Sub(l.clock.now())) // to 30 s after the next fire
		time.Sleep(time.Second)
		for _, e := range l.took() {
			if strings.Contains(e, "missed") {
				t.Errorf("half a minute late is in time: %s", e)
			}
		}
		l.clock.jump(400 * 24 * time.Hour)
		l.want()
		l.clock.jump(-400 * 24 * time.Hour)
		l.want()
	})
}

// TestPause: a paused job neither fires nor is run, and nothing is made up for.
func TestPause(t *testing.T) {
	jobs := []Definition{define("a", at(t, "*/10 * * * *", "UTC"))}
	experiment(t, []child.Spec{service("web")}, jobs, map[string][]testproc.Life{"a": ends(time.Second, 0)}, func(l *lab) {
		ctx := l.t.Context()
		if err := l.k.Pause(ctx, "a", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(35 * time.Minute)
		l.want()
		if _, err := l.k.Start(ctx, "a", nil); err == nil || !strings.Contains(err.Error(), "paused") {
			t.Errorf("a run: %v", err)
		}
		if s := l.job("a"); s.State() != "paused" || !s.Next.IsZero() {
			t.Errorf("got %s, next %s", s.State(), s.Next)
		}
		if err := l.k.Pause(ctx, "a", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		l.want("01 00:40:00 a starting", "01 00:40:01 a exited")
	})
}

// TestCancel: a run in progress, one that waits for what it depends on, and one that waits for its turn.
func TestCancel(t *testing.T) {
	queue := at(t, "0 0 1 1 *", "UTC")
	queue.Queue = true
	late := define("late")
	late.After = []child.Dependency{{Name: "db", Condition: child.ServiceHealthy}}
	jobs := []Definition{define("a", queue), late}
	db := service("db")
	db.Readiness = true
	experiment(t, []child.Spec{db}, jobs, nil, func(l *lab) {
		ctx := l.t.Context()
		first, err := l.k.Start(ctx, "a", nil)
		second, err2 := l.k.Start(ctx, "a", nil)
		third, err3 := l.k.Start(ctx, "late", nil)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, r := range []Run{second, first, third} {
			if err := l.k.Cancel(ctx, r.Job, r.ID); err != nil {
				t.Error(err)
			}
			r, err := l.k.Wait(ctx, r.Job, r.ID, true)
			if err != nil || r.Result != Cancelled || r.Code != CodeCancelled {
				t.Errorf("%s, run %d: %+v, %v", r.Job, r.ID, r, err)
			}
		}
		synctest.Wait()
		if err := l.k.Cancel(ctx, "a", 0); err == nil {
			t.Error("nothing runs, and it was cancelled")
		}
		if s := l.job("late"); s.Current != nil {
			t.Errorf("late is still there: %+v", s.Current)
		}
		if again, err := l.k.Start(ctx, "late", nil); err != nil || again.ID != 2 {
			t.Errorf("a run after one that was cancelled: %+v, %v", again, err)
		}
	})
}

// TestNeeds: a run by hand has what it depends on; a fire does not wait for it.
func TestNeeds(t *testing.T) {
	main := define("main", at(t, "0 6 * * *", "UTC"))
	main.After = []child.Dependency{
		{Name: "prep", Condition: child.ServiceCompletedSuccessfully}, {Name: "db", Condition: child.ServiceStarted}, {Name: "init", Condition: child.ServiceCompletedSuccessfully},
	}
	bad := define("bad")
	bad.After = []child.Dependency{{Name: "fails", Condition: child.ServiceCompletedSuccessfully}}
	never := define("never")
	never.After = []child.Dependency{{Name: "machine", Condition: child.ServiceStarted}}
	machine := define("machine")
	machine.Manual = false
	jobs := []Definition{main, define("prep"), bad, define("fails"), never, machine}
	lives := map[string][]testproc.Life{"main": ends(time.Second, 0), "prep": ends(time.Minute, 0), "init": ends(time.Minute, 0), "fails": ends(time.Second, 7)}
	experiment(t, []child.Spec{service("db"), service("init")}, jobs, lives, func(l *lab) {
		ctx := l.t.Context()
		_ = l.root.Ref().Tell(root.Do{Name: "db", Msg: child.Terminate{}})
		synctest.Wait()
		r, err := l.k.Start(ctx, "main", []string{"x"})
		if err != nil {
			t.Fatal(err)
		}
		if r, err = l.k.Wait(ctx, "main", r.ID, true); err != nil || r.Result != Succeeded {
			t.Errorf("got %+v, %v", r, err)
		}
		l.want("01 00:00:00 prep starting", "01 00:01:00 prep exited", "01 00:01:00 main starting", "01 00:01:01 main exited")
		for name, want := range map[string]string{
			"bad": "the job fails that it depends on has failed", "never": "machine cannot be run by hand: its triggers say manual: false",
		} {
			r, err := l.k.Start(ctx, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r, err = l.k.Wait(ctx, name, r.ID, true); err != nil || r.Result != Failed || r.Reason != want {
				t.Errorf("%s: got %+v, %v", name, r, err)
			}
		}
		l.took()
		time.Sleep(6 * time.Hour)
		l.want("01 06:00:00 main starting", "01 06:00:01 main exited")
	})
}

// TestOrder: jobs that are due at the same time start in the order of the file.
func TestOrder(t *testing.T) {
	const n = 1000
	var jobs []Definition
	lives := map[string][]testproc.Life{}
	every := at(t, "* * * * *", "UTC")
	for i := range n {
		name := fmt.Sprintf("j%03d", i)
		jobs = append(jobs, define(name, every))
		lives[name] = []testproc.Life{{StartDelay: time.Millisecond, ExitAfter: time.Second}}
	}
	experiment(t, []child.Spec{service("web")}, jobs, lives, func(l *lab) {
		time.Sleep(time.Minute + 10*time.Second)
		var started []string
		for _, e := range l.took() {
			if strings.HasSuffix(e, "starting") {
				started = append(started, strings.Fields(e)[2])
			}
		}
		if len(started) != n || !slices.IsSorted(started) {
			t.Errorf("%d have started, sorted: %v", len(started), slices.IsSorted(started))
		}
	})
}

// TestSet: a reload changes what fires, loses nothing of what stays, and fires nothing at once.
func TestSet(t *testing.T) {
	jobs := []Definition{define("a", at(t, "0 * * * *", "UTC")), define("b", at(t, "30 * * * *", "UTC"))}
	lives := map[string][]testproc.Life{"a": ends(10*time.Minute, 0), "b": ends(time.Second, 0)}
	experiment(t, []child.Spec{service("web")}, jobs, lives, func(l *lab) {
		update := func(jobs ...Definition) {
			u := root.Update{Grace: time.Second}
			for _, s := range specs([]child.Spec{service("web")}, jobs) {
				u.Daemons = append(u.Daemons, root.Daemon{Spec: s, Spawner: l.fake})
			}
			_ = l.root.Ref().Tell(u)
			synctest.Wait()
			l.k.Set(jobs)
			synctest.Wait()
		}
		time.Sleep(time.Hour + time.Minute) // a runs
		l.want("01 00:30:00 b starting", "01 00:30:01 b exited", "01 01:00:00 a starting")
		update(define("a", at(t, "*/15 * * * *", "UTC"), at(t, "0 * * * *", "UTC")), define("c", at(t, "0 0 * * *", "UTC")))
		time.Sleep(30 * time.Minute)
		l.want("01 01:10:00 a exited", "01 01:15:00 a starting", "01 01:25:00 a exited", "01 01:30:00 a starting")
		r, err := l.k.Runs(l.t.Context(), "a")
		if err != nil || len(r) != 3 || r[0].Result != Running {
			t.Errorf("got %+v, %v", r, err)
		}
		update(define("c", at(t, "0 0 * * *", "UTC"))) // a leaves in the middle of a run
		l.want("01 01:31:00 a exited")
		if all, err := l.k.List(l.t.Context()); err != nil || len(all) != 1 {
			t.Errorf("got %+v, %v", all, err)
		}
		update(define("a", at(t, "0 * * * *", "UTC")), define("c", at(t, "0 0 * * *", "UTC")))
		time.Sleep(30 * time.Minute)
		l.want("01 02:00:00 a starting")
	})
}

// TestShutdown: it comes at each state of a run, and holds its deadline; nothing fires after it.
func TestShutdown(t *testing.T) {
	queue := at(t, "* * * * *", "UTC")
	queue.Queue = true
	job := define("a", queue)
	job.After = []child.Dependency{{Name: "db", Condition: child.ServiceHealthy}}
	db := service("db")
	db.Readiness = true
	deaf := testproc.Life{StartDelay: 10 * time.Second, On: testproc.Reactions{syscall.SIGTERM: {Ignore: true}}}
	for _, tt := range []struct {
		name string
		do   func(l *lab)
		took time.Duration
	}{
		{"resting", func(*lab) {}, 0},
		{"waiting for a service", func(l *lab) { _, _ = l.k.Start(context.Background(), "a", nil) }, 0},
		{"being executed", func(*lab) { time.Sleep(65 * time.Second) }, 0},
		{"running, another waits", func(*lab) { time.Sleep(150 * time.Second) }, root.DefaultGrace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var begin time.Time
			var took time.Duration
			experiment(t, []child.Spec{db}, []Definition{job}, map[string][]testproc.Life{"a": {deaf}}, func(l *lab) {
				tt.do(l)
				synctest.Wait()
				l.took()
				begin = time.Now()
				_ = l.root.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
				<-l.done
				took = time.Since(begin)
				time.Sleep(3 * time.Minute)
				for _, e := range l.took() {
					if strings.HasSuffix(e, "starting") {
						t.Errorf("after the end: %s", e)
					}
				}
			})
			if took > root.DefaultGrace+200*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestAlive: a schedule keeps the bundle alive when its services have ended well; jobs by hand do not.
func TestAlive(t *testing.T) {
	for _, tt := range []struct {
		name  string
		jobs  []Definition
		code  int
		alive bool
	}{
		{"schedule", []Definition{define("a", at(t, "0 0 * * *", "UTC"))}, 0, true},
		{"schedule, and a service has failed", []Definition{define("a", at(t, "0 0 * * *", "UTC"))}, 3, false},
		{"by hand", []Definition{define("a")}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			experiment(t, []child.Spec{service("web")}, tt.jobs, map[string][]testproc.Life{"web": ends(time.Minute, tt.code)}, func(l *lab) {
				time.Sleep(time.Hour)
				select {
				case <-l.done:
					if tt.alive || l.code != tt.code {
						t.Errorf("it has ended, with %d", l.code)
					}
				default:
					if !tt.alive {
						t.Error("it lives on")
					}
				}
			})
		})
	}
}

// TestDay: a run a second for a day leaves nothing behind.
func TestDay(t *testing.T) {
	hours := 1
	if os.Getenv("SIDECAR_INIT_SOAK") != "" {
		hours = 24
	}
	var jobs []Definition
	lives := map[string][]testproc.Life{}
	for i := range 60 {
		name := fmt.Sprintf("j%02d", i)
		jobs = append(jobs, define(name, at(t, "* * * * *", "UTC")))
		lives[name] = ends(time.Duration(i+1)*500*time.Millisecond, i%2)
	}
	experiment(t, []child.Spec{service("web")}, jobs, lives, func(l *lab) {
		for range hours {
			time.Sleep(time.Hour)
			l.took()
		}
		time.Sleep(45 * time.Second)
		for i, j := range jobs {
			s := l.job(j.Name)
			if n := s.Counts[Succeeded] + s.Counts[Failed]; n != uint64(60*hours) || s.Counts[Skipped]+s.Counts[Missed] != 0 {
				t.Errorf("%s: %v", j.Name, s.Counts)
			}
			if runs, err := l.k.Runs(l.t.Context(), j.Name); err != nil || len(runs) != historyLength || i > 2 {
				if err != nil || len(runs) != historyLength {
					t.Errorf("%d runs are remembered, %v", len(runs), err)
				}
				break
			}
		}
	})
}
