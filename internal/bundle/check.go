package bundle

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/bot-bottle/sidecar-init/internal/compose"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// Check prints the resolved plan, as text or as JSON.
func (b *Bundle) Check(w io.Writer, format string) error {
	plan := b.Plan()
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(plan)
	}
	_, err := io.WriteString(w, plan.text(b))
	return err
}

// text is the plan for people.
func (p *Plan) text(b *Bundle) string {
	var out strings.Builder
	line := func(format string, args ...any) {
		for i, arg := range args {
			if s, ok := arg.(string); ok {
				args[i] = printable.Line(s)
			}
		}
		fmt.Fprintf(&out, format+"\n", args...)
	}
	from := "the built-in bundle"
	if len(p.Files) > 0 {
		from = strings.Join(p.Files, ", ")
	}
	what := count(len(p.Daemons), "daemon")
	if len(p.Jobs) > 0 {
		what += ", " + count(len(p.Jobs), "job")
	}
	line("%s: %s", from, what)
	if p.Name != "" {
		line("name: %s", p.Name)
	}
	if len(p.Unselected) > 0 {
		line("not selected: %s", strings.Join(p.Unselected, ", "))
	}

	line("\nstart")
	for i, wave := range p.StartWaves {
		line("  %d. %s", i+1, strings.Join(wave, ", "))
	}
	line("\ndaemons")
	for _, d := range p.Daemons {
		line("  %s: %s", d.Name, commandText(d.Command, d.hidden))
		details := []string{"restart " + d.Restart}
		for _, s := range [][2]string{{"user ", d.User}, {"in ", d.Dir}, {"ready by ", d.Ready}} {
			if s[1] != "" {
				details = append(details, s[0]+s[1])
			}
		}
		if d.Critical {
			details = append(details, "critical")
		}
		if d.Wall {
			details = append(details, "behind a wall")
		}
		if len(d.Limits) > 0 {
			details = append(details, "limited by "+strings.Join(d.Limits, ", "))
		}
		for _, on := range d.DependsOn {
			details = append(details, "after "+on)
		}
		line("    %s", strings.Join(details, "; "))
	}
	if len(p.Jobs) > 0 {
		line("\njobs")
		for _, j := range p.Jobs {
			line("  %s: %s", j.Name, commandText(j.Command, j.hidden))
			var details []string
			for _, t := range j.Schedule {
				details = append(details, fmt.Sprintf("at %q in %s (concurrency %s, missed_fires %s)", t.Cron, t.Timezone, t.Concurrency, t.MissedFires))
			}
			if j.Manual {
				details = append(details, "by hand")
			}
			for _, s := range [][2]string{{"for ", j.Timeout}, {"user ", j.User}, {"in ", j.Dir}} {
				if s[1] != "" {
					details = append(details, s[0]+s[1])
				}
			}
			if j.Critical {
				details = append(details, "critical")
			}
			for _, on := range j.DependsOn {
				details = append(details, "after "+on)
			}
			line("    %s", strings.Join(details, "; "))
		}
	}
	line("\nstop (grace period %s; every daemon has its stop signal by half of it)", p.Grace)
	for _, s := range p.Stop {
		when := "at once"
		if len(s.After) > 0 {
			when = fmt.Sprintf("after %s, %s at the latest", strings.Join(s.After, ", "), s.SignalBy)
		}
		line("  %d. %s: %s %s; SIGKILL after %s at the latest", s.Wave, s.Name, s.Signal, when, s.KillBy)
	}
	line("\nsignals")
	for _, s := range p.Signals {
		var does []string
		if len(s.Forward) > 0 {
			does = append(does, "forwarded to "+strings.Join(s.Forward, ", "))
		}
		if len(s.Restart) > 0 {
			does = append(does, "restarts "+strings.Join(s.Restart, ", "))
		}
		if s.Reload {
			does = append(does, "reload")
		}
		if s.Shutdown {
			does = append(does, "shutdown")
		}
		if len(s.NotSelected) > 0 {
			does = append(does, "dropped for "+strings.Join(s.NotSelected, ", ")+", which is not selected")
		}
		line("  %s: %s", s.Signal, strings.Join(does, "; "))
	}
	line("  SIGTERM, SIGINT, SIGQUIT: shutdown")
	if len(p.Private) > 0 {
		line("\nprivate variables")
		for _, v := range p.Private {
			set := "none is set"
			if len(v.Names) > 0 {
				set = strings.Join(v.Names, ", ")
			}
			line("  %s alone sees %s: %s (%s)", v.Daemon, strings.Join(v.Patterns, ", "), set, v.Enforced)
		}
	}
	if len(p.Secrets) > 0 {
		line("\nsecrets (files: the walls and variables of a daemon do not cover them)")
		for _, s := range p.Secrets {
			line("  %s", s.line())
		}
	}
	if p.ExitCodeFrom != "" {
		line("\nexit code: that of %s", p.ExitCodeFrom)
	} else {
		line("\nexit code: the largest of all")
	}
	if slices.ContainsFunc(p.Requirements, func(q Requirement) bool { return len(q.Flag) > 0 }) {
		line("\nthe container")
		var flags []string
		for i := range p.Requirements {
			q := &p.Requirements[i]
			if len(q.Flag) == 0 {
				continue
			}
			line("  requires: %s (services.%s.%s, %s)", q.FlagText(), q.Service, q.Key, q.String())
			if !slices.Contains(flags, q.FlagText()) {
				flags = append(flags, q.FlagText())
			}
		}
		line("  docker run %s IMAGE", compose.Phrase(strings.Join(flags, " ")))
		for _, in := range []struct {
			where string
			lines []string
		}{{"in its service of a Compose file", composeLines(p.Requirements)}, {"in the spec of a Pod", podLines(p.Requirements)}} {
			line("  %s:", in.where)
			for _, l := range in.lines {
				line("    %s", compose.Phrase(l))
			}
		}
	}
	if len(p.Notes) > 0 {
		line("\nnotes")
		for _, n := range p.Notes {
			line("  %s:%d:%d: %s", n.File, n.Line, n.Col, n.Text)
		}
	}
	if len(p.PassedOver) > 0 {
		line("\npassed over")
		for _, k := range p.PassedOver {
			line("  %s:%d:%d: %s means nothing inside one container", k.File, k.Line, k.Col, k.Key)
		}
	}
	if len(p.Warnings) > 0 {
		line("\nwarnings")
		for _, w := range p.Warnings {
			line("  warning: %s", w)
		}
	}
	return out.String()
}

// commandText is a command for people, unless there is something private in it.
func commandText(command, hidden []string) string {
	if len(hidden) > 0 {
		return "(not shown: " + strings.Join(hidden, ", ") + " is in it)"
	}
	return strings.Join(quoteWords(command), " ")
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// quoteWords quotes what a shell would take apart, and what is not printable as bash and the next POSIX do: $'\n'.
func quoteWords(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsPrint(r) }) {
			quoted := strconv.Quote(w)
			out[i] = "$'" + strings.NewReplacer(`\\`, `\\`, `\"`, `"`, `'`, `\'`).Replace(quoted[1:len(quoted)-1]) + "'"
		} else if w == "" || strings.ContainsAny(w, " \t\n\"'\\$`;&|<>()*?[]#~{}") {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return out
}
