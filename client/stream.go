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

// NoLines is the value of [LogOptions.Lines] that returns no old lines.
const NoLines = -1

// LogOptions are the options of [Client.Logs].
type LogOptions struct {
	// Lines is the number of old lines of each daemon that are returned first, the last ones: 0 means all that are kept, [NoLines]
	// none.
	Lines int
	// Follow continues with new lines until ctx is done or the supervisor ends.
	Follow bool
}

// Logs returns lines of the daemons, or services, of these names, or of all daemons: first the old lines, in order of time, then
// the new ones. The sequence ends after an error. There is no error if it ends because the supervisor has ended.
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

// Events returns the events that are kept and, with follow, new ones until ctx is done or the supervisor ends. The sequence ends
// after an error. There is no error if it ends because the supervisor has ended.
func (c *Client) Events(ctx context.Context, follow bool) iter.Seq2[Event, error] {
	q := url.Values{}
	if follow {
		q.Set("follow", "true")
	}
	return stream[Event](ctx, c, "/v1/events", q)
}

// stream requests a path whose answer is a sequence of JSON values, one per line.
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
