package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// jobs is GET /v1/jobs.
func (s *Server) jobs(w http.ResponseWriter, r *request) error {
	list := []client.Job{}
	if s.o.Jobs != nil {
		all, err := s.o.Jobs.List(r.Context())
		if err != nil {
			return s.jobError(r, "", err)
		}
		for i := range all {
			list = append(list, describeJob(&all[i]))
		}
	}
	return s.answer(w, r, func() (int, []byte, error) {
		b, err := encode(list)
		return http.StatusOK, b, err
	})
}

// runs is GET /v1/jobs/{name}/runs.
func (s *Server) runs(w http.ResponseWriter, r *request) error {
	name := r.PathValue("name")
	var all []jobs.Run
	err := error(&root.UnknownError{Name: name})
	if s.o.Jobs != nil {
		all, err = s.o.Jobs.Runs(r.Context(), name)
	}
	if err != nil {
		return s.jobError(r, name, err)
	}
	list := []client.Run{}
	for i := range all {
		list = append(list, describeRun(&all[i]))
	}
	return s.answer(w, r, func() (int, []byte, error) {
		b, err := encode(list)
		return http.StatusOK, b, err
	})
}

func describeJob(s *jobs.Status) client.Job {
	j := client.Job{Name: s.Name, Manual: s.Manual, Schedule: []client.Schedule{}, State: s.State(), Waiting: s.Waiting}
	for _, t := range s.Triggers {
		j.Schedule = append(j.Schedule, client.Schedule{Cron: t.Cron, Timezone: t.Timezone, Concurrency: t.Concurrency(), MissedFires: t.MissedFires()})
	}
	if s.Current != nil {
		r := describeRun(s.Current)
		j.Current = &r
	}
	if s.Last != nil {
		r := describeRun(s.Last)
		j.Last = &r
	}
	j.Next = when(s.Next)
	return j
}

func describeRun(r *jobs.Run) client.Run {
	return client.Run{
		Job: r.Job, ID: r.ID, Trigger: string(r.Trigger), Result: string(r.Result), Started: when(r.Started), Ended: when(r.Ended),
		Code: r.Code, Exit: exitOf(r.Exit), Reason: printable.Text(r.Reason),
	}
}

// when is a time for JSON: none, if it is zero.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// jobError is the answer to what a Keeper has refused.
func (s *Server) jobError(r *request, name string, err error) error {
	var unknown *root.UnknownError
	var refusal *jobs.RefusedError
	switch {
	case errors.As(err, &unknown):
		return s.noJob(r, name)
	case errors.As(err, &refusal):
		return &failure{Status: http.StatusConflict, Message: refusal.Reason}
	case errors.Is(err, actor.ErrEnded):
		return errEnded
	}
	return err
}

// noJob is the error for a name that is none of a job.
func (s *Server) noJob(r *request, name string) error {
	all, err := s.statuses(r.Context())
	if err != nil {
		return err
	}
	var known []string
	for i := range all {
		switch {
		case all[i].IsJob():
			known = append(known, all[i].Name)
		case all[i].Name == name, all[i].Spec.Service == name:
			return &failure{Status: http.StatusBadRequest, Message: name + " is a service, not a job: 'sidecar-init start " + name + "' starts it"}
		}
	}
	if s.o.Absent != nil && slices.Contains(s.o.Absent(), name) {
		return &failure{Status: http.StatusNotFound, Message: name + " is not in this bundle"}
	}
	near := bundle.Unknown(name, known).Nearest
	message := "there is no job " + name
	if near != "" {
		message += "; did you mean " + near + "?"
	}
	return &failure{Status: http.StatusNotFound, Message: message, Nearest: near}
}

// runJob is POST /v1/jobs/{name}/run. With detach it answers with the run as it was accepted; else the answer goes on until the run has
// ended, with its output, and a client that leaves before ends the run.
func (s *Server) runJob(w http.ResponseWriter, r *request) error {
	var body struct {
		Args   []string `json:"args"`
		Detach bool     `json:"detach"`
	}
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); len(r.body) > 0 && (err != nil || dec.More()) {
		return &failure{Status: http.StatusBadRequest, Message: `the body must be like {"args":["--full"],"detach":true}`}
	}
	name := r.PathValue("name")
	if s.o.Jobs == nil {
		return s.noJob(r, name)
	}
	if body.Detach {
		run, err := s.o.Jobs.Start(r.Context(), name, body.Args)
		if err != nil {
			return s.jobError(r, name, err)
		}
		b, err := encode(describeRun(&run))
		if err != nil {
			return err
		}
		r.write(w, http.StatusAccepted, b)
		return nil
	}
	st, err := s.stream(w, r)
	if err != nil {
		return err
	}
	defer st.end()
	run, err := s.o.Jobs.Start(r.Context(), name, body.Args)
	if err != nil {
		w.Header().Del("Content-Type")
		return s.jobError(r, name, err)
	}
	if s.follow(st, name, run) != nil { // the client has left, or we end
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.o.Jobs.Cancel(ctx, name, run.ID) // it may be over
	}
	return nil
}

// follow writes a run, its output as it comes, and how it has ended.
func (s *Server) follow(st *stream, name string, run jobs.Run) error {
	ctx := st.r.Context()
	say := func(r jobs.Run) error {
		d := describeRun(&r)
		b, err := encode(struct {
			Run *client.Run `json:"run"`
		}{&d})
		if err != nil {
			return err
		}
		return st.write(b)
	}
	if err := say(run); err != nil {
		return err
	}
	begun, err := s.o.Jobs.Wait(ctx, name, run.ID, false)
	if err != nil {
		return err
	}
	all, err := s.statuses(ctx)
	if err != nil {
		return err
	}
	f := &follow{stream: st}
	var logs []*log.Stream
	for i := range all {
		if all[i].Name != name || begun.Result.Over() && begun.Started.IsZero() {
			continue
		}
		for _, l := range s.o.Logs(&all[i]) {
			lines := l.Follow(-1)
			for t, ok := lines.Old(); ok && t.Before(begun.Started); t, ok = lines.Old() {
				lines.Take(nil)
			}
			f.all = append(f.all, follower{daemon: name, Follower: lines})
			logs = append(logs, l)
		}
	}
	if err := f.last(); err != nil {
		return err
	}
	over := make(chan jobs.Run, 1)
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the run ends, or waiting does
		if r, err := s.o.Jobs.Wait(waiting, name, run.ID, true); err == nil {
			over <- r
		}
		close(over)
	}()
	s.news.join(logs)
	defer s.news.leave(logs)
	if f.run(ctx, over) != nil || f.ended == nil {
		return errEnded
	}
	return say(*f.ended)
}

// cancelJob is POST /v1/jobs/{name}/cancel, and pauseJob and resumeJob are alike.
func (s *Server) cancelJob(w http.ResponseWriter, r *request) error {
	return s.toJob(w, r, func(k *jobs.Keeper, ctx context.Context, name string) error { return k.Cancel(ctx, name, 0) })
}

func (s *Server) pauseJob(w http.ResponseWriter, r *request) error {
	return s.toJob(w, r, func(k *jobs.Keeper, ctx context.Context, name string) error { return k.Pause(ctx, name, true) })
}

func (s *Server) resumeJob(w http.ResponseWriter, r *request) error {
	return s.toJob(w, r, func(k *jobs.Keeper, ctx context.Context, name string) error { return k.Pause(ctx, name, false) })
}

// toJob does something to a job, and answers with it.
func (s *Server) toJob(w http.ResponseWriter, r *request, do func(*jobs.Keeper, context.Context, string) error) error {
	name := r.PathValue("name")
	if s.o.Jobs == nil {
		return s.noJob(r, name)
	}
	if err := do(s.o.Jobs, r.Context(), name); err != nil {
		return s.jobError(r, name, err)
	}
	all, err := s.o.Jobs.List(r.Context())
	if err != nil {
		return s.jobError(r, name, err)
	}
	for i := range all {
		if all[i].Name == name {
			b, err := encode(describeJob(&all[i]))
			if err != nil {
				return err
			}
			r.write(w, http.StatusOK, b)
			return nil
		}
	}
	return s.noJob(r, name)
}

// notForJobs refuses what is for daemons alone.
func notForJobs(all []child.Status, names set) error {
	for i := range all {
		if s := &all[i]; names[s.Name] && s.IsJob() {
			return &failure{Status: http.StatusBadRequest, Message: s.Name + " is a job: 'sidecar-init job run " + s.Name + "' runs it, 'sidecar-init job cancel " + s.Name + "' ends the run"}
		}
	}
	return nil
}
