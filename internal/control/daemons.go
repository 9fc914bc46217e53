package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/root"
)

// list is GET /v1/daemons.
func (s *Server) list(w http.ResponseWriter, r *request) error {
	all := r.URL.Query().Get("all")
	names, _, err := s.lookups(r.Context(), r.URL.Query()["name"], all == "1" || all == "true")
	if err != nil {
		return err
	}
	return s.answerNow(w, r, names, false)
}

// show is GET /v1/daemons/{name}.
func (s *Server) show(w http.ResponseWriter, r *request) error {
	names, err := s.lookup(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.answerNow(w, r, names, true)
}

// answerNow answers with daemons as they are when it is the client's turn.
func (s *Server) answerNow(w http.ResponseWriter, r *request, names set, one bool) error {
	return s.answer(w, r, func() (int, []byte, error) {
		all, err := s.statuses(r.Context())
		if err != nil {
			return 0, nil, err
		}
		return s.daemons(names.pick(all), one)
	})
}

// answerDaemons answers with daemons as they were.
func (s *Server) answerDaemons(w http.ResponseWriter, r *request, all []child.Status, one bool) error {
	return s.answer(w, r, func() (int, []byte, error) { return s.daemons(all, one) })
}

// daemons makes a list of daemons; where a single name was asked for, and it stands for one daemon, that alone.
func (s *Server) daemons(all []child.Status, one bool) (status int, b []byte, err error) {
	if one && len(all) == 1 {
		b, err = encode(s.describe(all)[0])
	} else {
		b, err = encode(s.describe(all))
	}
	return http.StatusOK, b, err
}

// describe makes what clients see of daemons.
func (s *Server) describe(all []child.Status) []client.Daemon {
	use := s.o.Usage.Sample()
	now := time.Now()
	list := make([]client.Daemon, len(all))
	for i := range all {
		st := &all[i]
		d := &list[i]
		*d = client.Daemon{
			Name: st.Name, Service: cmp.Or(st.Spec.Service, st.Name), State: client.State(st.State), Ready: st.State.Up(), Reason: printable.Text(st.Reason),
			Since: st.Since.UTC(), PID: st.PID, Starts: st.Starts, Restarts: st.Restarts, Failures: st.Failures,
			LastExit: endOf(st), Labels: st.Spec.Labels, Job: string(st.Spec.Job),
		}
		for _, dep := range st.Spec.After {
			d.DependsOn = append(d.DependsOn, client.Dependency{Name: dep.Name, Condition: string(cmp.Or(dep.Condition, child.ServiceStarted))})
		}
		if !st.Next.IsZero() {
			next := st.Next.UTC()
			d.NextStart = &next
		}
		for _, l := range s.o.Logs(st) {
			if last := l.Stats().Last.UTC(); last.Year() > 1 && (d.LastLine == nil || last.After(*d.LastLine)) {
				d.LastLine = &last
			}
			d.LineRate += l.Rate(now, rateTime)
		}
		if s.o.Transient != nil {
			var expires time.Time
			if d.Transient, expires = s.o.Transient(st); !expires.IsZero() {
				expires = expires.UTC()
				d.Expires = &expires
			}
		}
		if s.o.Control != nil {
			d.Control = string(s.o.Control(st))
		}
		if s.o.Wall != nil {
			d.Wall, d.Private = s.o.Wall(st)
		}
		if st.PID != 0 {
			d.CPU, d.RSS = seconds(use[st.PID].CPU), use[st.PID].RSS
			if s.o.Cgroup != nil {
				if u, ok := s.o.Cgroup(st); ok {
					d.CPU, d.RSS = seconds(u.CPU), u.Memory
					d.Cgroup = &client.Cgroup{
						MemoryLimit: u.Limit, Processes: u.Pids, Throttled: seconds(u.Throttled),
						CPUPressure: seconds(u.CPUPressure), MemoryPressure: seconds(u.MemoryPressure),
					}
				}
			}
			if st.Executed() {
				d.Uptime = seconds(now.Sub(st.Started))
			}
		}
	}
	return list
}

// rateTime is the time in which lines are counted.
const rateTime = 10 * time.Second

// endOf is how the last process of a daemon has ended.
func endOf(s *child.Status) *client.Exit {
	exit := exitOf(s.Last)
	if exit == nil {
		return nil
	}
	if !s.Ended.IsZero() {
		at := s.Ended.UTC()
		exit.Time = &at
	}
	exit.Cause, exit.Reason = client.CauseUnexpected, printable.Text(s.Why)
	if s.Asked {
		exit.Cause = client.CauseRequested
	}
	return exit
}

func exitOf(e *child.Exit) *client.Exit {
	if e == nil {
		return nil
	}
	exit := &client.Exit{OOM: e.OOM, CPUTime: seconds(e.CPU), MaxRSS: e.MaxRSS}
	if e.Signal != 0 {
		name := child.SignalName(e.Signal)
		exit.Signal = &name
	} else {
		exit.Code = &e.Code
	}
	if e.Err != nil {
		exit.Error = printable.Text(e.Err.Error())
	}
	return exit
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}

// start is POST /v1/daemons/{name}/start, restart the same. Both are done when the program has been executed; that it is
// ready is another question, for wait.
func (s *Server) start(w http.ResponseWriter, r *request) error {
	if name := r.PathValue("name"); s.o.Reloader != nil && s.o.Absent != nil && slices.Contains(s.o.Absent(), name) {
		ctx, leave, err := s.stayUntil(r)
		if err != nil {
			return err
		}
		defer leave()
		if err := refused(s.o.Reloader.Start(ctx, name)); err != nil {
			return err
		}
	}
	return s.act(w, r, child.Start{}, (*child.Status).Settled, started)
}

func (s *Server) restart(w http.ResponseWriter, r *request) error {
	if rolled, err := s.roll(w, r); rolled || err != nil {
		return err
	}
	return s.act(w, r, child.Restart{}, (*child.Status).Settled, started)
}

func started(s *child.Status) string {
	switch {
	case s.PID != 0:
		return ""
	case s.State == child.StateStopped:
		return s.Name + " was stopped meanwhile"
	case s.Last != nil && s.Last.Err != nil:
		return fmt.Sprintf("%s cannot be started: %s", s.Name, printable.Text(s.Last.Err.Error()))
	case s.Last != nil:
		return fmt.Sprintf("%s ended with %s", s.Name, s.Last)
	}
	return s.Name + " " + client.State(s.State).Phrase()
}

// roll is the restart of a service whose replicas are restarted a few at a time.
func (s *Server) roll(w http.ResponseWriter, r *request) (rolled bool, err error) {
	names, err := s.lookup(r.Context(), r.PathValue("name"))
	if err != nil || s.o.Reloader == nil || len(names) < 2 {
		return false, err
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return false, err
	}
	defer leave()
	rolled, err = s.o.Reloader.Roll(ctx, r.PathValue("name"))
	if !rolled {
		return false, err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true, s.late(r, names, errTimeout)
	}
	f := &failure{Status: http.StatusInternalServerError}
	switch {
	case errors.Is(err, root.ErrShuttingDown):
		return true, errShutdown
	case errors.Is(err, context.Canceled): // what it was done by has ended
		return true, errEnded
	case err != nil:
		f.Message = err.Error()
	}
	all, err := s.statuses(r.Context())
	if err != nil {
		return true, err
	}
	return true, s.result(w, r, names.pick(all), f)
}

// stop is POST /v1/daemons/{name}/stop.
func (s *Server) stop(w http.ResponseWriter, r *request) error {
	return s.act(w, r, child.Terminate{}, (*child.Status).Settled, func(s *child.Status) string {
		switch {
		case s.State.Final():
			return ""
		case s.State.Alive():
			return s.Name + " was started meanwhile"
		}
		return s.Name + " " + client.State(s.State).Phrase()
	})
}

// signal is POST /v1/daemons/{name}/signal.
func (s *Server) signal(w http.ResponseWriter, r *request) error {
	var body struct {
		Signal string `json:"signal"`
	}
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil || body.Signal == "" {
		return &failure{Status: http.StatusBadRequest, Message: `the body must be like {"signal":"HUP"}`}
	}
	sig, err := bundle.ParseSignal(body.Signal)
	if err == nil && (sig == 32 || sig == 33) {
		err = fmt.Errorf("%s is used by the C library itself", child.SignalName(sig))
	}
	if err != nil {
		return &failure{Status: http.StatusBadRequest, Message: err.Error()}
	}
	return s.order(w, r, "has not got "+child.SignalName(sig), func(reply actor.Reply[error]) child.Command {
		return child.Signal{Sig: sig, Reply: reply}
	})
}

// pause is POST /v1/daemons/{name}/pause, unpause the reverse.
func (s *Server) pause(w http.ResponseWriter, r *request) error {
	return s.order(w, r, "cannot be paused", func(reply actor.Reply[error]) child.Command { return child.Pause{Reply: reply} })
}

func (s *Server) unpause(w http.ResponseWriter, r *request) error {
	return s.order(w, r, "cannot go on", func(reply actor.Reply[error]) child.Command { return child.Unpause{Reply: reply} })
}

// order gives a message that is answered to the daemons that the path names; failed says, after the name of one, what has become of
// it if the answer is an error.
func (s *Server) order(w http.ResponseWriter, r *request, failed string, m func(actor.Reply[error]) child.Command) error {
	names, err := s.lookup(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return err
	}
	defer leave()
	f := &failure{Status: http.StatusConflict}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		reply := actor.NewReply[error]()
		if _, err := s.tell(ctx, name, set{name: true}, m(reply), handled); err != nil {
			return s.late(r, names, err)
		}
		var err error
		select {
		case err = <-reply.C(): // before the status that tell has waited for
		case <-ctx.Done():
		}
		if errors.Is(err, child.ErrNoFreezer) {
			err = fmt.Errorf("%w: that takes a limit, such as mem_limit, and a writable cgroup v2 (docs/security.md)", err)
		}
		if err != nil {
			f.add(fmt.Sprintf("%s %s: %v", name, failed, err))
		}
	}
	all, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	return s.result(w, r, names.pick(all), f)
}

func handled(*child.Status) bool { return true }

// act gives a command to the daemons that the path names, waits until it is done, and answers with them. failed says of
// each what is wrong with the result, if anything is.
func (s *Server) act(w http.ResponseWriter, r *request, m child.Command, done func(*child.Status) bool, failed func(*child.Status) string) error {
	name := r.PathValue("name")
	names, now, err := s.lookups(r.Context(), []string{name}, false)
	if err == nil {
		err = notForJobs(now, names)
	}
	if err != nil {
		return err
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return err
	}
	defer leave()
	all, err := s.tell(ctx, name, names, m, done)
	if err != nil {
		return s.late(r, names, err)
	}
	f := &failure{Status: http.StatusInternalServerError}
	for i := range all {
		if why := failed(&all[i]); why != "" {
			f.add(why)
		}
	}
	return s.result(w, r, all, f)
}

// add adds what is wrong with one more daemon.
func (f *failure) add(why string) {
	if f.Message != "" {
		f.Message += "; "
	}
	f.Message += why
}

// result answers with the daemons: as a failure if f has a message.
func (s *Server) result(w http.ResponseWriter, r *request, all []child.Status, f *failure) error {
	if f.Message != "" {
		f.all = all
		return f
	}
	return s.answerDaemons(w, r, all, true)
}

// late adds to a timeout how the daemons are.
func (s *Server) late(r *request, names set, err error) error {
	if err != errTimeout || r.Context().Err() != nil {
		return err
	}
	all, askErr := s.statuses(r.Context())
	if askErr != nil {
		return askErr
	}
	f := *errTimeout
	f.all = names.pick(all)
	return &f
}

// stay takes one of the places for requests that take long.
func (s *Server) stay() (leave func(), err error) {
	select {
	case s.long <- struct{}{}:
		return func() { <-s.long }, nil
	default:
		return nil, &failure{Status: http.StatusServiceUnavailable, Message: "too many requests wait"}
	}
}

// stayUntil is stay, with the context of the request and the timeout that it asks for, if it does.
func (s *Server) stayUntil(r *request) (context.Context, func(), error) {
	var timeout time.Duration
	var err error
	if v := r.URL.Query().Get("timeout"); v != "" {
		if timeout, err = time.ParseDuration(v); err != nil || timeout <= 0 {
			return nil, nil, &failure{Status: http.StatusBadRequest, Message: "timeout must be a duration such as 10s"}
		}
	}
	leave, err := s.stay()
	if err != nil || timeout == 0 {
		return r.Context(), leave, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, func() { cancel(); leave() }, nil
}
