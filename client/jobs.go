package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// A Job describes a job.
type Job struct {
	Name string `json:"name"`
	// Manual: the job can be run by hand.
	Manual bool `json:"manual"`
	// Schedule lists its crontab expressions, each with its time zone.
	Schedule []Schedule `json:"schedule"`
	// State is scheduled, waiting (for its dependencies), running or paused.
	State string `json:"state"`
	// Current is the run that is in progress or about to start; nil if there is none. Waiting is the number of runs that wait for
	// its end.
	Current *Run `json:"current,omitempty"`
	Waiting int  `json:"waiting,omitempty"`
	// Last is the latest run that has ended; nil if no run has.
	Last *Run `json:"last,omitempty"`
	// Next is when the job is next due by its schedule; nil if it has none.
	Next *time.Time `json:"next,omitempty"`
}

// A Schedule is an entry of triggers.schedule.
type Schedule struct {
	Cron        string `json:"cron"`
	Timezone    string `json:"timezone"`
	Concurrency string `json:"concurrency"`
	MissedFires string `json:"missed_fires"`
}

// The results of a [Run].
const (
	RunWaiting   = "waiting" // it waits for its turn or for its dependencies
	RunRunning   = "running"
	RunSucceeded = "succeeded"
	RunFailed    = "failed"
	RunCancelled = "cancelled"
)

// A Run is one run of a job.
type Run struct {
	Job string `json:"job"`
	// ID is the number of the run; the first run of the job is 1.
	ID int `json:"id"`
	// Trigger is manual or schedule.
	Trigger string `json:"trigger"`
	Result  string `json:"result"`
	// Started and Ended are when the run started and ended; nil before that.
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Code is the exit code as a shell reports it (128 plus the number of a signal). It is 130 if the run was cancelled, and 124
	// if it took longer than its timeout.
	Code int `json:"code"`
	// Exit is how the process ended; nil if there was no process.
	Exit *Exit `json:"exit,omitempty"`
	// Reason explains in words what went wrong, where that helps.
	Reason string `json:"reason,omitempty"`
}

// Over reports whether the run has ended.
func (r *Run) Over() bool { return r.Result != RunWaiting && r.Result != RunRunning }

// An Output is a line that a run has written or, if Run is not nil, the state of the run: before the first line and after the last.
type Output struct {
	Run *Run `json:"run,omitempty"`
	LogLine
}

// Jobs returns the jobs, in the order of the bundle file.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	return get[[]Job](ctx, c, "/v1/jobs")
}

// Runs returns the last runs of a job, at most 10, the latest first. They include runs that wait or are in progress.
func (c *Client) Runs(ctx context.Context, job string) ([]Run, error) {
	return get[[]Run](ctx, c, "/v1/jobs/"+url.PathEscape(job)+"/runs")
}

// get requests a path whose answer is one JSON value.
func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return ask[T](ctx, c, http.MethodGet, path, nil)
}

func ask[T any](ctx context.Context, c *Client, method, path string, body []byte) (v T, err error) {
	resp, err := c.do(ctx, method, path, nil, body)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, badAnswer(err)
	}
	return v, nil
}

// StartJob starts a run of a job, and returns as soon as the run is accepted. Jobs that it depends on are run first, and services
// that it depends on are started. If there are args, they replace the job's command, after its entrypoint. The error is an
// *[Error] with status 409 if the job is running, is paused, or cannot be run by hand.
func (c *Client) StartJob(ctx context.Context, job string, args ...string) (Run, error) {
	body, err := json.Marshal(runRequest{args, true})
	if err != nil {
		return Run{}, err
	}
	return ask[Run](ctx, c, http.MethodPost, "/v1/jobs/"+url.PathEscape(job)+"/run", body)
}

type runRequest struct {
	Args   []string `json:"args,omitempty"`
	Detach bool     `json:"detach,omitempty"`
}

// RunJob is like [Client.StartJob], but waits until the run ends: the sequence yields the run as it was accepted, each line that
// it writes, and finally the result. If ctx is done or the caller leaves the loop before the end, the run is cancelled. The
// sequence ends after an error.
func (c *Client) RunJob(ctx context.Context, job string, args ...string) iter.Seq2[Output, error] {
	body, err := json.Marshal(runRequest{args, false})
	if err != nil {
		return func(yield func(Output, error) bool) { yield(Output{}, err) }
	}
	return func(yield func(Output, error) bool) {
		over := false
		for o, err := range streamOf[Output](ctx, c, http.MethodPost, "/v1/jobs/"+url.PathEscape(job)+"/run", nil, body) {
			over = over || o.Run != nil && o.Run.Over()
			if !yield(o, err) || err != nil {
				return
			}
		}
		if !over {
			yield(Output{}, errors.New("the supervisor has ended before the run"))
		}
	}
}

// CancelJob cancels the run of a job that is in progress, and the runs that wait for their turn. The error is an *[Error] with
// status 409 if there is no run.
func (c *Client) CancelJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "cancel") }

// PauseJob suspends the schedule of a job until [Client.ResumeJob]. Runs that are due in the meantime are not made up for. Runs
// that wait for their turn are cancelled. A run in progress continues.
func (c *Client) PauseJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "pause") }

// ResumeJob resumes the schedule of a job after [Client.PauseJob].
func (c *Client) ResumeJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "resume") }

func (c *Client) toJob(ctx context.Context, job, verb string) error {
	resp, err := c.do(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(job)+"/"+verb, nil, nil)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}
