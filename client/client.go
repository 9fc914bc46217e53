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

// ErrNoSupervisor says that nobody answers at the control socket: no supervisor runs, it has no control socket, or this process
// may not connect to it.
var ErrNoSupervisor = errors.New("no supervisor answers")

// An Error is an answer of the supervisor other than success.
type Error struct {
	// Status is the HTTP status: 403 if the caller may not ask, 404 for an unknown daemon, 409 if the daemon's state or a shutdown forbids
	// it, 504 if the result did not come in time, 500 if the action failed.
	Status int
	// Message explains the error.
	Message string
	// Nearest is the most similar name if the daemon is unknown, or empty.
	Nearest string
	// Control, if not empty, explains a 403: this process belongs, or may belong, to a daemon whose x-sidecar-init.control has this
	// value, none or read.
	Control string
	// Daemons describes the daemons concerned if the action failed.
	Daemons []Daemon
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// A Client talks to one supervisor. Create one with [New].
type Client struct {
	paths []string // in the order in which they are tried; nil means DefaultSockets, as they are then
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

// Daemons returns the daemons, or services, of these names; without names, all daemons but no jobs. They are in the order of the
// bundle file.
func (c *Client) Daemons(ctx context.Context, names ...string) ([]Daemon, error) {
	if len(names) == 1 && strings.Trim(names[0], ".") != "" { // so a daemon may ask of itself whatever its control is; .. is no path
		return c.daemons(ctx, http.MethodGet, "/v1/daemons/"+url.PathEscape(names[0]), nil, nil)
	}
	return c.daemons(ctx, http.MethodGet, "/v1/daemons", url.Values{"name": names}, nil)
}

// DaemonsAndJobs is [Client.Daemons], except that without names it also returns the jobs.
func (c *Client) DaemonsAndJobs(ctx context.Context, names ...string) ([]Daemon, error) {
	return c.daemons(ctx, http.MethodGet, "/v1/daemons", url.Values{"name": names, "all": {"1"}}, nil)
}

// Start starts a daemon, or all daemons of a service, and returns them once each was executed or has failed to start. It does
// nothing to a daemon that is alive.
func (c *Client) Start(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "start", nil)
}

// Stop stops a daemon, or all daemons of a service, and returns them once each is dead. They stay stopped until Start or Restart.
func (c *Client) Stop(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "stop", nil)
}

// Restart stops a daemon, or all daemons of a service, if they are alive, starts them again, and returns them once each was
// executed or has failed to start.
func (c *Client) Restart(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "restart", nil)
}

// Signal sends a signal, such as "HUP", "SIGHUP" or "1", to the main process of a daemon, or of all daemons of a service. A daemon
// that is not ready yet gets it when it is. Signal fails for a dead daemon.
func (c *Client) Signal(ctx context.Context, name, signal string) ([]Daemon, error) {
	body, err := json.Marshal(map[string]string{"signal": signal})
	if err != nil {
		return nil, err
	}
	return c.act(ctx, name, "signal", body)
}

// Pause freezes a daemon, or all daemons of a service, with everything that they have started, until [Client.Unpause]. It fails for a
// daemon without a control group of its own. Only daemons with a limit have one, and only where control groups are writable.
func (c *Client) Pause(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "pause", nil)
}

// Unpause thaws a daemon, or all daemons of a service.
func (c *Client) Unpause(ctx context.Context, name string) ([]Daemon, error) {
	return c.act(ctx, name, "unpause", nil)
}

// Healthy returns whether the bundle is healthy, and the daemons that are not.
func (c *Client) Healthy(ctx context.Context) (Health, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/healthy", nil, nil, http.StatusServiceUnavailable)
	if err != nil {
		return Health{}, err
	}
	defer resp.Body.Close()
	// A supervisor that has just ended answers 503 too, with an error.
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

// A Condition is what Wait waits for.
type Condition string

// The conditions.
const (
	// Ready holds when each daemon is ready or has exited with 0.
	Ready Condition = "ready"
	// Exited holds when each daemon is dead and only a command would start it again, and when the supervisor has ended.
	Exited Condition = "exited"
)

// Wait returns the daemons, or services, of these names, or all, as soon as the condition holds for each of them.
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
	return nil, nil // the connection was cut, or the supervisor said that it has ended: so have all daemons
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

// daemons asks for something that is answered by one daemon or a list of them.
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

// do sends a request, and returns its answer if that is a success or has one of the codes that are expected.
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
		err = wrapped.Err // its text has the made-up URL, which helps nobody
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

// readError reads what the answer says about what is wrong.
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
