package bundle

// Control says what the processes of a service may ask at the control socket.
type Control string

// The values of control, from the least to the most.
const (
	ControlNone Control = "none" // whether all is well, and how they are themselves
	ControlRead Control = "read" // all that there is to see, but what a service writes that has private_env
	ControlFull Control = "full" // everything
)

// DefaultControl is the Control of a service whose file says nothing: everything, but nothing behind a wall, which the socket
// would be a door in.
func DefaultControl(walled bool) Control {
	if walled {
		return ControlNone
	}
	return ControlFull
}

// Less reports whether c allows less than d does.
func (c Control) Less(d Control) bool { return c.rank() < d.rank() }

func (c Control) rank() int {
	switch c {
	case ControlFull:
		return 2
	case ControlRead:
		return 1
	}
	return 0
}
