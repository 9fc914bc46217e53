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
	// Rollback restores the old definitions of all daemons if a daemon that was started or restarted does not become ready in time.
	Rollback bool
	// Timeout is how long to wait for the result; 0 means no limit. After the timeout the reload continues, or with Rollback is
	// rolled back.
	Timeout time.Duration
}

// A Reload is the result of rereading the bundle's files.
type Reload struct {
	// Steps lists what is done to each daemon that changes. Unchanged counts the other daemons.
	Steps     []ReloadStep `json:"steps"`
	Unchanged int          `json:"unchanged"`
	// Notes lists changes that take effect only in a new container.
	Notes []string `json:"notes,omitempty"`
	// Applied: the changes were applied. It is false for a dry run.
	Applied bool `json:"applied"`
	// Failed lists the daemons that could not be started or did not become ready. RolledBack: because of that, the old definitions
	// were restored.
	Failed     []string `json:"failed,omitempty"`
	RolledBack bool     `json:"rolled_back,omitempty"`
	// FailedUpdates says, for each service with deploy.update_config whose replicas failed, how the failure was handled.
	FailedUpdates []string `json:"failed_updates,omitempty"`
	// Problems lists the mistakes in the files, each as FILE:LINE:COL: MESSAGE. If there are any, nothing was changed.
	Problems []string `json:"problems,omitempty"`
}

// A ReloadStep is what a reload does to a daemon, or to the bundle itself if the name is bundle.
type ReloadStep struct {
	Name   string   `json:"name"`
	Action string   `json:"action"` // restart, start, stop or update
	Causes []string `json:"causes"` // the changed keys, or another cause
}

// Reload makes the supervisor reread its files and apply the changes. If the files have mistakes, the error is an *[Error] with
// status 422, and the result has the Problems. If daemons failed, the status is 500, and the result has them in Failed or
// FailedUpdates.
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
	// Files lists the files from which the bundle was read; it is empty for the built-in bundle.
	Files []string `json:"files"`
	// Absent lists services in the files that are not in the bundle, because their profile is not active, their scale is 0, or they
	// were not selected.
	Absent []string `json:"absent,omitempty"`
	// Changed: the files differ from the running bundle.
	Changed bool `json:"changed"`
	// LastReload is the time of the last successful reload, or of the start if there was none. LastReloadFailed: the last reload
	// has failed.
	LastReload       time.Time `json:"last_reload"`
	LastReloadFailed bool      `json:"last_reload_failed"`
	// Started is when the supervisor was started. EventsSince is the time since which all events are kept; nil if all events are
	// kept.
	Started     time.Time  `json:"started"`
	EventsSince *time.Time `json:"events_since,omitempty"`
	// PIDNamespace identifies the PID namespace of the supervisor, in which its process IDs are valid; 0 if it is not known. See
	// the function [PIDNamespace].
	PIDNamespace uint64 `json:"pid_namespace,omitempty"`
}

// Bundle returns a description of the bundle that the supervisor runs.
func (c *Client) Bundle(ctx context.Context) (Bundle, error) {
	return get[Bundle](ctx, c, "/v1/bundle")
}
