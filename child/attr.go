package child

// An Attr has attributes of a process that package os/exec cannot set. [Exec] needs [Exec.Shim] for it.
type Attr struct {
	// Rlimits lists resource limits (setrlimit(2)). Limits that are not listed are inherited from the supervisor.
	Rlimits []Rlimit
	// CapAdd and CapDrop name capabilities in capitals, without CAP_; ALL stands for all of them. They are applied to the
	// supervisor's own capabilities.
	CapAdd, CapDrop []string
	// NoNewPrivileges: the process cannot gain privileges by executing a program, such as one that is set-user-ID
	// (PR_SET_NO_NEW_PRIVS of prctl(2)).
	NoNewPrivileges bool
	// OOMScoreAdj adjusts how early the OOM killer selects the process (proc_pid_oom_score_adj(5)); nil means as for the supervisor.
	OOMScoreAdj *int
	// Umask is the file mode creation mask (umask(2)); nil means the supervisor's.
	Umask *int
	// CPUs lists the processors on which it may run (sched_setaffinity(2)); an empty list means those of the supervisor.
	CPUs []int
	// PIDVariable, if not empty, names an environment variable of the program that is set to its process ID.
	PIDVariable string
	// Wall, if not nil, confines the process.
	Wall *Wall
	// Cgroup, if not nil, is the control group into which the process is moved.
	Cgroup *Cgroup
}

// A Cgroup is a control group (version 2) of a daemon. The user of the package creates it; [Exec] only moves the process into it.
type Cgroup struct {
	Dir   string            // absolute
	Files map[string]string // the wanted content of its files, such as memory.max
}

// A Wall is a Landlock domain (landlock(7)) around a process and everything that it starts. A process inside cannot trace a process
// outside, nor read its environment, memory, maps, descriptors, root and working directory in /proc. A wall sets NoNewPrivileges.
type Wall struct {
	// ABI is the version of Landlock to use: at least 2 (Linux 5.19), at most the kernel's.
	ABI int
	// Signals: a process inside cannot signal processes outside either. It takes ABI 6 (Linux 6.12).
	Signals bool
	// ReadOnly: content and names of files can be changed only at and below Writable. (Landlock does not cover owner, mode, times and
	// extended attributes. It covers truncate(2), and O_TRUNC without opening for writing, from ABI 3, Linux 6.2, on. Descriptors that are
	// already open are not affected.)
	ReadOnly bool
	// Closed lists paths at and below which nothing can be changed, except below a path of Writable that is further down. The
	// directories above a closed path are closed themselves (not what is in them), as is everything that is created in them later.
	Closed []string
	// Writable lists absolute paths. Those that do not exist are ignored.
	Writable []string
}

// An Rlimit is one resource limit.
type Rlimit struct {
	Name     string // for errors
	Resource int    // RLIMIT_…
	// Soft and Hard are the limits; -1 means no limit.
	Soft, Hard int64
}
