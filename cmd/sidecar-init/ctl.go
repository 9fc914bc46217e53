package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/client"
)

// The exit codes of calls to a running supervisor, besides exitUsage, which an unknown daemon is too.
const (
	exitFailed       = 1
	exitNoSupervisor = 69
	exitControl      = 77 // the x-sidecar-init.control of the daemon that asks is none or read; EX_NOPERM
	exitTimeout      = 99
)

// controlCommands are the commands that speak to a running supervisor.
func (p *program) controlCommands() []*cobra.Command {
	return []*cobra.Command{
		p.statusCommand(), p.reloadCommand(),
		p.actionCommand("start", "Start daemons and wait until they run; services of the file that are not selected can be started too", started, (*client.Client).Start),
		p.actionCommand("stop", "Stop daemons and wait until they have exited; they stay stopped until started by hand", "stopped", (*client.Client).Stop),
		p.actionCommand("restart", "Restart daemons and wait until they run", "restarted", (*client.Client).Restart),
		p.actionCommand("pause", "Freeze daemons that have their own control group, until they are unpaused", "paused", (*client.Client).Pause),
		p.actionCommand("unpause", "Resume daemons that were paused", "unpaused", (*client.Client).Unpause),
		p.addCommand(), p.removeCommand(), p.jobCommand(), p.signalCommand(), p.logsCommand(), p.eventsCommand(), p.timelineCommand(), p.topCommand(), p.dashboardCommand(), p.waitCommand(), p.healthyCommand(), p.completionCommand(),
	}
}

// A caller is what these commands have in common.
type caller struct {
	*program
	control string
	timeout time.Duration
	format  string
}

// newCaller gives a command the flags that it needs, and completion of daemons' names.
func (p *program) newCaller(cmd *cobra.Command) *caller {
	c := &caller{program: p, format: "text"}
	cmd.Flags().StringVar(&c.control, "control", "", "`PATH` of the control socket (default /run/sidecar-init.sock, else in /dev/shm)")
	cmd.ValidArgsFunction = c.complete
	return c
}

func (c *caller) withTimeout(cmd *cobra.Command) *caller {
	cmd.Flags().DurationVar(&c.timeout, "timeout", 0, "exit with 99 if the condition is not met within `TIME`, such as 10s (default: wait forever)")
	return c
}

func (c *caller) withFormat(cmd *cobra.Command) *caller {
	cmd.Flags().StringVar(&c.format, "format", "text", "text or json")
	return c
}

// connect checks the flags and returns the client, and a context that ends with the timeout.
func (c *caller) connect() (*client.Client, context.Context, context.CancelFunc, error) {
	stdlog.SetOutput(io.Discard) // net/http writes to it about servers that break the protocol, which is an error too
	path := c.control
	if path == "" {
		path, _ = c.getenv(envPrefix + "CONTROL")
	}
	switch {
	case c.format != "text" && c.format != "json":
		return nil, nil, nil, usagef("invalid value %q of --format: want text or json", c.format)
	case c.timeout < 0:
		return nil, nil, nil, usagef("a timeout cannot be negative")
	case path == "off":
		return nil, nil, nil, c.failed(fmt.Errorf("%w: control is off", client.ErrNoSupervisor))
	}
	ctx, cancel := context.WithCancel(context.Background())
	if c.timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), c.timeout)
	}
	return client.New(path), ctx, cancel, nil
}

// failed says what went wrong, and returns the error with the exit code for it.
func (c *caller) failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		c.complain("no answer within %s", c.timeout)
	} else {
		way := ""
		if env, _ := c.getenv(envPrefix + "CONTROL"); errors.Is(err, client.ErrNoSupervisor) && c.control == "" && env == "" {
			way = " (--control PATH, or $SIDECAR_INIT_CONTROL, names another socket)"
		}
		c.complain("%s%s", strings.ReplaceAll(err.Error(), "\n", "; "), way)
	}
	return exitError(codeOf(err))
}

// codeOf is the exit code of a call that failed.
func codeOf(err error) int {
	var e *client.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case !errors.As(err, &e): // nobody answers, or the supervisor has ended in the middle
		return exitNoSupervisor
	case e.Status == 400 || e.Status == 404:
		return exitUsage
	case e.Control != "":
		return exitControl
	case e.Status == 403 || e.Status == 503: // one who may not be spoken to is none
		return exitNoSupervisor
	case e.Status == 504:
		return exitTimeout
	}
	return exitFailed
}

// known returns the daemons, or the error for those that the bundle does not have.
func (c *caller) known(ctx context.Context, to *client.Client, names []string) ([]client.Daemon, error) {
	all, err := to.Daemons(ctx, names...)
	return all, c.failed(err)
}

// startable is known for start, which can bring in what the bundle's file has and the bundle does not.
func (c *caller) startable(ctx context.Context, to *client.Client, names []string) error {
	b, _ := to.Bundle(ctx) // a supervisor of the first version has no such call, and brings in nothing
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(b.Absent, name) })
	if len(names) == 0 {
		return nil
	}
	_, err := c.known(ctx, to, names)
	return err
}

// complete suggests the names of daemons to the shell: for remove those that were added, for start also what it can bring in.
func (c *caller) complete(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c.timeout = time.Second
	to, ctx, cancel, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer cancel()
	all, err := to.Daemons(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, d := range all {
		if d.Transient || cmd.Name() != "remove" {
			names = append(names, d.Name+"\t"+string(d.State))
		}
	}
	if cmd.Name() == "start" {
		b, _ := to.Bundle(ctx) // without it there are fewer suggestions
		for _, name := range b.Absent {
			names = append(names, name+"\tdoes not run")
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// printJSON prints v for people and programs alike.
func (c *caller) printJSON(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// The colours, and how to end them.
const (
	green    = "\x1b[32m"
	yellow   = "\x1b[33m"
	red      = "\x1b[31m"
	faint    = "\x1b[2m"
	uncolour = "\x1b[0m"
)

// colours reports whether what goes to stdout may have colours; see no-color.org.
func (p *program) colours() bool {
	no, _ := p.getenv("NO_COLOR")
	term, _ := p.getenv("TERM")
	return no == "" && term != "dumb" && isTerminal(p.stdout)
}

// A cell is a piece of a table.
type cell struct{ text, colour string }

// printTable prints rows whose columns are aligned: the last ones, from right on, to the right.
func printTable(w io.Writer, rows [][]cell, right int, colours bool) error {
	var width []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text))
			text := c.text
			if colours && c.colour != "" {
				text = c.colour + text + uncolour
			}
			switch {
			case i >= right:
				text = pad + text
			case i < len(row)-1:
				text += pad
			}
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(text)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
