package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

func (p *program) logsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logs [--follow] [--lines N] [--since TIME] [--timestamps] [DAEMON...]",
		Short: "Show the last lines of the log of daemons, or of sidecar-init itself",
		Long: `Show the last lines of each daemon, as far as they are kept, in order of time. They look as in the log of the
container; a part of a long line that continues ends with a space and a backslash. The name sidecar-init
selects the supervisor's own lines.`,
	}
	c := p.newCaller(cmd)
	follow := cmd.Flags().BoolP("follow", "f", false, "print further lines as they come")
	lines := cmd.Flags().IntP("lines", "n", -1, "print the last `N` lines of each; -1 is all that are kept")
	since := sinceFlag(cmd, "lines")
	timestamps := cmd.Flags().BoolP("timestamps", "t", false, "prefix each line with its time, in UTC")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		from, err := since()
		if err != nil {
			return err
		}
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		options := client.LogOptions{Lines: max(*lines, 0), Follow: *follow}
		if *lines == 0 {
			options.Lines = client.NoLines
		}
		out := newLineWriter(p, *follow)
		for l, err := range to.Logs(ctx, options, args...) {
			if err != nil {
				out.Flush()
				return c.failed(err)
			}
			if l.Time.Before(from) {
				continue
			}
			if *timestamps {
				fmt.Fprintf(out, "%s ", l.Time.UTC().Format("2006-01-02T15:04:05.000000Z"))
			}
			prefix := "[" + l.Daemon + "] "
			if l.Daemon == client.Supervisor {
				prefix = l.Daemon + ": "
			}
			switch {
			case l.Lost > 0:
				fmt.Fprintf(out, "%s%d lines are missing here\n", prefix, l.Lost)
			case l.Partial:
				fmt.Fprintf(out, "%s%s \\\n", prefix, l.Raw())
			default:
				fmt.Fprintf(out, "%s%s\n", prefix, l.Raw())
			}
			if err := out.done(); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	return cmd
}

// sinceFlag adds --since. The function that it returns reads it, as docker logs does: a duration before now, or a time of RFC 3339.
func sinceFlag(cmd *cobra.Command, what string) func() (time.Time, error) {
	value := cmd.Flags().String("since", "", what+" since then: a `TIME` such as 10m, or 2026-03-01T12:00:00Z")
	return func() (time.Time, error) {
		if *value == "" {
			return time.Time{}, nil
		}
		if d, err := time.ParseDuration(*value); err == nil && d >= 0 {
			return time.Now().Add(-d), nil
		}
		if t, err := time.Parse(time.RFC3339, *value); err == nil {
			return t, nil
		}
		return time.Time{}, usagef("invalid value %q of --since: want a duration such as 10m, or a time such as 2026-03-01T12:00:00Z", *value)
	}
}

// A lineWriter writes lines to stdout: many at once, or each as it comes.
type lineWriter struct {
	*bufio.Writer
	each bool
}

func newLineWriter(p *program, each bool) *lineWriter {
	return &lineWriter{bufio.NewWriterSize(p.stdout, 64<<10), each}
}

// done is called after each line.
func (w *lineWriter) done() error {
	if w.each {
		return w.Flush()
	}
	return nil
}

func (p *program) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events [--follow] [--since TIME] [--format text|json] [DAEMON...]",
		Short: "Show the events of the daemons",
		Long: `Show the last events, as far as they are kept, of the given daemons or of all: one line each, followed by the last lines of the
log after a crash. As JSON each event is a CloudEvent on a line of its own.`,
	}
	c := p.newCaller(cmd).withFormat(cmd)
	since := sinceFlag(cmd, "events")
	follow := cmd.Flags().BoolP("follow", "f", false, "print further events as they happen")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		from, err := since()
		if err != nil {
			return err
		}
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		about := map[string]bool{}
		if len(args) > 0 {
			all, err := c.known(ctx, to, args)
			if err != nil {
				return err
			}
			for _, d := range all {
				about[d.Name] = true
			}
		}
		out := newLineWriter(p, *follow)
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for e, err := range to.Events(ctx, *follow) {
			if err != nil {
				out.Flush()
				return c.failed(err)
			}
			if e.Time.Before(from) || len(about) > 0 && !about[e.Subject] && e.Lost() == 0 {
				continue
			}
			if c.format == "json" {
				err = enc.Encode(e)
			} else {
				err = printEvent(out, &e)
			}
			if err == nil {
				err = out.done()
			}
			if err != nil {
				return err
			}
		}
		return out.Flush()
	}
	return cmd
}

// excerpt is how many lines of the log are printed after a crash.
const excerpt = 3

// printEvent prints an event for people. That a crash is followed by a restart is in its own line.
func printEvent(w io.Writer, e *client.Event) error {
	d := &e.Data
	if e.Type == client.EventRestarting && (d.Code != nil || d.Signal != nil) {
		return nil
	}
	if _, err := fmt.Fprintln(w, eventText(e)); err != nil {
		return err
	}
	for _, line := range d.Log[max(0, len(d.Log)-excerpt):] {
		if _, err := fmt.Fprintf(w, "    | %s\n", printable.Text(line)); err != nil {
			return err
		}
	}
	return nil
}

// eventText is an event as a line for people.
func eventText(e *client.Event) string {
	d := &e.Data
	line := e.Time.Format("2006-01-02T15:04:05.000Z07:00") + " "
	if n := e.Lost(); n > 0 {
		return line + fmt.Sprintf("%d events are missing here", n)
	}
	kind := e.Type[strings.LastIndexByte(e.Type, '.')+1:]
	line += e.Subject + " " + kind
	switch {
	case e.Type == client.EventSignalled && d.Signal != nil:
		line += " with " + *d.Signal
	case d.Signal != nil:
		line += " by " + *d.Signal
	case d.Code != nil:
		line += fmt.Sprintf(" with code %d", *d.Code)
	}
	var more []string
	add := func(format string, a ...any) { more = append(more, fmt.Sprintf(format, a...)) }
	if d.PID != 0 {
		add("pid %d", d.PID)
	}
	if d.Uptime > 0 {
		add("up %s", rough(d.Uptime))
	}
	if e.Type == client.EventExited {
		add("%s", d.Cause)
	}
	if d.OOM {
		add("killed by the OOM killer")
	}
	if d.NextDelay != nil {
		add("restarting in %s, attempt %d", rough(*d.NextDelay), d.Attempt)
	} else if e.Type == client.EventGaveUp {
		add("after %d restarts", d.Attempt)
	}
	if d.Reason != "" {
		add("%s", d.Reason)
	}
	if d.Repeats > 0 {
		add("and %d more failures that are no longer kept", d.Repeats)
	}
	if len(more) > 0 {
		line += " (" + strings.Join(more, ", ") + ")"
	}
	return line
}

// rough makes seconds readable.
func rough(seconds float64) time.Duration {
	return round(time.Duration(seconds * float64(time.Second)))
}
