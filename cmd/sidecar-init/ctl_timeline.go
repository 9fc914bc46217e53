package main

import (
	"bufio"
	"cmp"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/timeline"
)

func (p *program) timelineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "timeline [--format text|svg|perfetto] [--since TIME]",
		Short: "Draw the history of the daemons from their events",
		Long: `Draw the history of the daemons from their events, as one bar per daemon. The text format also names the chain of daemons that determined the
duration of the start. SVG is a stand-alone picture; perfetto is Trace Event JSON for ui.perfetto.dev.`,
		Args: cobra.NoArgs,
	}
	c := p.newCaller(cmd)
	cmd.ValidArgsFunction = nil
	format := cmd.Flags().String("format", "text", "text, svg or perfetto")
	since := sinceFlag(cmd, "what has happened")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *format != "text" && *format != "svg" && *format != "perfetto" {
			return usagef("invalid value %q of --format: want text, svg or perfetto", *format)
		}
		from, err := since()
		if err != nil {
			return err
		}
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		daemons, err := to.Daemons(ctx)
		if err != nil {
			return c.failed(err)
		}
		var events []client.Event
		for e, err := range to.Events(ctx, false) {
			if err != nil {
				return c.failed(err)
			}
			events = append(events, e)
		}
		o := timeline.Options{Now: time.Now(), From: from}
		title := ""
		if b, err := to.Bundle(ctx); err == nil { // a supervisor of an older version does not know
			o.Started, title = b.Started, b.Name
			if b.EventsSince != nil {
				o.Since = *b.EventsSince
			}
		}
		t := timeline.New(events, daemons, o)
		out := bufio.NewWriterSize(p.stdout, 64<<10)
		switch *format {
		case "svg":
			err = t.SVG(out, title)
		case "perfetto":
			err = t.Perfetto(out, strings.TrimSpace(title))
		default:
			err = t.Text(out, columns(p.stdout))
		}
		return cmp.Or(err, out.Flush())
	}
	return cmd
}

// columns is how wide a terminal is, or what is no terminal is taken to be.
func columns(f *os.File) int {
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
		return int(size.Col)
	}
	return 100
}
