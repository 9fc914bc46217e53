package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
)

func (p *program) addCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME [--ttl TIME] [--workdir DIR] [--env NAME=VALUE]... [--restart POLICY] -- COMMAND...",
		Short: "Start a daemon that is not in the bundle file, and wait until it runs",
		Long: `Start a daemon that is not in the bundle file, if the file allows it by x-sidecar-init: { transient: { ... } }. It is
supervised, logged and listed like the others, until it is removed or its time to live is over; a reload does not touch it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usagef("add needs a NAME, and a COMMAND after --")
			}
			return nil
		},
	}
	c := p.newCaller(cmd).withTimeout(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	var o client.Transient
	var ttl time.Duration
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "remove it after this `TIME`")
	cmd.Flags().StringVar(&o.WorkingDir, "workdir", "", "working directory of its program")
	cmd.Flags().StringArrayVar(&o.Env, "env", nil, "an environment variable, as NAME=VALUE; can be repeated")
	cmd.Flags().StringVar(&o.Restart, "restart", "", "no, on-failure[:N], always")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if cmd.Flags().Changed("ttl") {
			o.TTL = ttl.String()
		}
		o.Command = args[1:]
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		d, err := to.Add(ctx, args[0], o)
		if err != nil {
			return c.failed(err)
		}
		_, err = fmt.Fprintf(c.stdout, "%s started (pid %d)\n", d.Name, d.PID)
		return err
	}
	return cmd
}

func (p *program) removeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove [--timeout TIME] NAME...",
		Short: "Stop and remove daemons that were added",
		Args:  atLeast(1, "a NAME"),
	}
	c := p.newCaller(cmd).withTimeout(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return c.each(args, "removed", func(to *client.Client, ctx context.Context, name string) ([]client.Daemon, error) {
			d, err := to.Remove(ctx, name)
			d.PID = 0
			return []client.Daemon{d}, err
		})
	}
	return cmd
}
