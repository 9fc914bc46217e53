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

// A Job is what the supervisor knows of a job.
type Job struct {
	Name string `json:"name"`
	// Manual: it may be run by hand.
	Manual bool `json:"manual"`
	// Schedule are the crontab expressions by which it runs, each with its time zone.
	Schedule []Schedule `json:"schedule"`
	// State is scheduled, waiting (for what it depends on), running or paused.
	State string `json:"state"`
	// Current is the run in progress, or about to be; Waiting is how many wait for its end.
	Current *Run `json:"current,omitempty"`
	Waiting int  `json:"waiting,omitempty"`
	// Last is the latest run that is over; nil before any.
	Last *Run `json:"last,omitempty"`
	// Next is when it runs next by itself; nil if it does not.
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
	RunWaiting   = "waiting" // for its turn, or for what it depends on
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
	// Started and Ended are nil before that.
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Code is the exit code as a shell has it (128 and the number of a signal); 130 where the run was cancelled, and 124 where it took
	// longer than its timeout.
	Code int `json:"code"`
	// Exit is how the process ended; nil where there was none.
	Exit *Exit `json:"exit,omitempty"`
	// Reason says in words what went wrong, where that helps.
	Reason string `json:"reason,omitempty"`
}

// Over reports whether the run has come to its end.
func (r *Run) Over() bool { return r.Result != RunWaiting && r.Result != RunRunning }

// An Output is a line that a run has written, or, with [Run], how the run is: before the first line, and at the end.
type Output struct {
	Run *Run `json:"run,omitempty"`
	LogLine
}

// Jobs returns the jobs, in the order of the bundle file.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	return get[[]Job](ctx, c, "/v1/jobs")
}

// Runs returns the last runs of a job, 10 at most, the latest first.
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

// StartJob runs a job, and returns as soon as the run is accepted: the jobs that it depends on run first, and services that it needs are
// started. With args they take the place of the job's command, behind its entrypoint. The error is an *[Error] with status 409 where the
// job is running, is paused, or cannot be run by hand.
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

// RunJob is StartJob that stays: the sequence has the run as it was accepted, each line that it writes, and at last how it has ended. A
// run whose caller leaves before, because ctx ends or the loop does, is cancelled. An error is the last thing that the sequence has.
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

// CancelJob ends the run of a job that is in progress, and those that wait for their turn. The error is an *[Error] with status 409 where
// there is none.
func (c *Client) CancelJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "cancel") }

// PauseJob lets the schedule of a job rest, until ResumeJob. What is due meanwhile is not made up for. A run in progress goes on.
func (c *Client) PauseJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "pause") }

// ResumeJob ends what PauseJob has begun.
func (c *Client) ResumeJob(ctx context.Context, job string) error { return c.toJob(ctx, job, "resume") }

func (c *Client) toJob(ctx context.Context, job, verb string) error {
	resp, err := c.do(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(job)+"/"+verb, nil, nil)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}
