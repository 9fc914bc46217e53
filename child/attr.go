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
	// Wall, unless nil, is put around the process.
	Wall *Wall
	// Cgroup, unless nil, is the control group that the process is moved into.
	Cgroup *Cgroup
}

// A Cgroup is a control group (version 2) of a daemon. The [Spawner] makes it; [Exec] only moves the process into it.
type Cgroup struct {
	Dir   string            // absolute
	Files map[string]string // what is to be in its files, such as memory.max
}

// A Wall is a Landlock domain (landlock(7)) around a process and all that it starts. From inside nobody can trace a process
// outside, nor read its environment, memory, maps, descriptors, root and working directory in /proc. A wall sets NoNewPrivileges.
type Wall struct {
	// ABI is the version of Landlock that is used, at least 2 (Linux 5.19), and at most the kernel's.
	ABI int
	// Signals: nobody outside can be signalled either, from ABI 6 (Linux 6.12) on.
	Signals bool
	// ReadOnly: content and names of files can be changed at and below Writable alone. (Owner, mode, times and extended attributes
	// are no matter of Landlock; truncate(2), and O_TRUNC without opening for writing, are from ABI 3, Linux 6.2, on. Open descriptors stay what they are.)
	ReadOnly bool
	// Closed are paths at and below which nothing can be changed, unless one of Writable is further down. Where there are any, the
	// directories above them are closed themselves, and so is what others make in these later.
	Closed []string
	// Writable are absolute paths. Those that are not there do not count.
	Writable []string
}

// An Rlimit is one resource limit.
type Rlimit struct {
	Name     string // for errors
	Resource int    // RLIMIT_…
	// Soft and Hard are the limits; -1 is none.
	Soft, Hard int64
}
