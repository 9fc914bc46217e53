package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// newSender returns how to send to a sink, and its name, which has nothing of its URL that may be secret.
func newSender(target bundle.Sink, env []string) (sender, string, error) {
	if len(target.Exec) > 0 {
		return program(target.Exec, env), "exec:" + target.Exec[0], nil
	}
	u, err := url.Parse(target.URL)
	switch {
	case err != nil:
		return nil, "", errors.New("one of the URLs is malformed")
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Host == "" {
			return nil, "", errors.New("a URL has no host")
		}
		return post(target.URL, nil), u.Scheme + "://" + u.Host, nil
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return post("http://localhost/", func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", u.Path)
		}), "unix://" + u.Path, nil
	case u.Scheme == "exec" && strings.HasPrefix(u.Path, "/"):
		return program([]string{u.Path}, env), "exec:" + u.Path, nil
	}
	return nil, "", fmt.Errorf("a sink is http://, https://, unix:///PATH or exec:/PATH, not %s", u.Scheme)
}

// post sends by HTTP. It keeps no connection, which would cost memory and wake up; it follows no redirection, and uses no
// proxy: in a container that is a proxy itself, nobody would expect events to go through it.
func post(target string, dial func(ctx context.Context, network, address string) (net.Conn, error)) sender {
	client := &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, event []byte) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(event))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/cloudevents+json")
		req.Header.Set("User-Agent", "sidecar-init")
		resp, err := client.Do(req)
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // its text has the whole URL, which may have a secret
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the address is known
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
			return errors.New("no answer in time")
		case err != nil:
			return err
		}
		resp.Body.Close()
		switch code := resp.StatusCode; {
		case code/100 == 2:
			return nil
		case code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests || code/100 == 5:
			return errors.New("it answers " + resp.Status)
		default:
			return refusal{errors.New("it answers " + resp.Status)}
		}
	}
}

// program sends to the standard input of a program, which has taken the event if it ends with 0.
func program(argv, env []string) sender {
	return func(ctx context.Context, event []byte) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		proc, err := child.Exec{Stdin: r}.Spawn(&child.Spec{Name: "notify", Program: child.Program{Argv: argv, Env: env}})
		r.Close()
		if err != nil {
			return err
		}
		written := make(chan struct{})
		go func() { // ends when the program has read all, or has ended, or w is closed
			defer close(written)
			_, _ = w.Write(event) // a program need not read it
			w.Close()
		}()
		ended := make(chan child.Exit, 1)
		go func() { // ends with the program
			exit := proc.Wait()
			proc.Release(true) // what it has started must not pile up
			ended <- exit
		}()
		select {
		case exit := <-ended:
			w.Close()
			<-written
			if exit.Failed() {
				return fmt.Errorf("it ended with %s", exit)
			}
			return nil
		case <-ctx.Done():
		}
		_ = proc.Signal(syscall.SIGKILL, true) // it may have just ended
		timer := time.NewTimer(killTime)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C: // it hangs in the kernel
		}
		return errors.New("it took too long and was killed")
	}
}

// killTime is how long a program may take to be gone after SIGKILL.
const killTime = 50 * time.Millisecond
