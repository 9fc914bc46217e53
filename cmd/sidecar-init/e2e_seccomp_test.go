//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

// A session is a bundle that does all that a supervisor is for, once, under a filter. Each promise is looked at apart from the
// others, so that it can be said which of them do not hold.
type session struct {
	t      *testing.T
	place  place
	filter seccomp.Filter
	exe    string
	*supervisor
	socket string
	token  string // is in the command line of one process of this session, and of no other on this machine
	failed map[string]error
	mu     sync.Mutex
}

// promises are what a session looks at, in the order of the table in docs/seccomp.md.
var promises = []string{"start", "stop", "restart", "group", "run --", "probe", "shutdown"}

const (
	sessionGrace = 700 * time.Millisecond
	sessionStop  = 300 * time.Millisecond // of daemons that are deaf
	sessionWait  = 40 * time.Second       // for anything that must happen
)

// errLate is a promise about time that was not kept: a busy machine can be late.
var errLate = errors.New("late")

// bundle is that of the session.
func (s *session) bundle() string {
	stop := fmt.Sprintf("stop_grace_period: %s", sessionStop)
	return services(
		daemon("plain", "trap HUP print reloaded; orphan 3 10ms; print up; block",
			`healthcheck: { test: [CMD, testdaemon, "exit 0"], interval: 100ms, start_interval: 50ms, start_period: 5s }`),
		daemon("limited", "print up; block", // by way of the shim
			"user: 65534:65534", `group_add: ["65533"]`, "ulimits: { nofile: 512 }", "oom_score_adj: 7", "cap_drop: [ALL]"),
		daemon("notified", "notify READY=1; print up; block", "x-sidecar-init: { ready: { notify: sd } }"),
		daemon("flaky", "once "+filepath.Join(s.token, "flaky")+" exit 3; print up; block", "restart: on-failure"),
		daemon("deaf", "ignore TERM; print up; block", stop),
		daemon("finishing", "fork { trap TERM { sleep 100ms; touch "+s.finished()+"; exit 0 }; print up; block }; block"),
		daemon("leaving", "fork { ignore TERM; print up "+s.token+"; block }; block", stop),
		daemon("hung", "print up; block", `healthcheck: { test: [CMD, testdaemon, block], interval: 50ms, timeout: 100ms, retries: 1 }`),
		daemon("last", "ignore TERM; print up; block"),
	)
}

// finished is the file that a member of a process group makes when it has finished.
func (s *session) finished() string { return filepath.Join(s.token, "finished") }

// run is the whole session; failed has the promises that were not kept.
func (s *session) run() {
	s.failed = map[string]error{}
	s.token = openDir(s.t)
	s.socket = filepath.Join(s.token, "socket")
	s.supervisor = start(s.t, call{
		place: s.place, bundle: s.bundle(), program: s.exe, prefix: s.filter.Prefix(),
		args: []string{"--grace-period", sessionGrace.String()}, env: []string{"SIDECAR_INIT_CONTROL=" + s.socket},
	})
	s.promise("start", s.starts)
	var g sync.WaitGroup
	for name, check := range map[string]func() error{
		"stop": s.stops, "restart": s.restarts, "group": s.groups, "run --": s.runsCommand, "probe": s.probes,
	} {
		g.Go(func() { s.promise(name, check) })
	}
	g.Wait()
	s.promise("shutdown", s.shutsDown)
}

// promise notes what check says.
func (s *session) promise(name string, check func() error) {
	if err := check(); err != nil {
		s.mu.Lock()
		s.failed[name] = err
		s.mu.Unlock()
	}
}

// await waits until each of these lines has been printed that often.
func (s *session) await(times int, lines ...string) error {
	for end := time.Now().Add(sessionWait); ; {
		s.supervisor.mu.Lock()
		more := s.more
		s.supervisor.mu.Unlock()
		log := s.log()
		missing := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			n := 0
			for _, l := range log {
				if l == line {
					n++
				}
			}
			return n >= times
		})
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-more:
		case <-s.eof:
			return fmt.Errorf("no line %q before the end", missing)
		case <-time.After(time.Until(end)):
			return fmt.Errorf("no line %q within %v", missing, sessionWait)
		}
	}
}

// ctl is a command of the client, under the same filter, as in docker exec.
func (s *session) ctl(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), sessionWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tools(), "testdaemon"))
	cmd.Args = slices.Concat(s.filter.Prefix(), []string{s.exe, "sidecar-init"}, args)
	cmd.Env = []string{"SIDECAR_INIT_CONTROL=" + s.socket}
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("no answer within %v", sessionWait)
	case errors.As(err, &exit):
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// daemon is what the status command says of a daemon.
func (s *session) daemon(name string) (d client.Daemon, err error) {
	out, err := s.ctl("status", "--format", "json", name)
	if err != nil {
		return d, err
	}
	var all []client.Daemon
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		return d, fmt.Errorf("status of %s: %d daemons, %w", name, len(all), err)
	}
	return all[0], nil
}

// is waits until a daemon is in a state.
func (s *session) is(name string, state string) error {
	for end := time.Now().Add(sessionWait); ; time.Sleep(10 * time.Millisecond) {
		d, err := s.daemon(name)
		if err != nil || string(d.State) == state {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is %s, want %s", name, d.State, state)
		}
	}
}

func (s *session) starts() error {
	return s.await(1, "[plain] up", "[limited] up", "[deaf] up", "[finishing] up", "[leaving] up "+s.token, "[hung] up", "[last] up")
}

// stops stops a daemon that obeys, and one that does not, and starts the former again.
func (s *session) stops() error {
	if _, err := s.ctl("stop", "plain"); err != nil {
		return err
	}
	if err := s.is("plain", "stopped"); err != nil {
		return err
	}
	if _, err := s.ctl("start", "plain"); err != nil {
		return err
	}
	if err := s.await(2, "[plain] up"); err != nil {
		return err
	}
	if _, err := s.ctl("signal", "HUP", "plain"); err != nil {
		return err
	}
	if err := s.await(1, "[plain] reloaded"); err != nil {
		return err
	}
	if _, err := s.ctl("stop", "deaf"); err != nil {
		return err
	}
	return s.await(1, "sidecar-init: deaf exited with code -9 (SIGKILL)")
}

// restarts restarts a daemon, and another has been restarted by its policy.
func (s *session) restarts() error {
	before, err := s.daemon("limited")
	if err != nil {
		return err
	}
	if _, err := s.ctl("restart", "limited"); err != nil {
		return err
	}
	after, err := s.daemon("limited")
	if err != nil {
		return err
	}
	if after.PID == before.PID || after.PID == 0 {
		return fmt.Errorf("limited has PID %d, and had %d before the restart", after.PID, before.PID)
	}
	return s.await(1, "[flaky] up")
}

// groups stops daemons whose main process ends at once, and another one of the group does not.
func (s *session) groups() (problem error) {
	if _, err := s.ctl("stop", "finishing"); err != nil {
		problem = err
	} else if _, err := os.Stat(s.finished()); err != nil {
		problem = errors.New("a stop was over, and a member of the group had not finished")
	}
	if !commandLines(s.token) {
		return errors.Join(problem, errors.New("the member that is deaf is not there before the stop"))
	}
	if _, err := s.ctl("stop", "leaving"); err != nil {
		return errors.Join(problem, err)
	}
	if commandLines(s.token) {
		return errors.Join(problem, errors.New("a stop was over, and a deaf member of the group was alive"))
	}
	return problem
}

// commandLines reports whether a process that obeys a script has the text in it.
func commandLines(text string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	return slices.ContainsFunc(files, func(file string) bool {
		line, _ := os.ReadFile(file)
		return strings.Contains(string(line), "print up "+text) && !strings.Contains(string(line), "fork")
	})
}

// runsCommand runs a command that is deaf, and gets a signal.
func (s *session) runsCommand() error {
	c := &session{t: s.t, supervisor: start(s.t, call{
		place: s.place, program: s.exe, prefix: s.filter.Prefix(),
		args: []string{"run", "--grace-period", sessionStop.String(), "--", "testdaemon", "trap HUP print reloaded; ignore TERM; print up; block"},
	})}
	if err := c.await(1, "up"); err != nil {
		return err
	}
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	if err := c.await(1, "reloaded"); err != nil {
		return err
	}
	return c.endsBy(128+int(syscall.SIGKILL), sessionStop)
}

// endsBy sends SIGTERM and expects the end when the grace is over.
func (s *session) endsBy(code int, grace time.Duration) error {
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("has ended before SIGTERM: %s", s.last())
	}
	select {
	case <-s.ended:
	case <-time.After(sessionWait):
		return fmt.Errorf("has not ended within %v of SIGTERM", sessionWait)
	}
	took := s.at.Sub(begin)
	switch got := s.cmd.ProcessState.ExitCode(); {
	case got != code:
		return fmt.Errorf("exit code %d after %v, want %d", got, took, code)
	case took < grace:
		return fmt.Errorf("ended after %v, before the grace of %v", took, grace)
	case took > grace+300*time.Millisecond:
		return fmt.Errorf("ended after %v, with a grace of %v: %w", took, grace, errLate)
	}
	return nil
}

func (s *session) probes() error {
	return errors.Join(s.await(1, "sidecar-init: plain is ready", "sidecar-init: notified is ready"), s.is("hung", "unhealthy"))
}

// shutsDown ends the session, with a daemon that is deaf. The orphans have been reaped before.
func (s *session) shutsDown() error {
	for end := time.Now().Add(sessionWait); slices.Contains(s.children(), "Z"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("zombies are left after %v", sessionWait)
		}
	}
	if err := s.endsBy(0, sessionGrace); err != nil {
		return err
	}
	return s.await(1, fmt.Sprintf("sidecar-init: grace (%s) elapsed; SIGKILL on last", sessionGrace))
}

// late reports whether nothing but time has failed.
func (s *session) late() bool {
	for _, err := range s.failed {
		if !errors.Is(err, errLate) {
			return false
		}
	}
	return len(s.failed) > 0
}

// maxSessions is how many sessions go on at the same time: they wait more than they work, but each starts some twenty programs.
const maxSessions = 6

// checkSession runs sessions under the filter, and returns the promises that were not kept.
func checkSession(t *testing.T, p place, f seccomp.Filter) map[string]error {
	var s *session
	for range 10 { // a busy machine is late more than once
		s = &session{t: t, place: p, filter: f, exe: shipped()}
		if s.run(); !s.late() {
			break
		}
	}
	return s.failed
}

// TestRefusals: every promise holds, whatever the kernel or a profile refuses of what the program can do without, and by
// whatever error. Its table is in docs/seccomp.md.
func TestRefusals(t *testing.T) {
	if reason, ok := seccomp.Supported(); !ok {
		t.Skip(reason)
	}
	asRoot.require(t)
	type row struct {
		feature, errno string
		failed         map[string]error
	}
	var rows []*row
	turn := make(chan struct{}, maxSessions)
	t.Run("under", func(t *testing.T) {
		for i, f := range seccomp.Features() {
			p := asRoot
			if strings.Contains(f.Name, "SUBREAPER") { // PID 1 does not ask for that
				p = subreaper
			}
			for _, errno := range seccomp.Errnos() {
				rows = append(rows, &row{feature: f.Name, errno: unix.ErrnoName(errno)})
			}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				var g sync.WaitGroup // sessions wait more than they work
				for j, errno := range seccomp.Errnos() {
					r := rows[i*len(seccomp.Errnos())+j]
					g.Go(func() {
						turn <- struct{}{}
						defer func() { <-turn }()
						r.failed = checkSession(t, p, f.Refuse(errno))
						for name, err := range r.failed {
							t.Errorf("%s refused with %s: %s: %v", r.feature, r.errno, name, err)
						}
					})
				}
				g.Wait()
			})
		}
	})
	table := "| refused | with | " + strings.Join(promises, " | ") + " |\n" + strings.Repeat("|---", 2+len(promises)) + "|\n"
	for _, r := range rows {
		if r.failed == nil {
			return // only a part of the test was asked for
		}
		table += "| " + r.feature + " | " + r.errno
		for _, name := range promises {
			if r.failed[name] == nil {
				table += " | holds"
			} else {
				table += " | FAILS"
			}
		}
		table += " |\n"
	}
	t.Logf("\n%s", table)
	golden(t, "matrix", table)
}

// golden compares a piece of docs/seccomp.md, between two comments, with what it must be.
func golden(t *testing.T, name, want string) {
	t.Helper()
	const page = "../../docs/seccomp.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	got, after, foundEnd := strings.Cut(rest, end)
	switch {
	case !found || !foundEnd:
		t.Errorf("%s has no lines %q and %q", page, begin, end)
	case got == want:
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has not what this test found; if that is meant: go test -run %s ./cmd/sidecar-init -update", page, t.Name())
	}
}
