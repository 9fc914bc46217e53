package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// watchTime is the time between two looks of status --watch.
const watchTime = time.Second

func (p *program) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [--all] [--watch] [--wide] [--format text|json] [DAEMON...]",
		Short: "Show the status of the daemons",
		Long: `Show the status of the daemons. CPU is the processor time of a daemon and everything it has started, RSS their resident
memory. With --watch the table is updated every second; as JSON each update is one line. --wide adds: since when the state holds,
when and why the daemon last ended, its next start, the age of its last line and lines per second, whether it is behind a
wall, what it may ask the supervisor, its memory limit, and how private variables are kept from other daemons.`,
	}
	c := p.newCaller(cmd).withFormat(cmd)
	jobs := cmd.Flags().BoolP("all", "a", false, "include the jobs")
	watch := cmd.Flags().BoolP("watch", "w", false, "print it again every second")
	wide := cmd.Flags().Bool("wide", false, "more columns")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		ask := to.Daemons
		if *jobs {
			ask = to.DaemonsAndJobs
		}
		if *watch {
			return c.watch(ctx, ask, args, *wide)
		}
		all, err := ask(ctx, args...)
		if err != nil {
			return c.failed(err)
		}
		if c.format == "json" {
			return c.printJSON(all)
		}
		if err := printTable(p.stdout, statusTable(all, *wide), 2, p.colours()); err != nil {
			return err
		}
		for i := range all {
			if e := all[i].LastExit; *wide && e != nil && e.Reason != "" {
				fmt.Fprintf(p.stdout, "%s was stopped: %s\n", printable.Text(all[i].Name), printable.Text(e.Reason))
			}
			if *wide && all[i].Private != "" {
				fmt.Fprintf(p.stdout, "private variables of %s: %s\n", printable.Text(all[i].Name), printable.Text(all[i].Private))
			}
		}
		b, _ := to.Bundle(ctx) // a supervisor of an older version does not know
		if b.Changed {
			fmt.Fprintln(p.stdout, "the bundle file has changed since; see 'sidecar-init reload --dry-run'")
		}
		if ns := client.PIDNamespace(); b.PIDNamespace != 0 && ns != 0 && b.PIDNamespace != ns {
			fmt.Fprintln(p.stderr, "sidecar-init: the PIDs are those of the supervisor's pid namespace, not of this one: use 'sidecar-init signal', not kill")
		}
		return nil
	}
	return cmd
}

// watch prints the table again and again, on a terminal in its place.
func (c *caller) watch(ctx context.Context, ask func(context.Context, ...string) ([]client.Daemon, error), names []string, wide bool) error {
	terminal := isTerminal(c.stdout)
	for lines := 0; ; {
		all, err := ask(ctx, names...)
		if err != nil {
			return c.failed(err)
		}
		var out bytes.Buffer
		switch {
		case c.format == "json":
			b, err := json.Marshal(all)
			if err != nil {
				return err
			}
			out.Write(append(b, '\n'))
		case terminal:
			if lines > 0 {
				fmt.Fprintf(&out, "\x1b[%dA", lines) // up to where it began
			}
			// Without the wrapping of long lines, so that a line is a line; what was below is erased.
			out.WriteString("\x1b[?7l\x1b[J")
			_ = printTable(&out, statusTable(all, wide), 2, c.colours())
			out.WriteString("\x1b[?7h")
			lines = len(all) + 1
		default:
			if lines > 0 {
				out.WriteByte('\n')
			}
			_ = printTable(&out, statusTable(all, wide), 2, false)
			lines = 1
		}
		if _, err := c.stdout.Write(out.Bytes()); err != nil {
			return err
		}
		<-time.After(watchTime)
	}
}

// statusTable is the table that status prints.
func statusTable(all []client.Daemon, wide bool) [][]cell {
	rows := [][]cell{{}}
	for _, title := range []string{"NAME", "STATE", "PID", "UPTIME", "RESTARTS", "LAST-EXIT", "CPU", "RSS"} {
		rows[0] = append(rows[0], cell{text: title})
	}
	if wide {
		for _, title := range []string{"SINCE", "LAST-END", "NEXT-START", "LAST-LINE", "LINES/S", "WALL", "CONTROL", "MEM-LIMIT"} {
			rows[0] = append(rows[0], cell{text: title})
		}
	}
	for i := range all {
		d := &all[i]
		pid, uptime, cpu, rss := "-", "-", "-", "-"
		if d.PID != 0 {
			pid, uptime, cpu, rss = strconv.Itoa(d.PID), span(d.Uptime), processor(d.CPU), size(d.RSS)
		}
		rows = append(rows, []cell{
			{d.Name, ""},
			{string(d.State), stateColour(d)},
			{pid, ""},
			{uptime, ""},
			{strconv.Itoa(d.Restarts), ""},
			{d.LastExit.String(), ""},
			{cpu, ""},
			{rss, ""},
		})
		if wide {
			wall := "-"
			if d.Wall {
				wall = "yes"
			}
			limit := "-"
			if d.Cgroup != nil && d.Cgroup.MemoryLimit != 0 {
				limit = size(d.Cgroup.MemoryLimit)
			}
			end := "-"
			if e := d.LastExit; e != nil && e.Time != nil {
				end = ago(e.Time) + " " + e.Cause
			}
			for _, text := range []string{
				ago(&d.Since), end, ahead(d.NextStart), ago(d.LastLine), strconv.FormatFloat(d.LineRate, 'f', 1, 64),
				wall, cmp.Or(d.Control, "-"), limit,
			} {
				rows[i+1] = append(rows[i+1], cell{text, ""})
			}
		}
	}
	return rows
}

func stateColour(d *client.Daemon) string {
	switch d.State {
	case client.StateRunning, client.StateReady:
		return green
	case client.StateUnhealthy, client.StateGaveUp, client.StateBackoff:
		return red
	case client.StateExited:
		if d.LastExit != nil && d.LastExit.String() != "0" {
			return red
		}
		return faint
	case client.StateStopped:
		return faint
	}
	return yellow
}

// ago is how long ago a time was, and ahead how long it takes until then.
func ago(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return span(max(time.Since(*t), 0).Seconds())
}

func ahead(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return span(max(time.Until(*t), 0).Seconds())
}

// span is a time in its two largest units.
func span(seconds float64) string {
	s := int(seconds)
	m, h, d := s/60, s/3600, s/86400
	switch {
	case d > 0:
		return fmt.Sprintf("%dd%dh", d, h%24)
	case h > 0:
		return fmt.Sprintf("%dh%dm", h, m%60)
	case m > 0:
		return fmt.Sprintf("%dm%ds", m, s%60)
	}
	return fmt.Sprintf("%ds", s)
}

// processor is a processor time.
func processor(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.2fs", seconds)
	}
	return span(seconds)
}

// size is a number of bytes.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1fG", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1fM", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%dK", n>>10)
}
