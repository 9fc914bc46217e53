package bundle

// The types of this file say what x-sidecar-init may hold. docs/sidecar-init.schema.json is generated from them
// (schema_test.go), for editors; a test holds them, the schema and the reader (xkeys.go) together. Tags: json is the key,
// doc its meaning, enum and pattern what a string may be, required the keys that must be there.

type (
	durationSchema string // such as 1m30s
	holdSchema     string // a duration, or the number 0
	sizeSchema     string // such as 64kb; here between 1kb and 1mb
	signalSchema   string
	nameSchema     []string // one name, or a list
	commandSchema  []string // a list, or a string that is split into words
	codesSchema    []int    // exit codes
	endingsSchema  []any    // exit codes, and names of signals
)

type topSchema struct {
	GracePeriod  durationSchema               `json:"grace_period" doc:"Time from the first shutdown signal to SIGKILL. Every daemon has its stop signal by half of it. Default: 8s."`
	Signals      map[signalSchema]routeSchema `json:"signals" doc:"What a signal to the supervisor does. SIGTERM, SIGINT and SIGQUIT stop the bundle and cannot be routed."`
	Notify       []sinkSchema                 `json:"notify" doc:"Where events go, as CloudEvents."`
	Log          logSchema                    `json:"log" doc:"How the log is written. The command line goes before it."`
	ExitCodeFrom string                       `json:"exit_code_from" doc:"The daemon whose exit code is the bundle's. Default: the largest of all."`
	Reload       string                       `json:"reload" enum:"auto,manual" doc:"auto: reload the bundle when one of its files has changed. Default: manual."`
	Requires     string                       `json:"requires" enum:"refuse,warn" doc:"What happens where the container lacks what the file says of it: nothing is started (default), or a line says so."`
	Walls        string                       `json:"walls" enum:"auto,on,off,required" doc:"Around which daemons there is a wall, behind which no process outside can be read or signalled. auto: around those who could read what is private to another one (default); on: around all; required: as auto, and nothing is started where a private variable is not enforced by the kernel."`
	Limits       string                       `json:"limits" enum:"auto,required" doc:"required: nothing is started where the limits of a daemon do not hold, since control groups (v2) are not writable. Default: auto, a line says so."`
	Hosts        bool                         `json:"hosts" doc:"The name of each service means 127.0.0.1, by a block in /etc/hosts."`
	Transient    transientSchema              `json:"transient" doc:"Daemons that are in no file may be added to the running bundle. Default: they may not."`
}

type transientSchema struct {
	Max  int            `json:"max" doc:"How many there may be at a time. Default: 16."`
	TTL  durationSchema `json:"ttl" doc:"The longest time that one may be there. Default: no limit."`
	User string         `json:"user" doc:"As whom they run. Default: the supervisor's own user."`
}

type routeSchema struct {
	Forward nameSchema `json:"forward" doc:"The daemons that get the signal."`
	Restart nameSchema `json:"restart" doc:"The daemons that are restarted."`
	// A schema cannot say that it is not beside restart.
	Reload   bool `json:"reload" doc:"The bundle file is read again, and what has changed is applied."`
	Shutdown bool `json:"shutdown" doc:"The bundle is shut down, as by SIGTERM; for a STOPSIGNAL that a base image has left."`
}

type sinkSchema struct {
	URL  string        `json:"url" pattern:"^(https?://|unix:///|exec:/)." doc:"http://, https:// or unix:///, which get a POST; exec:/path, which gets the event on its standard input."`
	Exec commandSchema `json:"exec" doc:"A program with its arguments that gets each event on its standard input."`
	_    struct{}      `oneOf:"url,exec"`
}

type logSchema struct {
	Format     string     `json:"format" enum:"text,json" doc:"text: [NAME] LINE; json: one object a line."`
	Timestamps bool       `json:"timestamps" doc:"Begin each line with the time, RFC 3339 in UTC."`
	Hold       holdSchema `json:"hold" doc:"How long a line waits for its end before what there is of it is written, as a part. 0: for ever. Default: 2s."`
	MaxLine    sizeSchema `json:"max_line" doc:"The longest line that is written in one piece, from 1kb to 1mb; a longer one is split. Default: 16kb, which is what Docker and containerd take as one."`
}

type serviceSchema struct {
	PrivateEnv []string      `json:"private_env" doc:"Names of variables, or patterns such as TOKEN_*, that no other daemon, probe, hook or notifier sees."`
	Ready      readySchema   `json:"ready" doc:"How the daemon tells that it is ready; exactly one way. A healthcheck counts as readiness too."`
	KillMode   string        `json:"kill_mode" enum:"group,process" doc:"Who is stopped: the whole process group (default), or the main process alone."`
	Critical   bool          `json:"critical" doc:"The end of this daemon ends the bundle, with its exit code."`
	Backoff    backoffSchema `json:"backoff" doc:"The time between an end and the restart: initial, doubled up to max, with a jitter of 10 %."`
	Limit      limitSchema   `json:"limit" doc:"Give up on a daemon that needs more than restarts restarts within window."`
	Watch      []watchSchema `json:"watch" doc:"What happens when the content of files or directories has changed."`

	SuccessExitCodes   endingsSchema `json:"success_exit_codes" doc:"What counts as success beside exit code 0: exit codes, and signals that ended the process."`
	NoRestartExitCodes codesSchema   `json:"no_restart_exit_codes" doc:"Exit codes after which no policy restarts the daemon."`

	Walls    string   `json:"walls" enum:"off" doc:"off: no wall around this daemon, which can then read what others of its user have, and signal them."`
	Writable []string `json:"writable" doc:"With read_only: directories, or files, that the daemon may change all the same; absolute paths."`

	PreStart string `json:"pre_start" enum:"once,each" doc:"When steps of pre_start run: once for their definition, as in Compose (default), or before each start."`

	Overflow string `json:"overflow" enum:"block,drop" doc:"What happens while the consumer of the log is slow: the daemon waits (default), or whole lines are discarded and counted."`

	Control string `json:"control" enum:"none,read,full" doc:"What its processes may ask at the control socket: none: whether all is well, and how they are themselves; read: all that there is to see, but the log of services with private_env; full: everything. Default: none behind a wall, else full."`
}

type jobSchema struct {
	PrivateEnv []string `json:"private_env" doc:"Names of variables, or patterns such as TOKEN_*, that no other daemon, probe, hook or notifier sees."`
	KillMode   string   `json:"kill_mode" enum:"group,process" doc:"Who is stopped: the whole process group (default), or the main process alone."`
	Critical   bool     `json:"critical" doc:"The bundle is not healthy while the last run of this job has failed."`
	Overflow   string   `json:"overflow" enum:"block,drop" doc:"What happens while the consumer of the log is slow: the job waits (default), or whole lines are discarded and counted."`
	Control    string   `json:"control" enum:"none,read,full" doc:"What its processes may ask at the control socket: none: whether all is well, and how they are themselves; read: all that there is to see, but the log of services with private_env; full: everything. Default: none behind a wall, else full."`

	Walls    string   `json:"walls" enum:"off" doc:"off: no wall around this job, which can then read what others of its user have, and signal them."`
	Writable []string `json:"writable" doc:"With read_only: directories, or files, that the job may change all the same; absolute paths."`

	SuccessExitCodes endingsSchema  `json:"success_exit_codes" doc:"What counts as success beside exit code 0: exit codes, and signals that ended the process."`
	Timeout          durationSchema `json:"timeout" doc:"How long a run may take; then it is stopped, and has failed. Default: no limit."`
}

type watchSchema struct {
	Path     string         `json:"path" doc:"A file or a directory."`
	Action   string         `json:"action" enum:"restart,signal,exec,reload" doc:"What happens: restart the daemon (default), send it a signal, execute a program, or reload the bundle."`
	Signal   signalSchema   `json:"signal" doc:"With action signal: which one."`
	Exec     commandSchema  `json:"exec" doc:"With action exec: the program with its arguments."`
	Debounce durationSchema `json:"debounce" doc:"How long the content must have been at rest. Default: 300ms."`
	Poll     durationSchema `json:"poll" doc:"Look so often, instead of being told by the kernel."`
	Include  nameSchema     `json:"include" doc:"Patterns such as *.conf: of a directory only what matches one counts."`
	Ignore   nameSchema     `json:"ignore" doc:"Patterns of what does not count."`
	_        struct{}       `required:"path"`
}

type readySchema struct {
	TCP    any           `json:"tcp" doc:"PORT or HOST:PORT accepts a connection."`
	HTTP   string        `json:"http" pattern:"^https?://." doc:"This URL answers with a status from 200 to 399."`
	Exec   commandSchema `json:"exec" doc:"This program ends with 0."`
	Log    string        `json:"log" doc:"A line of the output matches this regular expression."`
	Notify string        `json:"notify" pattern:"^(sd|fd:([3-9]|[1-9][0-9]+))$" doc:"sd: READY=1 comes through NOTIFY_SOCKET; fd:N: a newline comes through descriptor N, as with s6."`
	_      struct{}      `oneOf:"tcp,http,exec,log,notify"`

	Timeout durationSchema `json:"timeout" doc:"How long reload --rollback waits for it. Default: 1m."`
}

type backoffSchema struct {
	Initial    durationSchema `json:"initial" doc:"Before the first restart. Default: 500ms."`
	Max        durationSchema `json:"max" doc:"At most. Default: 30s."`
	ResetAfter durationSchema `json:"reset_after" doc:"After so long alive, back to initial. Default: 1m."`
}

type limitSchema struct {
	Restarts int            `json:"restarts" doc:"At least 1."`
	Window   durationSchema `json:"window" doc:"More than 0."`
	_        struct{}       `required:"restarts,window"`
}
