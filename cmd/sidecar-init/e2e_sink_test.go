//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// A sink takes events and counts those that it has said to have taken, each once.
type sink struct {
	mu    sync.Mutex
	taken map[string]bool
	look  func() // takes what has come; may be nil
	held  []net.Conn
}

// hold keeps a connection and does nothing with it.
func (k *sink) hold(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = append(k.held, c)
}

// close ends the connections that are held.
func (k *sink) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.held {
		c.Close()
	}
}

func (k *sink) take(event []byte) {
	var e client.Event
	if json.Unmarshal(event, &e) == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.taken[e.ID] = true
	}
}

// takeFiles takes what a program has written into files.
func (k *sink) takeFiles(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.event"))
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			k.take(text)
		}
	}
}

func (k *sink) count() int {
	if k.look != nil {
		k.look()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.taken)
}

// serve answers HTTP requests with do, or connections with raw, and returns the URL.
func (k *sink) serve(t *testing.T, network string, do func(w http.ResponseWriter, event []byte), raw func(net.Conn)) string {
	t.Helper()
	address, url := "127.0.0.1:0", "http://"
	if network == "unix" {
		address, url = filepath.Join(openDir(t), "k"), "unix://"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if raw != nil {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				raw(conn)
			}
		}()
		return url + l.Addr().String()
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/cloudevents+json" {
			t.Errorf("%s, %v, %v", r.Method, r.Header, err)
		}
		if do != nil {
			do(w, body)
			return
		}
		k.take(body)
	}))
	return url + l.Addr().String()
}

// sinkTests are sinks of every kind. Each returns the URL of the sink that k counts for, and of others beside it.
var sinkTests = []struct {
	name string
	sink func(t *testing.T, k *sink) []string
	good bool
}{
	{"good", func(t *testing.T, k *sink) []string { return []string{k.serve(t, "tcp", nil, nil)} }, true},
	{"good, by a unix socket", func(t *testing.T, k *sink) []string { return []string{k.serve(t, "unix", nil, nil)} }, true},
	{"good program", func(t *testing.T, k *sink) []string {
		dir := openDir(t)
		k.look = func() { k.takeFiles(dir) }
		return []string{"exec:" + script(t, dir, "cat >"+dir+"/$$.part; mv "+dir+"/$$.part "+dir+"/$$.event")}
	}, true},
	{"good after a failure", func(t *testing.T, k *sink) []string {
		var failed sync.Once
		return []string{k.serve(t, "tcp", func(w http.ResponseWriter, event []byte) {
			first := false
			failed.Do(func() { first = true })
			if first {
				w.WriteHeader(503)
				return
			}
			k.take(event)
		}, nil)}
	}, true},
	{"good, beside bad ones", func(t *testing.T, k *sink) []string {
		return []string{
			k.serve(t, "tcp", nil, nil),
			k.serve(t, "unix", nil, k.hold),
			k.serve(t, "unix", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(500) }, nil),
			"exec:" + script(t, openDir(t), "sleep 1000"),
		}
	}, true},

	{"never answers", func(t *testing.T, k *sink) []string { return []string{k.serve(t, "tcp", nil, k.hold)} }, false},
	{"never accepts", func(t *testing.T, k *sink) []string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return []string{"http://" + l.Addr().String()}
	}, false},
	{"answers 500", func(t *testing.T, k *sink) []string {
		return []string{k.serve(t, "tcp", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(500) }, nil)}
	}, false},
	{"answers 404", func(t *testing.T, k *sink) []string {
		return []string{k.serve(t, "tcp", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(404) }, nil)}
	}, false},
	{"closes at once", func(t *testing.T, k *sink) []string {
		return []string{k.serve(t, "tcp", nil, func(c net.Conn) { c.Close() })}
	}, false},
	{"slow", func(t *testing.T, k *sink) []string {
		return []string{k.serve(t, "tcp", func(http.ResponseWriter, []byte) { time.Sleep(3 * time.Second) }, nil)}
	}, false},
	{"answers a byte now and then", func(t *testing.T, k *sink) []string {
		return []string{k.serve(t, "tcp", nil, func(c net.Conn) {
			go func() { // until the other side has had enough
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
				for ; err == nil; time.Sleep(10 * time.Millisecond) {
					_, err = io.WriteString(c, "x")
				}
				c.Close()
			}()
		})}
	}, false},
	{"not there", func(*testing.T, *sink) []string { return []string{"unix:///nonexistent/s"} }, false},
	{"hanging program", func(t *testing.T, k *sink) []string {
		return []string{"exec:" + script(t, openDir(t), "sleep 1000")}
	}, false},
	{"failing program", func(t *testing.T, k *sink) []string { return []string{"exec:" + script(t, openDir(t), "exit 1")} }, false},
}

// What a sink may add to the time of a restart, and to that of the end: nothing, but for what the scheduler does; and as much
// as it takes to send the last events, where there is reason to believe that they can be.
const (
	sinkDelay = 100 * time.Millisecond
	sinkEnd   = 500 * time.Millisecond
)

// TestSinks: whatever a sink does, restarts and the end take no longer than without it, and each event is delivered or said
// to be dropped.
func TestSinks(t *testing.T) {
	t.Parallel()
	for _, tt := range sinkTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			again(t, func() error {
				restart, end, err := withSinks(t, nil, nil, false)
				if err != nil {
					return err
				}
				k := &sink{taken: map[string]bool{}}
				defer k.close()
				withRestart, withEnd, err := withSinks(t, k, tt.sink(t, k), tt.good)
				if max := restart + sinkDelay; withRestart > max {
					err = errors.Join(err, fmt.Errorf("a restart took %s, want at most %s", withRestart, max))
				}
				max := end + sinkDelay
				if tt.good {
					max = end + sinkEnd
				}
				t.Logf("a restart takes %s without and %s with it, the end %s and %s", restart, withRestart, end, withEnd)
				if withEnd > max {
					err = errors.Join(err, fmt.Errorf("the end took %s, want at most %s", withEnd, max))
				}
				return err
			})
		})
	}
}

// withSinks runs a bundle with these sinks, and returns the longest time of ten restarts, and that of the end. The first
// sink is k; with good it gets everything that happens before the end.
func withSinks(t *testing.T, k *sink, urls []string, good bool) (restart, end time.Duration, err error) {
	t.Helper()
	bundle := services(daemon("web", "print up; block"), daemon("other", "block"))
	if len(urls) > 0 {
		bundle = fmt.Sprintf("x-sidecar-init: { notify: [ { url: %s } ] }\n", strings.Join(urls, " }, { url: ")) + bundle
	}
	s, path := controlled(t, call{bundle: bundle})
	c := client.New(path)
	waitReady(t, c)
	began := time.Now()
	made := make(chan int)
	go func() { // until the end
		n := 0
		for e, err := range c.Events(context.Background(), true) {
			if err == nil && e.Lost() == 0 {
				n++
			}
		}
		made <- n
	}()
	for range 10 {
		begin := time.Now()
		if _, err := c.Restart(context.Background(), "web"); err != nil {
			return 0, 0, err
		}
		restart = max(restart, time.Since(begin))
	}
	switch {
	case good: // what comes at the end has a chance only
		eventually(t, "the events are delivered", func() bool { return k.count() >= 30 })
	case len(urls) > 0: // one that has just begun to hang is given a moment at the end
		eventually(t, "it is seen that the sink is slow", func() bool { return time.Since(began) > 500*time.Millisecond })
	}
	at := s.signal(syscall.SIGTERM)
	if err := s.ends(0); err != nil {
		return 0, 0, err
	}
	events, dropped := <-made, map[string]int{}
	for _, line := range s.log() {
		if m := regexp.MustCompile(`^sidecar-init: (\d+) events for (.*) were dropped: `).FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			dropped[m[2]] += n
		}
	}
	if events < 33 {
		err = fmt.Errorf("there were %d events, want 33 at least", events)
	}
	for i, url := range urls {
		delivered := 0
		if i == 0 {
			delivered = k.count()
		}
		if delivered+dropped[url] != events || delivered > 0 && !good {
			err = errors.Join(err, fmt.Errorf("%s: %d events, %d delivered, %d said to be dropped", url, events, delivered, dropped[url]))
		}
	}
	return restart, s.at.Sub(at), err
}
