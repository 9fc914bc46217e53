package bundle

import (
	"io/fs"
	"strconv"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// DefaultGrace is the time that a bundle has to stop where nothing else is said.
const DefaultGrace = 8 * time.Second

// Options says what to read. The zero value, with Builtin, is the built-in bundle with an empty environment.
type Options struct {
	// Files are the bundle files, merged in this order. "-" is standard input.
	Files []string
	// Profiles are the active profiles; where it is empty, COMPOSE_PROFILES of Env or .env names them. "*" is all.
	Profiles []string
	// Env is the supervisor's own environment, as KEY=VALUE.
	Env []string
	// Restart is the policy of the daemons whose file gives none.
	Restart child.RestartPolicy
	// Grace, unless 0, is the bundle's grace period, whatever the file says.
	Grace time.Duration
	// ExitCodeFrom, unless empty, names the daemon whose exit code is the bundle's, whatever the file says.
	ExitCodeFrom string
	// Select narrows the bundle to these daemons and what they depend on; empty means all.
	// An unknown name is an *UnknownDaemonError.
	Select []string
	// Subset narrows the bundle to exactly these, if SubsetSet: names separated by commas, spaces around them
	// trimmed; blank means all. Unknown names are returned in Bundle.UnknownSubset.
	Subset    string
	SubsetSet bool
	// Bring are services that are to be there although their profile is not active or their scale is 0, as docker compose up SERVICE
	// brings them in; and with them what they depend on that has a profile of theirs. Select and Subset narrow them as they do others.
	// A name that is none of a service is ignored.
	Bring []string
	// Here: the daemons are to run in this container, so that its PATH says which programs there are.
	Here bool
}

// A Bundle is a resolved plan.
type Bundle struct {
	// Name is the bundle's, as Compose normalises it; empty where nothing gives one.
	Name string
	// Files are the files that were read; nil for the built-in bundle.
	Files []string
	// Inputs are Files, and the other files that the bundle is read from or would be if they were there: .env beside the first,
	// and each env_file whose path has no variable in it.
	Inputs []string
	// Daemons are the selected ones, in file order; of a scaled service NAME-1, NAME-2, …. Jobs are among them.
	Daemons []Daemon
	// Grace is the time from the first shutdown signal to the deadline.
	Grace time.Duration
	// Routes says what a signal to the supervisor does.
	Routes map[syscall.Signal]Route
	// DroppedRoutes are the names in routes that exist in the file but are not selected: when the signal comes, one
	// line says so. A signal can be in Routes too, with its other names.
	DroppedRoutes map[syscall.Signal][]string
	// ExitCodeFrom is the daemon, or the scaled service, whose exit code is the bundle's; empty means the largest.
	ExitCodeFrom string
	// Log is how the log is written.
	Log LogOptions
	// Notify are the sinks of events.
	Notify []Sink
	// AutoReload: the bundle is reloaded when one of its files has changed.
	AutoReload bool
	// Transient says that daemons may be added which no file has; nil means that they may not.
	Transient *Transient
	// Env is the environment of everyone who is no daemon and belongs to none (notifiers): the supervisor's without
	// any private name. See Daemon.HelperEnv for probes and hooks.
	Env []string
	// Private says that Options.Env has a variable that is private to some daemon, selected or not.
	Private bool
	// UnknownSubset are the names in Options.Subset that no daemon has.
	UnknownSubset []string
	// Unselected are the services of the file that give no daemon here: a profile that is not active, scale 0, or
	// not in Select or Subset.
	Unselected []string
	// PassedOver are the keys that mean nothing in one container.
	PassedOver []PassedOver
	// Requirements are what the selected services want of the container, and Notes what is different of it here.
	Requirements []Requirement
	Notes        []Note
	// Hosts are the names that are to mean 127.0.0.1, and HostsAt is FILE:LINE:COL of where that stands; empty where it does not.
	Hosts   []string
	HostsAt string
	// Warnings are about what is allowed and most probably not meant.
	Warnings []Warning
	// Requires is RequiresWarn, RequiresRefuse, or "" where the file says nothing.
	Requires string
	// Walls says around which daemons there is a wall.
	Walls Walls
	// Limits is LimitsRequired, or "" where the file does not want that.
	Limits string

	wallsAt  compose.Pos         // of Walls
	ground   *Ground             // nil where it is not known
	exposed  map[string]bool     // IDs of users who have something private
	here     bool                // Options.Here
	private  []pattern           // of all services, selected or not
	services map[string][]string // every service of the file, with the names of its selected daemons
}

// A Daemon is one process to supervise: the Spec that package child needs, and what others do for it.
type Daemon struct {
	// Spec.Service is the name in the file; Spec.Name is the same, or SERVICE-N where the service is scaled. The
	// environment of its steps is HelperEnv with what the step says on top. A pre_start step that is not per_replica
	// is that of the first replica alone, which the others wait for.
	Spec child.Spec
	// Replica counts from 1; it is 0 where the service is not scaled.
	Replica int

	// HelperEnv is the environment of the daemon's probes and hooks: Program.Env without any private name.
	HelperEnv []string
	// Private are the patterns of private_env; PrivateNames the variables of Program.Env that they match.
	Private      []string
	PrivateNames []string

	// Overflow says what happens while the consumer of the log is slow.
	Overflow Overflow
	// Control says what the daemon's processes may ask at the control socket; "" where the file says nothing, which means
	// DefaultControl.
	Control Control
	// Detached: the daemon's output is not copied to the supervisor's (Compose: attach: false).
	Detached bool

	// Ready is how the daemon tells that it is ready; nil where x-sidecar-init.ready is absent.
	Ready *Ready
	// Health is the healthcheck; nil where there is none, or where it is disabled. It counts as readiness too.
	Health *Healthcheck

	// Ulimits, CapAdd, CapDrop, NoNewPrivileges, OOMScoreAdj, Umask and CPUs are attributes of the process.
	Ulimits         []Ulimit
	CapAdd, CapDrop []string // upper case, without CAP_; "ALL" is all
	NoNewPrivileges bool
	OOMScoreAdj     *int // nil: that of the supervisor
	Umask           *int // the same
	CPUs            []int
	CPUsAt          compose.Problem `json:"-"` // has the place of cpuset

	// Wall: there is to be a wall around the daemon, where the kernel can (Stand); HelperWall: and around its steps and probes.
	// WallsOff: the file wants none.
	Wall, HelperWall, WallsOff bool
	// ReadOnly: the daemon can change files at and below Writable alone. Closed are volumes that are read-only for it.
	ReadOnly         bool
	Writable, Closed []string

	// Limits are those of a control group of its own; LimitsAt is the place of the first, and its message has their keys.
	Limits   cgroup.Limits
	LimitsAt compose.Problem `json:"-"`

	// Update is how the replicas change, where that is not all at once.
	Update *UpdateConfig

	// Transient: it is in no file.
	Transient bool

	// Job, unless nil, says when it runs: it is not a daemon, but a job.
	Job *Job

	// Watch are the paths whose changes mean something to the daemon.
	Watch []Watch

	// Files are the secrets and configs: each must be there before the daemon starts.
	Files []File
	// Labels are for people and for programs that ask.
	Labels map[string]string

	argvPrivate []string // the private variables that are in Program.Argv
	// reads: without a wall it, or a step, could read what is private to others; root: it runs as root, where something is private.
	reads, root bool
}

// Overflow says what happens to a daemon's output while the consumer of the log takes none.
type Overflow string

// The ways to overflow.
const (
	// OverflowBlock lets the daemon wait, as it would on a pipe of its own.
	OverflowBlock Overflow = "block"
	// OverflowDrop discards whole lines, and counts them.
	OverflowDrop Overflow = "drop"
)

// A Route says what a signal to the supervisor does. A name is in one of the lists at most.
type Route struct {
	Forward  []string // they get the signal
	Restart  []string // they are restarted
	Shutdown bool     // the bundle is shut down
	Reload   bool     // the bundle is reloaded
}

// LogOptions are what the file says about the log; the command line goes before it.
type LogOptions struct {
	Format     string // "text", "json", or "" where the file says nothing
	Timestamps bool
	// Hold is how long a line waits for its end before it leaves as a part; 0 is for ever, nil where the file says nothing.
	Hold *time.Duration
	// MaxLine is the length of the longest line that is written in one piece; 0 where the file says nothing.
	MaxLine int
}

// A Sink is where events go: one of the fields is set.
type Sink struct {
	URL  string   // http://, https:// or unix://
	Exec []string // a program that gets each event on its standard input
}

// DefaultReadyTimeout is the Timeout of a Ready that gives none.
const DefaultReadyTimeout = time.Minute

// A Ready says how a daemon tells that it is ready: one of the fields before Timeout is set.
type Ready struct {
	TCP      string   // HOST:PORT accepts a connection; HOST is 127.0.0.1 where the file gives only a port
	HTTP     string   // this URL answers with 2xx or 3xx
	Exec     []string // this program ends with 0
	Log      string   // a line of the output matches this regular expression
	NotifySD bool     // READY=1 comes through NOTIFY_SOCKET
	NotifyFD int      // a newline comes through this descriptor (s6); at least 3

	// Timeout is how long a reload with --rollback waits for it.
	Timeout time.Duration
}

// Kind says by what the daemon tells that it is ready: tcp, http, exec, log, or notify with the descriptor or sd; "" for nil.
func (r *Ready) Kind() string {
	switch {
	case r == nil:
		return ""
	case r.TCP != "":
		return "tcp"
	case r.HTTP != "":
		return "http"
	case len(r.Exec) > 0:
		return "exec"
	case r.Log != "":
		return "log"
	}
	if r.NotifySD {
		return "notify sd"
	}
	return "notify fd:" + strconv.Itoa(r.NotifyFD)
}

// A Healthcheck is Compose's, with its defaults filled in.
type Healthcheck struct {
	// Test is the program with its arguments; for CMD-SHELL it is /bin/sh -c STRING.
	Test []string
	// Interval is the time from the end of a probe to the next; StartInterval the same during StartPeriod.
	Interval, StartInterval time.Duration
	// Timeout ends a probe, which has failed then.
	Timeout time.Duration
	// StartPeriod is the time after the start in which a failure does not count.
	StartPeriod time.Duration
	// Retries is how many failures in a row make the daemon unhealthy.
	Retries int
}

// The defaults of a healthcheck, those of Docker.
const (
	DefaultHealthInterval      = 30 * time.Second
	DefaultHealthTimeout       = 30 * time.Second
	DefaultHealthStartInterval = 5 * time.Second
	DefaultHealthRetries       = 3
)

// A Ulimit is one resource limit; -1 is no limit.
type Ulimit struct {
	Name       string // as in Compose, such as "nofile"
	Resource   int    // the kernel's number, RLIMIT_…
	Soft, Hard int64
}

// A File is a secret or config: Target must have the content of Source, or is made a symbolic link to it. Where there is no
// Source, Content is written to Target.
type File struct {
	Kind   string // "secret" or "config"
	Name   string // as in the file
	Source string // absolute, or empty
	Target string // absolute
	At     string `json:"-"` // FILE:LINE:COL of its definition

	// Variable is the one that Content comes from; empty where it is in the bundle file. Content is nil where that is not set.
	Variable string
	Content  *string `json:"-"`
	// User is that of the daemon, whose file it is then; UID and GID, as numbers, go before it. Mode is that of the file.
	User, UID, GID string
	Mode           fs.FileMode

	// Digest stands for the content, where somebody has looked at it; Load does not.
	Digest string
}

// PassedOver is a key that means nothing in one container.
type PassedOver struct {
	Key  string `json:"key"` // such as "services.web.ports"
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
}

// Specs returns the Spec of each daemon.
func (b *Bundle) Specs() []child.Spec {
	specs := make([]child.Spec, len(b.Daemons))
	for i := range b.Daemons {
		specs[i] = b.Daemons[i].Spec
	}
	return specs
}

// Service returns how many daemons a service has in this bundle, and whether the file has a service of that name.
func (b *Bundle) Service(name string) (daemons int, known bool) {
	names, known := b.services[name]
	return len(names), known
}

// Lookup returns the daemons that name addresses: the one of that name, or all replicas of the service of that name.
// A service that is not selected has none. The error is an *UnknownDaemonError.
func (b *Bundle) Lookup(name string) ([]string, error) {
	for i := range b.Daemons {
		if b.Daemons[i].Spec.Name == name {
			return []string{name}, nil
		}
	}
	if names, ok := b.services[name]; ok {
		return names, nil
	}
	var known []string
	for i := range b.Daemons {
		known = append(known, b.Daemons[i].Spec.Name)
	}
	for service := range b.services {
		known = append(known, service)
	}
	return nil, Unknown(name, known)
}
