package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// pos is a place in a file. A line of 0 means the file as a whole.
type pos struct {
	file      string
	line, col int
}

// String is FILE:LINE:COL, for the file as a whole too: who reads it need not know two forms.
func (p pos) String() string {
	return fmt.Sprintf("%s:%d:%d", printable.Line(p.file), max(p.line, 1), max(p.col, 1))
}

// A Problem is one thing that is wrong with a bundle file.
type Problem struct {
	File      string
	Line, Col int // 0 where the file as a whole is meant
	Message   string
}

// String is FILE:LINE:COL: MESSAGE.
func (p Problem) String() string {
	return pos{p.File, p.Line, p.Col}.String() + ": " + p.Message
}

// Errors are all problems of a bundle, in the order of its files and lines. There is at least one.
type Errors struct {
	Problems []Problem
}

// Error returns one problem a line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// An UnknownDaemonError says that a name in the arguments, not in the file, addresses no daemon.
type UnknownDaemonError struct {
	Name    string
	Nearest string // the most similar name, or empty
}

// Unknown returns the error for a name that is none of those that are known.
func Unknown(name string, known []string) *UnknownDaemonError {
	return &UnknownDaemonError{Name: name, Nearest: nearest(name, known)}
}

// Error suggests the nearest name.
func (e *UnknownDaemonError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("unknown daemon %q", e.Name)
	}
	return fmt.Sprintf("unknown daemon %q; did you mean %q?", e.Name, e.Nearest)
}

// bad reports a problem of a value, unless one of it is reported already: a wrong type would be noticed again and again.
func (p *problems) bad(n *node, format string, args ...any) {
	if !n.bad {
		n.bad = true
		p.add(n.at, format, args...)
	}
}

// phrase is an argument of problems.add that is ours, and so is not cut.
type phrase string

// problems collects what is wrong, each thing once. What a message quotes is cut, and made printable.
type problems struct {
	list  []Problem
	seen  map[Problem]bool
	count int // with repetitions
}

func (p *problems) add(at pos, format string, args ...any) {
	p.count++
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = printable.Cut(arg)
		case error:
			args[i] = printable.Cut(arg.Error())
		}
	}
	problem := Problem{at.file, at.line, at.col, printable.Line(fmt.Sprintf(format, args...))}
	if p.seen[problem] {
		return
	}
	if p.seen == nil {
		p.seen = map[Problem]bool{}
	}
	p.seen[problem] = true
	p.list = append(p.list, problem)
}

// err returns the problems in the order of files, or nil.
func (p *problems) err(files []string) error {
	if len(p.list) == 0 {
		return nil
	}
	rank := func(p Problem) int {
		if i := slices.Index(files, p.File); i >= 0 {
			return i
		}
		return len(files) // an env_file
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &Errors{p.list}
}

// nearest returns the name that is most similar to word, or "" if none is similar enough to be what was meant.
func nearest(word string, names []string) string {
	best, bestDistance := "", min(len(word)/2+1, 5)
	word = strings.ToLower(word)
	for _, name := range names {
		d := distance(word, strings.ToLower(name))
		if len(word) > 2 && strings.HasPrefix(strings.ToLower(name), word) {
			d = min(d, 2)
		}
		if d < bestDistance || d == bestDistance && best != "" && name < best {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is the number of characters to insert, delete, replace or swap with their neighbour that turn a into b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}

// unknown quotes a name that nobody has, and suggests the nearest of names.
func unknown(n *node, names []string) string {
	if len(n.vars) > 0 {
		return n.show()
	}
	return n.show() + didYouMean(n.text, names)
}

// didYouMean is "; did you mean X?", or empty.
func didYouMean(word string, names []string) string {
	if best := nearest(word, names); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}
