package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// NoLines is [LogOptions.Lines] for lines that come from now on alone.
const NoLines = -1

// LogOptions say which lines of a log are wanted.
type LogOptions struct {
	// Lines is how many of the last lines of each daemon come first: 0 means all that are kept, NoLines none.
	Lines int
	// Follow goes on with each line that comes, until the context ends or the supervisor does.
	Follow bool
}

// Logs returns lines of the daemons of these names, or of these services, or of all: first the last ones, in order of
// time, then those that come. An error is the last thing that the sequence has; it has none if it ended because the
// supervisor did.
func (c *Client) Logs(ctx context.Context, o LogOptions, names ...string) iter.Seq2[LogLine, error] {
	lines := o.Lines
	switch {
	case lines == 0:
		lines = -1
	case lines < 0:
		lines = 0
	}
	q := url.Values{"name": names, "lines": {strconv.Itoa(lines)}}
	if o.Follow {
		q.Set("follow", "true")
	}
	return stream[LogLine](ctx, c, "/v1/logs", q)
}

// Events returns the last events of all daemons, as far as they are kept, and, with follow, each one that comes, until
// the context ends or the supervisor does. An error is the last thing that the sequence has; it has none if it ended
// because the supervisor did.
func (c *Client) Events(ctx context.Context, follow bool) iter.Seq2[Event, error] {
	q := url.Values{}
	if follow {
		q.Set("follow", "true")
	}
	return stream[Event](ctx, c, "/v1/events", q)
}

// stream reads one JSON object a line.
func stream[T any](ctx context.Context, c *Client, path string, q url.Values) iter.Seq2[T, error] {
	return streamOf[T](ctx, c, http.MethodGet, path, q, nil)
}

func streamOf[T any](ctx context.Context, c *Client, method, path string, q url.Values, body []byte) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		resp, err := c.do(ctx, method, path, q, body)
		if err != nil {
			yield(zero, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(bufio.NewReaderSize(resp.Body, 64<<10))
		for {
			var v T
			switch err := dec.Decode(&v); {
			case err == nil:
				if !yield(v, nil) {
					return
				}
			case ctx.Err() != nil:
				yield(zero, ctx.Err())
				return
			case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || cut(err):
				return
			default:
				yield(zero, badAnswer(err))
				return
			}
		}
	}
}
