package child

// A goal is what is wanted of a daemon. It is kept apart from the actual state, so that what is asked for while the
// process is being started or stopped is neither forgotten nor done twice (s6 has the same idea in its wantup flag).
type goal string

const (
	goalUp      goal = "up"
	goalRestart goal = "restart" // down, then up again at once
	goalDown    goal = "down"
	goalLast    goal = "last" // up, and with the end of this life the actor ends
	goalGone    goal = "gone" // down, and the actor ends
)

// up reports whether a process that lives is to go on.
func (g goal) up() bool { return g == goalUp || g == goalLast }

// final reports whether there is no other life after this one.
func (g goal) final() bool { return g == goalLast || g == goalGone }

// down is the goal of one that is to stop, which cannot undo that it was to be the last life.
func (g goal) down() goal {
	if g.final() {
		return goalGone
	}
	return goalDown
}

// A phase is how much of a process there is.
type phase string

const (
	phaseNone     phase = ""
	phaseSpawning phase = "spawning" // the spawn is under way: no process yet that a signal could be sent to
	phaseProcess  phase = "process"
	phaseLeft     phase = "left" // the main process has ended, and others of its group may live
)
