package selftest

// A Status is what was found out of a guarantee.
type Status string

// The statuses.
const (
	Holds    Status = "holds"
	OtherWay Status = "holds by another way" // than where the kernel allows everything
	Cannot   Status = "cannot be had here"
	Fails    Status = "FAILS"
)

// A Guarantee is a promise of sidecar-init.
type Guarantee struct {
	ID      string `json:"id"`
	Promise string `json:"promise"`
}

// A Result is what was found out of one.
type Result struct {
	Guarantee
	Status Status `json:"status"`
	// Reason says why it is not simply held, and Way what would change that; empty where there is nothing to say.
	Reason string `json:"reason,omitempty"`
	Way    string `json:"way,omitempty"`
}

// Guarantees are all of them, in the order of docs/guarantees.md.
func Guarantees() []Guarantee {
	return []Guarantee{
		{"G1", "The exit code of the bundle is the worst of its daemons."},
		{"G2", "An orphan is adopted and reaped: no zombie stays."},
		{"G3", "Each line of a daemon comes into the log whole, with the daemon's name, also the last one without an end."},
		{"G4", "A daemon that crashes is restarted by its policy."},
		{"G5", "A routed signal reaches the daemon that it is for."},
		{"G6", "A routed signal restarts a daemon in place, and touches no other."},
		{"G7", "A shutdown ends within its grace, whatever the daemons do."},
		{"G8", "A stop ends the whole process group of a daemon."},
		{"G9", "A private variable is in the environment of its daemon alone."},
		{"G10", "A daemon behind a wall cannot read another one's environment in /proc."},
		{"G11", "A daemon gets its own user."},
		{"G12", "A daemon gets its resource limits, before it runs."},
		{"G13", "A daemon has no descriptor but its own standard files."},
		{"G14", "The control socket answers its user."},
		{"G15", "A signal reaches its process, and never another one that has got its number."},
		{"G16", "A kill by the kernel's OOM killer is told from others."},
		{"G17", "A daemon's limits of memory, processors and processes hold."},
		{"G18", "A change of a watched file is noticed at once."},
		{"G19", "Nothing of a bundle is left when it has ended."},
	}
}
