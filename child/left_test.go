package child_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// TestLeft is what happens to a daemon of which more than the main process is left, at exactly which time. Their end is
// looked for after 1 ms, 3, 7, 15, 31, 63, and then each 50 ms, and so again after SIGKILL.
func TestLeft(t *testing.T) {
	const s = time.Second
	always := child.RestartPolicy{Policy: child.RestartAlways}
	fixed := child.Backoff{Initial: 10 * s, Fixed: true}
	slow := testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {After: s}}}
	never := testproc.Life{On: deaf}
	type at struct {
		when time.Duration
		what child.Msg
	}
	final := child.Terminate{Final: true, Half: 4 * s}
	for _, tt := range []struct {
		name   string
		spec   child.Spec
		life   testproc.Life
		told   []at
		events string
	}{
		{
			name: "a stop is over when the group is empty", life: testproc.Life{Fork: []testproc.Life{slow}},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code -15 (SIGTERM), as requested
				2.013s stopped`,
		},
		{
			name: "it has the rest of the grace", life: testproc.Life{
				On: testproc.Reactions{syscall.SIGTERM: {After: 2 * s}}, Fork: []testproc.Life{never, slow},
			},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				3s exited with code 0, as requested
				6s killed after 5s of SIGTERM
				6s stopped`,
		},
		{
			name: "more time is granted to it", life: testproc.Life{Fork: []testproc.Life{never}},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {2 * s, child.Extend{Gen: 1, By: 9 * s}}, {20 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code -15 (SIGTERM), as requested
				11s killed after 10s of SIGTERM
				11s stopped`,
		},
		{
			name: "what hangs in the kernel is not waited for for ever", life: testproc.Life{Fork: []testproc.Life{{Unkillable: true}}},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code -15 (SIGTERM), as requested
				6s killed after 5s of SIGTERM
				6.5s stopped`,
		},
		{
			name: "a restart waits for it", life: testproc.Life{Fork: []testproc.Life{slow}},
			told: []at{{0, child.Start{}}, {s, child.Restart{}}, {9 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s restarting
				1s exited with code -15 (SIGTERM), as requested
				2.013s started in place
				9s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "a restart that comes meanwhile", life: testproc.Life{Fork: []testproc.Life{slow}},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {3 * s / 2, child.Restart{}}, {9 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s exited with code -15 (SIGTERM), as requested
				1.5s restarting
				2.013s started in place
				9s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "a start that comes meanwhile, twice", life: testproc.Life{Fork: []testproc.Life{slow}},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {3 * s / 2, child.Start{}}, {8 * s / 5, child.Start{}}, {9 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s exited with code -15 (SIGTERM), as requested
				1.5s restarting
				2.013s started in place
				9s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "unhealthy", life: testproc.Life{Fork: []testproc.Life{slow}},
			spec: child.Spec{Restart: always, Backoff: fixed},
			told: []at{{0, child.Start{}}, {s, child.Unhealthy{Gen: 1, Reason: "no answer"}}, {20 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s unhealthy: no answer
				1s exited with code -15 (SIGTERM), restart 1 in 10s
				12.013s starting
				12.013s started
				20s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "it lives on, and is stopped by hand", life: testproc.Life{ExitAfter: s, Fork: []testproc.Life{never}},
			spec: child.Spec{Restart: always, Backoff: fixed},
			told: []at{{0, child.Start{}}, {2 * s, child.Terminate{}}, {20 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0, restart 1 in 10s
				7s killed after 5s of SIGTERM
				7s stopped`,
		},
		{
			name: "it lives on, and is killed before the next start",
			life: testproc.Life{ExitAfter: s, Fork: []testproc.Life{{KillDelay: s / 10}}},
			spec: child.Spec{Restart: always, Backoff: fixed},
			told: []at{{0, child.Start{}}, {11*s + s/2, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s exited with code 0, restart 1 in 10s
				11s starting
				11.1s started
				11.5s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "it lives on, until the end of the bundle", life: testproc.Life{ExitAfter: s, Fork: []testproc.Life{slow}},
			told: []at{{0, child.Start{}}, {2 * s, child.Retire{}}, {3 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0`,
		},
		{
			name: "it lives on, and the bundle has no time for it", life: testproc.Life{ExitAfter: s, Fork: []testproc.Life{never}},
			told: []at{{0, child.Start{}}, {2 * s, final}, {10 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s exited with code 0`,
		},
		{
			name: "its own grace at the end of the bundle", life: testproc.Life{ExitAfter: s, Fork: []testproc.Life{never}},
			spec: child.Spec{StopGrace: 3 * s},
			told: []at{{0, child.Start{}}, {2 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0
				5s killed after 3s of SIGTERM`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, tt.spec, map[string][]testproc.Life{"web": {tt.life}}, func(l *lab) {
				for _, told := range tt.told {
					l.at(told.when, told.what)
				}
			})
			want(t, "events", l.events, tt.events)
		})
	}
}

// TestLeftStatus: while others of the group are waited for the daemon is being stopped, without a main process.
func TestLeftStatus(t *testing.T) {
	const s = time.Second
	lives := map[string][]testproc.Life{"web": {{Fork: []testproc.Life{{On: deaf}}}}}
	experiment(t, child.Spec{}, lives, func(l *lab) {
		l.tell(child.Start{})
		l.at(s, child.Terminate{})
		l.until(2 * s)
		got := l.last()
		if got.State != child.StateStopping || got.PID != 0 || got.Last == nil || got.Last.Signal != syscall.SIGTERM || got.Result != 0 ||
			got.Reason != "its main process has ended, and others of its process group live" {
			t.Errorf("got %+v", got)
		}
		l.until(7 * s)
		if got := l.last(); got.State != child.StateStopped || got.Reason != "" || got.Result != 0 {
			t.Errorf("got %+v", got)
		}
		l.tell(child.Kill{})
	})
}
