package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ReloadOptions say how to reload.
type ReloadOptions struct {
	// DryRun says what would happen, and does nothing.
	DryRun bool
	// Rollback gives all daemons their old definitions back when one that was started does not become ready in its time.
	Rollback bool
	// Timeout is how long the result is waited for; 0 means for ever. What is not done by then goes on.
	Timeout time.Duration
}

// A Reload is what the bundle's files, read anew, mean for what runs.
type Reload struct {
	// Steps are the daemons that are concerned, and Unchanged counts the others.
	Steps     []ReloadStep `json:"steps"`
	Unchanged int          `json:"unchanged"`
	// Notes are changes that take a new container.
	Notes []string `json:"notes,omitempty"`
	// Applied: it was more than a dry run.
	Applied bool `json:"applied"`
	// Failed are the daemons that could not be started, or have not become ready; RolledBack says that therefore all is as before.
	Failed     []string `json:"failed,omitempty"`
	RolledBack bool     `json:"rolled_back,omitempty"`
	// FailedUpdates says of each service with a deploy.update_config whose replicas failed what has come of that.
	FailedUpdates []string `json:"failed_updates,omitempty"`
	// Problems are what is wrong with the files, each as FILE:LINE:COL: MESSAGE. Nothing was changed then.
	Problems []string `json:"problems,omitempty"`
}

// A ReloadStep is what happens to a daemon, or with the name bundle to the bundle itself.
type ReloadStep struct {
	Name   string   `json:"name"`
	Action string   `json:"action"` // restart, start, stop or update
	Causes []string `json:"causes"` // the keys that have changed, or why else
}

// Reload makes the supervisor read its files anew, and apply what has changed. Where the files are wrong the error is an *[Error] with
// status 422, and the Reload has the problems; where daemons could not be started its status is 500.
func (c *Client) Reload(ctx context.Context, o ReloadOptions) (Reload, error) {
	q := url.Values{}
	if o.DryRun {
		q.Set("dry_run", "1")
	}
	if o.Rollback {
		q.Set("rollback", "1")
	}
	if o.Timeout > 0 {
		q.Set("timeout", o.Timeout.String())
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/reload", q, nil, http.StatusUnprocessableEntity, http.StatusInternalServerError)
	if err != nil {
		return Reload{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Reload{}, badAnswer(err)
	}
	var answer struct {
		Reload
		Error string `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return Reload{}, badAnswer(err)
	}
	if answer.Error != "" {
		return answer.Reload, &Error{Status: resp.StatusCode, Message: answer.Error}
	}
	return answer.Reload, nil
}

// A Bundle is what a supervisor runs.
type Bundle struct {
	// Name is the bundle's; empty where nothing gives one.
	Name string `json:"name,omitempty"`
	// Files are those that it was read from; none for the built-in bundle.
	Files []string `json:"files"`
	// Absent are the services of the files that do not run: their profile is not active, their scale is 0, or they were not selected.
	Absent []string `json:"absent,omitempty"`
	// Changed: the files say something else now than what runs.
	Changed bool `json:"changed"`
	// LastReload is when a reload has succeeded last, or else the start; LastReloadFailed says that the last one has not.
	LastReload       time.Time `json:"last_reload"`
	LastReloadFailed bool      `json:"last_reload_failed"`
	// Started is when the supervisor was started. EventsSince is the time from which on all events are kept; nil if all are.
	Started     time.Time  `json:"started"`
	EventsSince *time.Time `json:"events_since,omitempty"`
	// PIDNamespace is that of the supervisor, whose process IDs it tells; 0 if it is not known. See the function of that name.
	PIDNamespace uint64 `json:"pid_namespace,omitempty"`
}

// Bundle returns what the supervisor runs.
func (c *Client) Bundle(ctx context.Context) (Bundle, error) {
	return get[Bundle](ctx, c, "/v1/bundle")
}
