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
	// Manual: it can be run by hand.
	Manual bool `json:"manual"`
	// Schedule has its crontab expressions, each with its time zone.
	Schedule []Schedule `json:"schedule"`
	// State is scheduled, waiting (for its dependencies), running or paused.
	State string `json:"state"`
	// Current is the run in progress, or about to start; Waiting is how many runs wait for its end.
	Current *Run `json:"current,omitempty"`
	Waiting int  `json:"waiting,omitempty"`
	// Last is the latest run that has ended; nil if none has.
	Last *Run `json:"last,omitempty"`
	// Next is when it is next due by schedule; nil if it has none.
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
	RunWaiting   = "waiting" // for its turn, or for its dependencies
	RunRunning   = "running"
	RunSucceeded = "succeeded"
	RunFailed    = "failed"
	RunCancelled = "cancelled"
)

// A Run is one run of a job.
type Run struct {
	Job string `json:"job"`
	// ID counts the runs of the job, from 1.
	ID int `json:"id"`
	// Trigger is manual or schedule.
	Trigger string `json:"trigger"`
	Result  string `json:"result"`
	// Started and Ended are nil before the run has started, or ended.
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Code is the exit code as in a shell (128 plus the number of a signal); 130 if the run was cancelled, 124 if it took longer
	// than its timeout.
	Code int `json:"code"`
	// Exit is how the process ended; nil if there was none.
	Exit *Exit `json:"exit,omitempty"`
	// Reason explains in words what went wrong, where that helps.
	Reason string `json:"reason,omitempty"`
}

// Over reports whether the run has ended.
func (r *Run) Over() bool { return r.Result != RunWaiting && r.Result != RunRunning }

// An Output is a line that a run has written, or, with [Run], the state of the run: before the first line, and at the end.
type Output struct {
	Run *Run `json:"run,omitempty"`
	LogLine
}

// Jobs returns the jobs, in the order of the bundle file.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	return get[[]Job](ctx, c, "/v1/jobs")
}

// Runs returns the last runs of a job, at most 10, the latest first.
func (c *Client) Runs(ctx context.Context, job string) ([]Run, error) {
	return get[[]Run](ctx, c, "/v1/jobs/"+url.PathEscape(job)+"/runs")
}

// get asks for something that is one answer in JSON.
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

// StartJob starts a run of a job, and returns as soon as the run is accepted. Jobs that it depends on are run first, and services that
// it needs are started. If there are args, they replace the job's command after its entrypoint. The error is an *[Error] with status
// 409 if the job is running, is paused, or cannot be run by hand.
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

// RunJob is [Client.StartJob] that waits for the end: the sequence yields the run as it was accepted, each line that it writes, and at
// last the result. If the caller leaves earlier, because ctx is done or the loop ends, the run is cancelled. After an error
// the sequence ends.
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

// CancelJob ends the run of a job that is in progress, and those that wait for their turn. The error is an *[Error] with status 409 if
// there is none.
func (c *Client) CancelJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "cancel") }

// PauseJob suspends the schedule of a job until [Client.ResumeJob]. Runs that are due meanwhile are not made up for. A run in progress
// continues.
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
