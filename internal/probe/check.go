package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// A Check looks at a daemon once. It returns nil if all is well, else what is wrong. It returns soon after ctx is done.
type Check func(ctx context.Context) error

// TCP succeeds when addr, HOST:PORT, accepts a connection.
func TCP(addr string) Check {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if conn.LocalAddr().String() == conn.RemoteAddr().String() {
			// The port is one of those that the kernel gives to clients, and it gave us this one: TCP lets a socket
			// connect to itself.
			return errors.New("nobody listens there")
		}
		return nil
	}
}

// HTTP succeeds when the server at address, a URL, answers with 2xx or 3xx to a GET. A redirect is not followed. Of https the certificate is not
// verified: a daemon that is asked by its supervisor, through the loopback, seldom has one in that name (the kubelet
// does the same).
func HTTP(address string) Check {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			// No proxy: what is in the environment is meant for daemons.
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return withoutURL(err)
		}
		req.Header.Set("User-Agent", "sidecar-init")
		resp, err := client.Do(req)
		if err != nil {
			return withoutURL(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 200 || resp.StatusCode > 399 {
			return fmt.Errorf("it answered %s", resp.Status)
		}
		return nil
	}
}

// withoutURL is an error of net/http without the URL, in which there may be a password.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
