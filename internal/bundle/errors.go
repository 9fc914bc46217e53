package bundle

import (
	"fmt"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

type (
	// Errors are all problems of the files of a bundle.
	Errors = compose.Errors
	// A Problem is one of them.
	Problem = compose.Problem
)

// An UnknownDaemonError says that a name in the arguments, not in the file, addresses no daemon.
type UnknownDaemonError struct {
	Name    string
	Nearest string // the most similar name, or empty
}

// Unknown returns the error for a name that is none of those that are known.
func Unknown(name string, known []string) *UnknownDaemonError {
	return &UnknownDaemonError{Name: name, Nearest: compose.Nearest(name, known)}
}

// Error suggests the nearest name.
func (e *UnknownDaemonError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("unknown daemon %q", e.Name)
	}
	return fmt.Sprintf("unknown daemon %q; did you mean %q?", e.Name, e.Nearest)
}
