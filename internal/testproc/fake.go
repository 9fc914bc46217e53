package testproc

import "github.com/bot-bottle/sidecar-init/childtest"

// The fake spawner is that of package childtest, by the names that the tests of this module have for it.
type (
	// A Fake is a childtest.Fake.
	Fake = childtest.Fake
	// A Life is a childtest.Life.
	Life = childtest.Life
	// Reactions are childtest.Reactions.
	Reactions = childtest.Reactions
	// A Reaction is a childtest.Reaction.
	Reaction = childtest.Reaction
	// A Record is a childtest.Record.
	Record = childtest.Record
	// TB is childtest.TB.
	TB = childtest.TB
)

// What a Fake records, and durations of a Life.
const (
	AtOnce    = childtest.AtOnce
	Spawning  = childtest.Spawning
	Spawned   = childtest.Spawned
	Failed    = childtest.Failed
	Ready     = childtest.Ready
	Signalled = childtest.Signalled
	Missed    = childtest.Missed
	Ended     = childtest.Ended
	Emptied   = childtest.Emptied
	Waited    = childtest.Waited
	Released  = childtest.Released
)
