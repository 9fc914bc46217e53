package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/client"
)

// jobCommand is what an operator does with jobs.
func (p *program) jobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "job COMMAND",
		Short: "List, run, cancel and pause the jobs of the bundle",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q of job: want ls, run, runs, cancel, pause or resume", args[0])
			}
			return usagef("job needs a command: ls, run, runs, cancel, pause or resume")
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(
		p.jobLsCommand(), p.jobRunCommand(), p.jobRunsCommand(),
		p.toJobCommand("cancel", "End the run in progress, and those that wait for their turn", "cancelled", (*client.Client).CancelJob),
		p.toJobCommand("pause", "Let the schedule of jobs rest; what is due meanwhile is not made up for", "paused", (*client.Client).PauseJob),
		p.toJobCommand("resume", "Let the schedule of jobs go on", "resumed", (*client.Client).ResumeJob),
	)
	return cmd
}

// completeJobs suggests the names of jobs to the shell.
func (c *caller) completeJobs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c.timeout = time.Second
	to, ctx, cancel, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer cancel()
	all, _ := to.Jobs(ctx) // without an answer there are no suggestions
	var names []string
	for _, j := range all {
		names = append(names, j.Name+"\t"+j.State)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (p *program) jobLsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls [--format text|json]",
		Short: "List the jobs, with their triggers, last runs and next runs",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("job ls takes no arguments")
			}
			return nil
		},
	}
	c := p.newCaller(cmd).withFormat(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(*cobra.Command, []string) error {
		return list(c, (*client.Client).Jobs, jobTable)
	}
	return cmd
}

// list asks for a list, and prints it as JSON or as a table.
func list[T any](c *caller, ask func(*client.Client, context.Context) ([]T, error), table func([]T) [][]cell) error {
	to, ctx, cancel, err := c.connect()
	if err != nil {
		return err
	}
	defer cancel()
	all, err := ask(to, ctx)
	if err != nil {
		return c.failed(err)
	}
	if c.format == "json" {
		return c.printJSON(all)
	}
	rows := table(all)
	return printTable(c.stdout, rows, len(rows[0]), c.colours())
}

// jobTable is the table that job ls prints.
func jobTable(all []client.Job) [][]cell {
	rows := [][]cell{titles("NAME", "TRIGGER", "STATE", "LAST-RUN", "EXIT", "NEXT")}
	for i := range all {
		j := &all[i]
		trigger := "manual"
		if len(j.Schedule) > 0 {
			trigger = j.Schedule[0].Cron
			if zone := j.Schedule[0].Timezone; zone != "UTC" {
				trigger += " " + zone
			}
			if n := len(j.Schedule) - 1; n > 0 {
				trigger += fmt.Sprintf(" (and %d more)", n)
			}
		}
		last, exit, next, colour := "-", "-", "-", ""
		if j.Last != nil {
			exit, colour = strconv.Itoa(j.Last.Code), green
			if j.Last.Result != client.RunSucceeded {
				colour = red
			}
			if j.Last.Started != nil {
				last = moment(*j.Last.Started)
			}
		}
		if j.Next != nil {
			next = moment(*j.Next)
		}
		rows = append(rows, []cell{{j.Name, ""}, {trigger, ""}, {j.State, ""}, {last, ""}, {exit, colour}, {next, ""}})
	}
	return rows
}

func titles(names ...string) (row []cell) {
	for _, name := range names {
		row = append(row, cell{text: name})
	}
	return row
}

// moment is a time for people, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func (p *program) jobRunsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs [--format text|json] NAME",
		Short: "List the last 10 runs of a job, the latest first",
		Args:  one("the NAME of a job"),
	}
	c := p.newCaller(cmd).withFormat(cmd)
	cmd.ValidArgsFunction = c.completeJobs
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		runs := func(to *client.Client, ctx context.Context) ([]client.Run, error) { return to.Runs(ctx, args[0]) }
		return list(c, runs, runTable)
	}
	return cmd
}

// runTable is the table that job runs prints.
func runTable(all []client.Run) [][]cell {
	rows := [][]cell{titles("RUN", "TRIGGER", "RESULT", "STARTED", "DURATION", "EXIT", "REASON")}
	for i := range all {
		r := &all[i]
		started, took, exit := "-", "-", "-"
		if r.Started != nil {
			started = moment(*r.Started)
			if r.Ended != nil {
				took = round(r.Ended.Sub(*r.Started)).String()
			}
		}
		if r.Over() {
			exit = strconv.Itoa(r.Code)
		}
		rows = append(rows, []cell{{strconv.Itoa(r.ID), ""}, {r.Trigger, ""}, {r.Result, ""}, {started, ""}, {took, ""}, {exit, ""}, {r.Reason, ""}})
	}
	return rows
}

// one wants exactly one argument.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s needs %s, and nothing else", cmd.CommandPath()[len("sidecar-init "):], what)
		}
		return nil
	}
}

func (p *program) jobRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [-d] NAME [-- ARGS...]",
		Short: "Run a job by hand, show its output, and exit with its exit code",
		Long: `Run a job by hand, after the jobs and services that it depends on, show its output, and exit with its exit code. ARGS replace
its command, behind its entrypoint. Leaving before the end (Ctrl-C) cancels the run.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) == 0 || dash != 1 && (dash >= 0 || len(args) > 1) {
				return usagef("job run needs the NAME of a job, and ARGS only after --")
			}
			return nil
		},
	}
	c := p.newCaller(cmd)
	detach := cmd.Flags().BoolP("detach", "d", false, "do not wait for the run")
	cmd.ValidArgsFunction = c.completeJobs
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		if *detach {
			r, err := to.StartJob(ctx, args[0], args[1:]...)
			if err != nil {
				return c.failed(err)
			}
			_, err = fmt.Fprintf(c.stdout, "%s: run %d\n", r.Job, r.ID)
			return err
		}
		return c.runJob(ctx, to, args[0], args[1:])
	}
	return cmd
}

// runJob runs a job, and ends with its exit code.
func (c *caller) runJob(ctx context.Context, to *client.Client, name string, args []string) error {
	out := newLineWriter(c.program, true)
	var last client.Run
	for o, err := range to.RunJob(ctx, name, args...) {
		switch {
		case err != nil:
			out.Flush()
			return c.failed(err)
		case o.Run != nil:
			last = *o.Run
			continue
		case o.Lost > 0:
			fmt.Fprintf(out, "%d lines are missing here\n", o.Lost)
		default:
			line := o.Raw()
			if !o.Partial {
				line = append(line, '\n')
			}
			if o.Stream == "stderr" {
				_, err = c.stderr.Write(line)
			} else {
				_, err = out.Write(line)
			}
			if err != nil {
				return err
			}
		}
		if err := out.done(); err != nil {
			return err
		}
	}
	if last.Result == client.RunFailed && last.Exit == nil || last.Reason != "" {
		c.complain("%s: %s", name, last.Reason)
	}
	if last.Code != 0 {
		return exitError(last.Code)
	}
	return nil
}

// toJobCommand is a command that does something to jobs.
func (p *program) toJobCommand(verb, short, done string, do func(*client.Client, context.Context, string) error) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " NAME...", Short: short, Args: atLeast(1, "the NAME of a job")}
	c := p.newCaller(cmd)
	cmd.ValidArgsFunction = c.completeJobs
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		for _, name := range args {
			if err := do(to, ctx, name); err != nil {
				return c.failed(err)
			}
			if _, err := fmt.Fprintf(c.stdout, "%s %s\n", name, done); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}
