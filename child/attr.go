package child

// An Attr has attributes of a process that package os/exec cannot set. Exec needs a Shim for it.
type Attr struct {
	// Rlimits are resource limits; those that are not named are the supervisor's.
	Rlimits []Rlimit
	// CapAdd and CapDrop are names of capabilities in capitals, without CAP_; ALL is all of them. What they say is said
	// of what the supervisor has.
	CapAdd, CapDrop []string
	// NoNewPrivileges: no program that the process executes gives it more privileges (set-user-ID, for example).
	NoNewPrivileges bool
	// OOMScoreAdj says how soon the process is killed for want of memory; nil means like the supervisor.
	OOMScoreAdj *int
	// Umask is the mask of file modes (umask(2)); nil means the supervisor's.
	Umask *int
	// CPUs are the processors that it may run on (sched_setaffinity(2)); none means the supervisor's.
	CPUs []int
	// PIDVariable, unless empty, is set to the process ID in the environment of the program.
	PIDVariable string
}

// An Rlimit is one resource limit.
type Rlimit struct {
	Name     string // for errors
	Resource int    // RLIMIT_…
	// Soft and Hard are the limits; -1 is none.
	Soft, Hard int64
}
