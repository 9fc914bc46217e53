package childtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/log"
)

// Lines keeps the lines that daemons write. Create one with [NewLines]. Its methods may be called from any goroutine.
type Lines struct {
	spawner child.Exec

	mu    sync.Mutex
	all   []string
	fresh chan struct{} // closed and replaced when a line is added
}

// NewLines returns [Lines] for a test; t is a *testing.T. If the test fails, the lines are logged at its end.
func NewLines(t interface {
	TB
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatal(args ...any)
},
) *Lines {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l := &Lines{fresh: make(chan struct{})}
	logger := log.New(w, log.Options{MaxLine: maxLine})
	l.spawner = child.Exec{
		Output:      child.OutputTo(func(name string) child.Stream { return logger.Stream(name, log.StreamOptions{}) }),
		ParentDeath: syscall.SIGKILL,
	}
	done := make(chan struct{})
	go func() { // ends at the end of the test
		defer close(done)
		s := bufio.NewScanner(r)
		s.Buffer(nil, 2*maxLine)
		for s.Scan() {
			l.add(s.Text())
		}
	}()
	t.Cleanup(func() {
		logger.Close(time.Now().Add(time.Second))
		w.Close()
		<-done
		r.Close()
		if t.Failed() {
			t.Logf("the daemons have written:\n%s", strings.Join(l.All(), "\n"))
		}
	})
	return l
}

// maxLine is the longest line that is kept in one piece.
const maxLine = 1 << 20

// Spawner returns a spawner that executes real programs. Their lines are kept, and the programs do not outlive this one.
func (l *Lines) Spawner() child.Exec { return l.spawner }

// All returns the lines so far, each as "[NAME] LINE".
func (l *Lines) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

// Wait waits until a line of the daemon, old or new, matches the regular expression, and returns the line without its prefix. The
// error wraps that of ctx, or is that of the expression.
func (l *Lines) Wait(ctx context.Context, daemon, expression string) (string, error) {
	match, err := regexp.Compile(expression)
	if err != nil {
		return "", err
	}
	for at := 0; ; {
		l.mu.Lock()
		lines, fresh := l.all[at:], l.fresh
		at = len(l.all)
		l.mu.Unlock()
		for _, line := range lines {
			if text, ok := strings.CutPrefix(line, "["+daemon+"] "); ok && match.MatchString(text) {
				return text, nil
			}
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return "", fmt.Errorf("no line of %s matches %s: %w", daemon, expression, ctx.Err())
		}
	}
}

func (l *Lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	close(l.fresh)
	l.fresh = make(chan struct{})
}
