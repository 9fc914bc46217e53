package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// A Transient is a daemon that is in no file, as Add makes it. Where the bundle's file allows such daemons it also says as whom they
// run, how many there may be, and for how long.
type Transient struct {
	// Command is the program with its arguments.
	Command []string `json:"command"`
	// Env are variables, as NAME=VALUE, beside the supervisor's without what is private to a daemon.
	Env []string `json:"env,omitempty"`
	// WorkingDir is absolute; empty is the supervisor's own.
	WorkingDir string `json:"working_dir,omitempty"`
	// TTL is after how long it is removed, such as "10m"; empty is the bundle's.
	TTL string `json:"ttl,omitempty"`
	// Restart is its restart policy: no (the default), on-failure[:N], always.
	Restart string `json:"restart,omitempty"`
}

// Add makes a daemon that is in no file, and returns it once its program has been executed. It is supervised, logged and listed like
// others, until Remove or the end of its TTL. A reload leaves it alone. The error is an *[Error] with status 409 where there is a daemon
// of that name or the bundle allows none of this kind, and 429 where it has as many as it allows.
func (c *Client) Add(ctx context.Context, name string, t Transient) (Daemon, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return Daemon{}, err
	}
	return c.one(ctx, http.MethodPut, name, body)
}

// Remove stops a daemon that Add has made, and returns how it was when it is gone. One of the bundle's file is an *[Error] with status 409.
func (c *Client) Remove(ctx context.Context, name string) (Daemon, error) {
	return c.one(ctx, http.MethodDelete, name, nil)
}

func (c *Client) one(ctx context.Context, method, name string, body []byte) (Daemon, error) {
	if name == "" || name == "." || name == ".." { // which would make another path of it
		return Daemon{}, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("a daemon cannot be called %q: give it another name", name)}
	}
	all, err := c.daemons(ctx, method, "/v1/daemons/"+url.PathEscape(name), nil, body)
	if err != nil || len(all) == 0 {
		return Daemon{}, err
	}
	return all[0], nil
}
