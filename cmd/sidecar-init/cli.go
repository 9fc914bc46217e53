package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/reap"
	"github.com/bot-bottle/sidecar-init/internal/setup"
)

// The exit codes of the command line, besides those of daemons; the names are those of sysexits.h.
const (
	exitUsage    = 64
	exitSoftware = 70
	exitConfig   = 78
)

// A usageError is a call that makes no sense: one line, the usage, and exit code 64.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// An exitError ends the program with a code; what is to be said about it was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// envPrefix begins the environment variable of each flag of run.
const envPrefix = "SIDECAR_INIT_"

// runFlags are the flags of run, as given by the command line or the environment.
type runFlags struct {
	files         []string
	profiles      []string
	grace         time.Duration
	restartGrace  time.Duration
	restart       restartFlag
	notify        []string
	logFormat     string
	timestamps    bool
	metricsListen string
	exitCodeFrom  string
	control       string
	group         bool
	stopSignal    signalFlag
	requires      string
	here          bool // check looks at this container

	given map[string]bool // flags that the command line or the environment has set
}

// restartFlag is a pflag.Value for --restart.
type restartFlag struct{ child.RestartPolicy }

func (f *restartFlag) String() string {
	if f.Max > 0 {
		return fmt.Sprintf("%s:%d", f.Policy, f.Max)
	}
	return string(f.Policy)
}
func (f *restartFlag) Type() string { return "policy" }
func (f *restartFlag) Set(s string) (err error) {
	f.RestartPolicy, err = bundle.ParseRestart(s)
	return err
}

// signalFlag is a pflag.Value for --stop-signal.
type signalFlag struct{ sig syscall.Signal }

func (f *signalFlag) String() string {
	if f.sig == 0 {
		return ""
	}
	return child.SignalName(f.sig)
}
func (f *signalFlag) Type() string { return "signal" }
func (f *signalFlag) Set(s string) (err error) {
	f.sig, err = bundle.ParseSignal(s)
	return err
}

func (f *runFlags) register(flags *pflag.FlagSet) {
	f.restart.Policy = child.RestartNo
	flags.StringArrayVarP(&f.files, "file", "f", nil, "bundle `FILE`, a Compose file; several are merged (- is standard input)")
	flags.StringArrayVar(&f.profiles, "profile", nil, "activate a `PROFILE` of the bundle file; * is all")
	flags.DurationVar(&f.grace, "grace-period", bundle.DefaultGrace, "time from the first shutdown signal to SIGKILL")
	flags.DurationVar(&f.restartGrace, "restart-grace", child.DefaultRestartGrace, "time from stop signal to SIGKILL when a daemon is stopped or restarted")
	flags.Var(&f.restart, "restart", "restart policy of daemons for which the file has none: no, on-failure[:N], always")
	flags.StringArrayVar(&f.notify, "notify", nil, "send events to `URL`: http://, https://, unix:/// or exec:/")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	flags.BoolVar(&f.timestamps, "timestamps", false, "prefix each line of the log with the time")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "serve Prometheus metrics on TCP `ADDR`")
	flags.StringVar(&f.exitCodeFrom, "exit-code-from", "", "exit with the code of `DAEMON` instead of the largest of all")
	flags.StringVar(&f.requires, "requires", "", "if the container does not meet the requirements of the file: refuse to start, or warn (default: what the file says, else refuse)")
	flags.StringVar(&f.control, "control", "", "`PATH` of the control socket, or off (default /run/sidecar-init.sock, else in /dev/shm)")
}

// registerCommand registers what is for run -- CMD only.
func (f *runFlags) registerCommand(flags *pflag.FlagSet) {
	flags.BoolVar(&f.group, "group", false, "with -- CMD: send signals to the process group of CMD")
	flags.Var(&f.stopSignal, "stop-signal", "with -- CMD: forward SIGTERM as `SIGNAL`")
}

// separators of the flags that can be given several times, in their environment variables.
var separators = map[string]string{"file": ":", "profile": ",", "notify": ","}

// fromEnvironment sets the flags that the command line has not, and checks all.
func (f *runFlags) fromEnvironment(flags *pflag.FlagSet, getenv func(string) (string, bool)) error {
	f.given = map[string]bool{}
	var err error
	flags.VisitAll(func(flag *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, set := getenv(name)
		switch {
		case flag.Changed:
			f.given[flag.Name] = true
		case !set || value == "" || flag.Name == "help" || err != nil:
		default:
			values := []string{value}
			if sep := separators[flag.Name]; sep != "" {
				values = strings.Split(value, sep)
			}
			for _, v := range values {
				if setErr := flag.Value.Set(v); setErr != nil {
					err = usagef("invalid value %q of %s: %v", v, name, setErr)
				}
			}
			f.given[flag.Name] = true
		}
	})
	switch {
	case err != nil:
		return err
	case f.grace < 0 || f.restartGrace < 0:
		return usagef("a grace period cannot be negative")
	case f.logFormat != "text" && f.logFormat != "json":
		return usagef("invalid value %q of --log-format: want text or json", f.logFormat)
	case f.metricsListen != "" && !isAddress(f.metricsListen):
		return usagef("invalid value %q of --metrics-listen: want HOST:PORT or :PORT", f.metricsListen)
	}
	// The zero of package root and child means their default; nobody can tell a nanosecond from no time.
	f.grace, f.restartGrace = max(f.grace, 1), max(f.restartGrace, 1)
	return nil
}

// isAddress reports whether s is an address to listen at, whoever has it.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil || port == "" {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}

// A program is one call of the command.
type program struct {
	environ        []string
	stdin          *os.File
	stdout, stderr *os.File
	warnings       []string // of the start of the process, for the log
	exposed        string   // one more, where something is private; or ""
	orphans        reap.Reaper
}

func (p *program) getenv(name string) (value string, set bool) {
	for _, kv := range p.environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value, set = v, true
		}
	}
	return value, set
}

// run executes the command line and returns the exit code.
func (p *program) run(args []string) int {
	root := p.command()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteC()
	var exit exitError
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command"):
		fmt.Fprintf(p.stderr, "sidecar-init: %s\nusage: %s\nMore by: %s --help\n",
			printable.Line(strings.SplitN(err.Error(), "\n", 2)[0]), cmd.UseLine(), cmd.CommandPath())
		return exitUsage
	}
	p.complain("%v", err)
	return exitSoftware
}

func (p *program) command() *cobra.Command {
	var flags runFlags
	runE := func(cmd *cobra.Command, args []string) error {
		if err := flags.fromEnvironment(cmd.Flags(), p.getenv); err != nil {
			return err
		}
		if dash := cmd.ArgsLenAtDash(); dash >= 0 {
			switch {
			case dash > 0:
				return usagef("either daemons or -- CMD, not both")
			case len(args) == 0:
				return usagef("there is no command after --")
			case cmd.Flags().Changed("file"):
				return usagef("either --file or -- CMD, not both")
			}
			return p.exit(p.runCommand(&flags, args))
		}
		for _, name := range []string{"group", "stop-signal"} {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is for -- CMD", name)
			}
		}
		return p.exit(p.runBundle(&flags, args))
	}

	root := &cobra.Command{
		Use:   "sidecar-init [flags] | sidecar-init COMMAND",
		Short: "Run several daemons in one container",
		Long: `sidecar-init is PID 1 for a container that runs several daemons: it starts them, prefixes their output with their names,
restarts what crashes, forwards signals, and stops everything within one deadline. Without a command it does what run does.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("unknown command %q%s", args[0], suggestion(cmd, args[0]))
			}
			return nil
		},
		RunE: runE,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			if cmd.HasParent() && cmd.Name() != "run" { // as in sidecar-init --control PATH status --watch
				setup.GiveBack()
			}
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err.Error()} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2 // what cobra takes for 0 itself, but not in SuggestionsFor
	flags.register(root.Flags())
	flags.registerCommand(root.Flags())

	run := &cobra.Command{
		Use:   "run [flags] [DAEMON...] | run [flags] -- CMD [ARG...]",
		Short: "Run a bundle of daemons, or one command in place of tini",
		Long: `Run the bundle of --file, else of $SIDECAR_INIT_FILE, else the built-in one. DAEMON... selects these daemons and what
they depend on. With -- it runs one command, to which every signal is forwarded.
Each flag has an environment variable: --grace-period is $SIDECAR_INIT_GRACE_PERIOD.`,
		RunE: runE,
	}
	flags.register(run.Flags())
	flags.registerCommand(run.Flags())

	root.AddCommand(run, p.checkCommand(), p.selftestCommand(), p.versionCommand())
	root.AddCommand(p.controlCommands()...)
	return root
}

// suggestion is what cobra would suggest for an unknown command.
func suggestion(cmd *cobra.Command, arg string) string {
	if names := cmd.SuggestionsFor(arg); len(names) > 0 {
		return fmt.Sprintf("; did you mean %q?", names[0])
	}
	return ""
}

func (p *program) exit(code int, err error) error {
	if err == nil && code != 0 {
		return exitError(code)
	}
	return err
}

func (p *program) checkCommand() *cobra.Command {
	var flags runFlags
	var format string
	var here, strict bool
	cmd := &cobra.Command{
		Use:   "check [-f FILE]... [--here] [--strict] [flags] [DAEMON...]",
		Short: "Check a bundle file and print what run would do",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.fromEnvironment(cmd.Flags(), p.getenv); err != nil {
				return err
			}
			if format != "text" && format != "json" {
				return usagef("invalid value %q of --format: want text or json", format)
			}
			flags.here = here
			b, err := p.load(&flags, args)
			if err != nil {
				return err
			}
			if _, err := (&limits{}).confine(b, true); err != nil && here {
				fmt.Fprintln(p.stderr, err)
				return exitError(exitConfig)
			}
			if warnings := b.Plan().Warnings; strict && len(warnings) > 0 {
				for _, w := range warnings {
					fmt.Fprintln(p.stderr, printable.Line(w))
				}
				return exitError(exitConfig)
			}
			if here {
				if err := b.Stand(ground()); err != nil {
					fmt.Fprintln(p.stderr, err)
					return exitError(exitConfig)
				}
				warnings, err := p.demand(b, &flags)
				if _, e := hostsOf(b, false); e != nil {
					fmt.Fprintln(p.stderr, e)
					err = cmp.Or(err, error(exitError(exitConfig)))
				}
				if err != nil {
					return err
				}
				for _, w := range warnings {
					b.Warnings = append(b.Warnings, bundle.Warning{Text: strings.TrimPrefix(w, "warning: ")})
				}
			}
			return b.Check(p.stdout, format)
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as errors")
	cmd.Flags().BoolVar(&here, "here", false, "check whether this container meets the requirements of the file, as run does")
	for _, name := range []string{"notify", "log-format", "timestamps", "metrics-listen", "control"} {
		_ = cmd.Flags().MarkHidden(name) // they change nothing here, and are in scripts' environment all the same
	}
	return cmd
}

// load reads the bundle. Problems of its files are printed, and the exit code is 78.
func (p *program) load(flags *runFlags, daemons []string) (*bundle.Bundle, error) {
	b, err := p.read(flags, daemons, nil)
	var problems *bundle.Errors
	var unknown *bundle.UnknownDaemonError
	switch {
	case errors.As(err, &problems):
		fmt.Fprintln(p.stderr, problems.Error())
		return nil, exitError(exitConfig)
	case errors.As(err, &unknown):
		return nil, &usageError{unknown.Error()}
	}
	return b, err
}

// read reads the bundle, with the services that were brought in. The error is that of bundle.Load.
func (p *program) read(flags *runFlags, daemons, brought []string) (*bundle.Bundle, error) {
	o := bundle.Options{
		Files: flags.files, Profiles: flags.profiles, Env: p.environ, Restart: flags.restart.RestartPolicy,
		ExitCodeFrom: flags.exitCodeFrom, Select: daemons, Bring: brought, Here: flags.here,
	}
	if flags.given["grace-period"] {
		o.Grace = flags.grace
	}
	for _, name := range []string{"BOT_BOTTLE_SIDECAR_DAEMONS", envPrefix + "DAEMONS"} { // the old name, and what wins
		if v, ok := p.getenv(name); ok {
			o.Subset, o.SubsetSet = v, true
		}
	}
	load := bundle.Load
	if len(o.Files) == 0 {
		load = bundle.Builtin
	}
	return load(o)
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(p.stdout, versionLine())
			return err
		},
	}
}
