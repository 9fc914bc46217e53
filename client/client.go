package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ErrNoSupervisor is the error of a call if no process answers at the control socket: no supervisor runs, it has no control
// socket, or this process may not connect to it.
var ErrNoSupervisor = errors.New("no supervisor answers")

// An Error is an answer of the supervisor other than success.
type Error struct {
	// Status is the HTTP status, such as 403 if the caller is not allowed to do this, 404 if the daemon is unknown, 409 if the
	// state of the daemon or a shutdown does not permit it, 500 if the action failed, 504 if there was no result in time.
	Status int
	// Message explains the error.
	Message string
	// Nearest is the most similar name if the daemon is unknown. It is empty if no name is similar.
	Nearest string
	// Control, if not empty, explains a 403: this process belongs, or may belong, to a daemon whose x-sidecar-init.control has this
	// value, which is none or read.
	Control string
	// Daemons describes the daemons concerned if the action failed.
	Daemons []Daemon
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// A Client talks to one supervisor. Create one with [New].
type Client struct {
	paths []string // in the order in which they are tried; nil means DefaultSockets, called for each connection
	http  *http.Client
}

// New returns a client for the supervisor at the given control socket. An empty path means the first of [DefaultSockets] at which a
// supervisor answers.
func New(path string) *Client {
	c := &Client{}
	if path != "" {
		c.paths = []string{path}
	}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableKeepAlives: true,
	}}
	return c
}

// Daemons returns the daemons, or the daemons of the services, of these names, in the order of the bundle file. Without names it
// returns all daemons, but no jobs.
func (c *Client) Daemons(ctx context.Context, names ...string) ([]Daemon, error) {
	if len(names) == 1 && strings.Trim(names[0], ".") != "" { // a daemon may always get its own path; dots alone would change the path
		return c.daemons(ctx, http.MethodGet, "/v1/daemons/"+url.PathEscape(names[0]), nil, nil)
	}
	return c.daemons(ctx, http.MethodGet, "/v1/daemons", url.Values{"name": names}, nil)
}

// DaemonsAndJobs is like [Client.Daemons], except that without names it also returns the jobs.
func (c *Client) DaemonsAndJobs(ctx context.Context, names ...string) ([]Daemon, error) {
	return c.daemons(ctx, http.MethodGet, "/v1/daemons", url.Values{"name": names, "all": {"1"}}, nil)
}

// Start starts a daemon, or all daemons of a service, and returns them once the program of each was executed or has failed to
// start. It does nothing to a daemon that is alive.
func (c *Client) Start(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "start", nil)
}

// Stop stops a daemon, or all daemons of a service, and returns them once each is dead. They stay stopped until [Client.Start] or
// [Client.Restart].
func (c *Client) Stop(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "stop", nil)
}

// Restart stops a daemon, or all daemons of a service, if they are alive, starts them again, and returns them once the program of
// each was executed or has failed to start.
func (c *Client) Restart(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "restart", nil)
}

// Signal sends a signal, such as "HUP", "SIGHUP" or "1", to the main process of a daemon, or of all daemons of a service. A daemon
// that is not ready yet gets the signal when it is ready. Signal fails for a dead daemon.
func (c *Client) Signal(ctx context.Context, name, signal string) ([]Daemon, error) {
	body, err := json.Marshal(map[string]string{"signal": signal})
	if err != nil {
		return nil, err
	}
	return c.act(ctx, name, "signal", body)
}

// Pause freezes a daemon, or all daemons of a service, and all processes that they have started, until [Client.Unpause]. It fails
// for a daemon without a control group of its own. Only daemons with a limit have one, and only if control groups are writable.
func (c *Client) Pause(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "pause", nil)
}

// Unpause thaws a daemon, or all daemons of a service.
func (c *Client) Unpause(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "unpause", nil)
}

// Healthy returns whether the bundle is healthy, and the daemons because of which it is not.
func (c *Client) Healthy(ctx context.Context) (Health, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/healthy", nil, nil, http.StatusServiceUnavailable)
	if err != nil {
		return Health{}, err
	}
	defer resp.Body.Close()
	// The status is also 503, with an error, if the supervisor has just ended.
	var answer struct {
		Health
		Error string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return Health{}, badAnswer(err)
	}
	if answer.Error != "" {
		return Health{}, &Error{Status: resp.StatusCode, Message: answer.Error}
	}
	return answer.Health, nil
}

// A Condition is what [Client.Wait] waits for.
type Condition string

// The conditions.
const (
	// Ready holds when each daemon is ready or has exited with 0.
	Ready Condition = "ready"
	// Exited holds when each daemon is dead and only a command would start it again. It also holds when the supervisor has ended.
	Exited Condition = "exited"
)

// Wait waits until the condition holds for each of the daemons, or services, of these names, or for all daemons, and returns
// them. If the supervisor ends while Wait waits for [Exited], it returns no daemons and no error.
func (c *Client) Wait(ctx context.Context, until Condition, names ...string) ([]Daemon, error) {
	q := url.Values{"name": names, "for": {string(until)}}
	all, err := c.daemons(ctx, http.MethodGet, "/v1/wait", q, nil)
	var answer *Error
	if err == nil || until != Exited || ctx.Err() != nil || errors.As(err, &answer) && answer.Status != http.StatusServiceUnavailable {
		return all, err
	}
	if errors.Is(err, ErrNoSupervisor) {
		return nil, err
	}
	return nil, nil // the connection was cut, or the supervisor said that it has ended; then all daemons have ended too
}

// Metrics returns the metrics of the supervisor and its daemons in the text format of Prometheus.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/metrics", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (c *Client) act(ctx context.Context, name, action string, body []byte) ([]Daemon, error) {
	return c.daemons(ctx, http.MethodPost, "/v1/daemons/"+url.PathEscape(name)+"/"+action, nil, body)
}

// daemons sends a request whose answer is a daemon or a list of daemons.
func (c *Client) daemons(ctx context.Context, method, path string, q url.Values, body []byte) ([]Daemon, error) {
	resp, err := c.do(ctx, method, path, q, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, badAnswer(err)
	}
	return parseDaemons(text)
}

func parseDaemons(text []byte) ([]Daemon, error) {
	if bytes.HasPrefix(text, []byte("{")) {
		text = append(append([]byte("["), text...), ']')
	}
	var all []Daemon
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, badAnswer(err)
	}
	return all, nil
}

func badAnswer(err error) error { return fmt.Errorf("cannot read the supervisor's answer: %w", err) }

// do sends a request, and returns the answer if its status is a success or one of the expected codes.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, body []byte, expected ...int) (*http.Response, error) {
	target := "http://sidecar-init" + path
	if query := q.Encode(); query != "" {
		target += "?" + query
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which is made up and helps nobody
	}
	if errors.Is(err, io.EOF) || cut(err) {
		return nil, fmt.Errorf("the supervisor has ended: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	for _, code := range expected {
		if resp.StatusCode == code {
			return resp, nil
		}
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// readError returns the error that the answer describes.
func readError(resp *http.Response) error {
	var answer struct {
		Error   string          `json:"error"`
		Nearest string          `json:"nearest"`
		Control string          `json:"control"`
		Daemons json.RawMessage `json:"daemons"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	e := &Error{Status: resp.StatusCode}
	if json.Unmarshal(text, &answer) == nil && answer.Error != "" {
		e.Message, e.Nearest, e.Control = answer.Error, answer.Nearest, answer.Control
		if answer.Daemons != nil {
			e.Daemons, _ = parseDaemons(answer.Daemons)
		}
		return e
	}
	e.Message = strings.TrimSpace(string(text))
	if e.Message == "" {
		e.Message = resp.Status
	}
	return e
}

func itoa(n int) string { return strconv.Itoa(n) }
