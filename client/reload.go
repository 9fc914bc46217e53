package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ReloadOptions are the options of [Client.Reload].
type ReloadOptions struct {
	// DryRun only reports what a reload would do.
	DryRun bool
	// Rollback restores the old definitions of all daemons if one that was started does not become ready in time.
	Rollback bool
	// Timeout is how long to wait for the result; 0 means without limit. What is not done by then continues.
	Timeout time.Duration
}

// A Reload is the result of rereading the bundle's files.
type Reload struct {
	// Steps lists the daemons concerned; Unchanged counts the others.
	Steps     []ReloadStep `json:"steps"`
	Unchanged int          `json:"unchanged"`
	// Notes lists changes that take effect only in a new container.
	Notes []string `json:"notes,omitempty"`
	// Applied: the changes were applied; it was no dry run.
	Applied bool `json:"applied"`
	// Failed lists the daemons that could not be started or did not become ready. RolledBack: for this reason everything was restored.
	Failed     []string `json:"failed,omitempty"`
	RolledBack bool     `json:"rolled_back,omitempty"`
	// FailedUpdates says, for each service with deploy.update_config whose replicas failed, what was done about it.
	FailedUpdates []string `json:"failed_updates,omitempty"`
	// Problems lists the mistakes in the files, each as FILE:LINE:COL: MESSAGE. Nothing was changed then.
	Problems []string `json:"problems,omitempty"`
}

// A ReloadStep is what a reload does to a daemon, or, with the name bundle, to the bundle itself.
type ReloadStep struct {
	Name   string   `json:"name"`
	Action string   `json:"action"` // restart, start, stop or update
	Causes []string `json:"causes"` // the changed keys, or another cause
}

// Reload makes the supervisor reread its files and apply the changes. If the files have mistakes, the error is an *[Error] with
// status 422, and the result has the Problems; if daemons could not be started, the status is 500.
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

// A Bundle describes the bundle that a supervisor runs.
type Bundle struct {
	// Name is the name of the bundle; empty if it has none.
	Name string `json:"name,omitempty"`
	// Files lists the files from which it was read; none for the built-in bundle.
	Files []string `json:"files"`
	// Absent lists services of the files that are not in the bundle: their profile is not active, their scale is 0, or they were not
	// selected.
	Absent []string `json:"absent,omitempty"`
	// Changed: the files differ from what runs.
	Changed bool `json:"changed"`
	// LastReload is when the last successful reload, or else the start, was. LastReloadFailed: the last reload has failed.
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
