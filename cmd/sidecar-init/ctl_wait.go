package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
)

func (p *program) waitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait [--for ready|exited] [--timeout TIME] [DAEMON...]",
		Short: "Wait until daemons are ready or have exited",
		Long: `Wait until all daemons, or the given ones, are ready, or with --for exited until they have exited and will not be
restarted. A daemon that exited with 0 does not keep the others from being ready.`,
	}
	c := p.newCaller(cmd).withTimeout(cmd)
	until := cmd.Flags().String("for", "ready", "ready or exited")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		condition := client.Condition(*until)
		if condition != client.Ready && condition != client.Exited {
			return usagef("invalid value %q of --for: want ready or exited", *until)
		}
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		_, err = to.Wait(ctx, condition, args...)
		if err == nil || codeOf(err) != exitTimeout {
			return c.failed(err)
		}
		late := ""
		if all, err := to.Daemons(context.Background(), args...); err == nil {
			for _, d := range all {
				done := d.State == client.StateExited && d.LastExit.String() == "0"
				if condition == client.Ready && !d.Ready && !done || condition == client.Exited && d.PID != 0 {
					late += "; " + d.Name + " " + d.State.Phrase()
				}
			}
		}
		c.complain("timeout (%s)%s", c.timeout, late)
		return exitError(exitTimeout)
	}
	return cmd
}

func (p *program) healthyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthy",
		Short: "Exit with 0 if all daemons are healthy, else with 1 and the names of those that are not",
		Long: `Exit with 0 if no daemon is waiting, starting, unhealthy, in backoff, given up, ended with a failure, stopping
without having been asked to, paused, or restarted by its policy after a failure less than 10 s ago (reset_after, if that is shorter);
else with 1, and print which are. Daemons that exited with 0 and those stopped by hand do not count. It is meant for
HEALTHCHECK and for Kubernetes probes.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("healthy takes no arguments")
			}
			return nil
		},
	}
	c := p.newCaller(cmd).withTimeout(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		health, err := to.Healthy(ctx)
		if err != nil {
			return c.failed(err)
		}
		if health.Healthy {
			return nil
		}
		for _, problem := range health.Problems {
			line := problem.Name + " " + problem.State.Phrase()
			if problem.Reason != "" {
				line += ": " + problem.Reason
			}
			fmt.Fprintln(p.stdout, line)
		}
		return exitError(exitFailed)
	}
	return cmd
}

// bashAlone follows what cobra generates, which needs the package bash-completion: an image with a bash rarely has that.
const bashAlone = `
if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    __sidecar-init_init_completion()
    {
        COMPREPLY=()
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    }
fi
`

func (p *program) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a shell completion script for commands, flags and daemon names",
		Long: `Print a shell completion script for commands, flags and daemon names. For bash:

	source <(sidecar-init completion bash)`,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("completion needs one of bash, zsh and fish")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				if err := root.GenBashCompletionV2(p.stdout, true); err != nil {
					return err
				}
				_, err := io.WriteString(p.stdout, bashAlone)
				return err
			case "zsh":
				return root.GenZshCompletion(p.stdout)
			case "fish":
				return root.GenFishCompletion(p.stdout, true)
			}
			return usagef("there is no completion for %q: want bash, zsh or fish", args[0])
		},
	}
}
