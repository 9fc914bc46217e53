package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// A Transient describes a daemon that is not in the bundle file, for [Client.Add]. The bundle file must allow such daemons. It also
// sets the user as which they run, how many there may be at a time, and for how long.
type Transient struct {
	// Command is the program with its arguments.
	Command []string `json:"command"`
	// Env lists variables, as NAME=VALUE, in addition to the supervisor's, without those that are private to a daemon.
	Env []string `json:"env,omitempty"`
	// WorkingDir is an absolute path; empty means the supervisor's own working directory.
	WorkingDir string `json:"working_dir,omitempty"`
	// TTL is the time after which it is removed, such as "10m"; empty means the longest time that the bundle file allows.
	TTL string `json:"ttl,omitempty"`
	// Restart is its restart policy: no (the default), on-failure[:N], always or unless-stopped.
	Restart string `json:"restart,omitempty"`
}

// Add adds a daemon that is not in the bundle file, and returns it once its program was executed. It is supervised, logged and
// listed like other daemons, until [Client.Remove] or the end of its TTL. A reload does not affect it. The error is an *[Error]
// with status 409 if a daemon or service of that name exists or the bundle allows no such daemons, and 429 if there are already
// as many as it allows.
func (c *Client) Add(ctx context.Context, name string, t Transient) (Daemon, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return Daemon{}, err
	}
	return c.one(ctx, http.MethodPut, name, body)
}

// Remove stops and removes a daemon that was added by [Client.Add]. Once it is gone, it returns the daemon as it was before. For a
// daemon in the bundle file, the error is an *[Error] with status 409.
func (c *Client) Remove(ctx context.Context, name string) (Daemon, error) {
	return c.one(ctx, http.MethodDelete, name, nil)
}

func (c *Client) one(ctx context.Context, method, name string, body []byte) (Daemon, error) {
	if name == "" || name == "." || name == ".." { // this name would change the path
		return Daemon{}, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("a daemon cannot be called %q: give it another name", name)}
	}
	all, err := c.daemons(ctx, method, "/v1/daemons/"+url.PathEscape(name), nil, body)
	if err != nil || len(all) == 0 {
		return Daemon{}, err
	}
	return all[0], nil
}
