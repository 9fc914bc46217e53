package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/plan"
)

func (p *program) reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload [--dry-run] [--rollback] [--timeout TIME] [--format text|json]",
		Short: "Read the bundle file again and apply the changes",
		Long: `Read the files of the bundle again, compare their meaning with what runs, and apply the difference: all or nothing
before the first process is touched, and with as few restarts as possible. Exit code 78 means that the files are invalid; nothing
was changed then.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("reload takes no arguments")
			}
			return nil
		},
	}
	c := p.newCaller(cmd).withTimeout(cmd).withFormat(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	var o client.ReloadOptions
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "print what would happen, and change nothing")
	cmd.Flags().BoolVar(&o.Rollback, "rollback", false, "roll back if a daemon that was started does not become ready in time")
	cmd.RunE = func(*cobra.Command, []string) error {
		if o.Rollback { // the supervisor counts: when the time is over it goes back, and says who was late
			o.Timeout, c.timeout = c.timeout, 0
		}
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		answer, err := to.Reload(ctx, o)
		if err == nil || len(answer.Steps) > 0 {
			if printErr := c.printReload(&answer); printErr != nil {
				return printErr
			}
		}
		var e *client.Error
		if errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity {
			for _, line := range answer.Problems {
				fmt.Fprintln(p.stderr, line)
			}
			return exitError(exitConfig)
		}
		return c.failed(err)
	}
	return cmd
}

// printReload prints what a reload does, or would do.
func (c *caller) printReload(answer *client.Reload) error {
	if c.format == "json" {
		return c.printJSON(answer)
	}
	text := plan.Plan{Unchanged: answer.Unchanged, Notes: answer.Notes}
	for _, s := range answer.Steps {
		text.Steps = append(text.Steps, plan.Step{Name: s.Name, Action: plan.Action(s.Action), Causes: s.Causes})
	}
	_, err := fmt.Fprint(c.stdout, text.Text())
	return err
}
