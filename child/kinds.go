package child

// A Command is a [Msg] by which a user wants something of one daemon: Start, [Terminate], [Restart], [Signal], [Pause] or [Unpause]. Package
// root takes these by name.
type Command interface {
	Msg
	command()
}

// A Fact is a [Msg] that says what was found out about a process: Ready, [Unhealthy], [Stopping], [Extend] or [Note].
type Fact interface {
	Msg
	fact()
}

func (Start) command()     {}
func (Terminate) command() {}
func (Restart) command()   {}
func (Signal) command()    {}
func (Pause) command()     {}
func (Unpause) command()   {}

func (Ready) fact()     {}
func (Unhealthy) fact() {}
func (Stopping) fact()  {}
func (Extend) fact()    {}
func (Note) fact()      {}
