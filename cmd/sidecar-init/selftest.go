package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/internal/selftest"
)

// selftestTime bounds the selftest.
const selftestTime = 10 * time.Second

func (p *program) selftestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "selftest [--format text|json]",
		Short: "Check which of the guarantees hold here",
		Long: `Check which of the guarantees hold here, in this container, by running a bundle of this program itself for a moment. For each it says whether
it holds, holds in another way, cannot hold here, with the reason and the way out, or fails. The exit code is 1 if one fails that should hold.`,
		Args: cobra.NoArgs,
	}
	format := cmd.Flags().String("format", "text", "text or json")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *format != "text" && *format != "json" {
			return usagef("invalid value %q of --format: want text or json", *format)
		}
		ctx, cancel := context.WithTimeout(context.Background(), selftestTime)
		defer cancel()
		results, err := selftest.Run(ctx)
		if err != nil {
			p.complain("%v", err)
			return exitError(exitFailed)
		}
		if *format == "json" {
			enc := json.NewEncoder(p.stdout)
			enc.SetEscapeHTML(false)
			err = enc.Encode(results)
		} else {
			err = p.printResults(results)
		}
		if err == nil && slices.ContainsFunc(results, func(r selftest.Result) bool { return r.Status == selftest.Fails }) {
			return exitError(exitFailed)
		}
		return err
	}
	return cmd
}

func (p *program) printResults(results []selftest.Result) error {
	counts := map[selftest.Status]int{}
	for _, r := range results {
		counts[r.Status]++
		if _, err := fmt.Fprintf(p.stdout, "%-4s %s: %s\n", r.ID, r.Status, r.Promise); err != nil {
			return err
		}
		if r.Reason != "" {
			fmt.Fprintf(p.stdout, "       %s\n", r.Reason)
		}
		if r.Way != "" {
			fmt.Fprintf(p.stdout, "       the way out: %s\n", r.Way)
		}
	}
	_, err := fmt.Fprintf(p.stdout, "%d hold, %d cannot be had here, %d fail\n", counts[selftest.Holds]+counts[selftest.OtherWay], counts[selftest.Cannot], counts[selftest.Fails])
	return err
}
