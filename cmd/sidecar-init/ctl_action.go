package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
)

// started is what start has done, which alone is for daemons that the bundle does not have yet.
const started = "started"

// actionCommand is start, stop or restart; do is the call that it makes, done what it has done then.
func (p *program) actionCommand(name, short, done string, do func(*client.Client, context.Context, string) ([]client.Daemon, error)) *cobra.Command {
	cmd := &cobra.Command{Use: name + " [--timeout TIME] DAEMON...", Short: short, Args: atLeast(1, "a DAEMON")}
	c := p.newCaller(cmd).withTimeout(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return c.each(args, done, func(to *client.Client, ctx context.Context, name string) ([]client.Daemon, error) {
			return do(to, ctx, name)
		})
	}
	return cmd
}

func (p *program) signalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signal SIGNAL DAEMON...",
		Short: "Send a signal, such as HUP, SIGHUP or 1, to daemons",
		Args:  atLeast(2, "a SIGNAL and a DAEMON"),
	}
	c := p.newCaller(cmd).withTimeout(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return c.each(args[1:], "", func(to *client.Client, ctx context.Context, name string) ([]client.Daemon, error) {
			return to.Signal(ctx, name, args[0])
		})
	}
	return cmd
}

// atLeast is a cobra.PositionalArgs whose error is a usageError.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s needs %s", cmd.Name(), what)
		}
		return nil
	}
}

// each does something to daemons, to all at the same time, after it has made sure that there are such daemons.
func (c *caller) each(names []string, done string, do func(*client.Client, context.Context, string) ([]client.Daemon, error)) error {
	to, ctx, cancel, err := c.connect()
	if err != nil {
		return err
	}
	defer cancel()
	if done == started {
		err = c.startable(ctx, to, names)
	} else {
		_, err = c.known(ctx, to, names)
	}
	if err != nil {
		return err
	}
	type result struct {
		daemons []client.Daemon
		err     error
	}
	results := make([]result, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { results[i].daemons, results[i].err = do(to, ctx, name) })
	}
	group.Wait()
	var failed error
	for i, r := range results {
		if r.err != nil {
			if codeOf(r.err) == exitTimeout {
				c.complain("%s: timeout (%s)", names[i], c.timeout)
				failed = exitError(exitTimeout)
			} else {
				failed = c.failed(r.err)
			}
			continue
		}
		for _, d := range r.daemons {
			switch {
			case done == "":
			case d.PID != 0:
				fmt.Fprintf(c.stdout, "%s %s (pid %d)\n", d.Name, done, d.PID)
			default:
				fmt.Fprintf(c.stdout, "%s %s\n", d.Name, done)
			}
		}
	}
	return failed
}
