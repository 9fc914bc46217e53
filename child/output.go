package child

import (
	"os"
	"sync"
)

// A Stream is where all lives of one daemon write: a [log.Stream], for example. Open makes the files for one life; exited is to
// be called when the main process has ended.
type Stream interface {
	// Open makes the files for one life, given to that user where uid or gid is not -1. stdout and stderr may be the same.
	Open(uid, gid int) (stdout, stderr *os.File, exited func(), err error)
}

// OutputTo is an [Exec.Output] by which each daemon writes to a [Stream] of its own, which stream makes at its first life:
//
//	child.Exec{Output: child.OutputTo(func(name string) child.Stream { return logger.Stream(name, log.StreamOptions{}) })}
func OutputTo(stream func(name string) Stream) func(*Spec) (Output, error) {
	var mu sync.Mutex
	streams := map[string]Stream{}
	return func(spec *Spec) (Output, error) {
		mu.Lock()
		s := streams[spec.Name]
		if s == nil {
			s = stream(spec.Name)
			streams[spec.Name] = s
		}
		mu.Unlock()
		stdout, stderr, exited, err := s.Open(-1, -1)
		if err != nil {
			return Output{}, err
		}
		return Output{Stdout: stdout, Stderr: stderr, Exited: exited, Started: func() {
			stdout.Close()
			if stderr != stdout {
				stderr.Close()
			}
		}}, nil
	}
}
