package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// Pos is a place in a file. A line of 0 means the file as a whole.
type Pos struct {
	File      string
	Line, Col int
}

// String is FILE:LINE:COL, for the file as a whole too: who reads it need not know two forms.
func (p Pos) String() string {
	return fmt.Sprintf("%s:%d:%d", printable.Line(p.File), max(p.Line, 1), max(p.Col, 1))
}

// A Problem is one thing that is wrong with a bundle file.
type Problem struct {
	File      string
	Line, Col int // 0 where the file as a whole is meant
	Message   string
}

// Pos is where it is.
func (p Problem) Pos() Pos { return Pos{p.File, p.Line, p.Col} }

// String is FILE:LINE:COL: MESSAGE.
func (p Problem) String() string { return p.Pos().String() + ": " + p.Message }

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

// Bad reports a problem of a value, unless one of it is reported already: a wrong type would be noticed again and again.
func (p *Problems) Bad(n *Node, format string, args ...any) {
	if !n.Bad {
		n.Bad = true
		p.Add(n.At, format, args...)
	}
}

// Phrase is an argument of [Problems.Add] that is ours, and so is not cut.
type Phrase string

// Problems collects what is wrong, each thing once. What a message quotes is cut, and made printable.
type Problems struct {
	List  []Problem
	seen  map[Problem]bool
	Count int // with repetitions
}

// Add reports a problem at a place.
func (p *Problems) Add(at Pos, format string, args ...any) {
	p.Count++
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = printable.Cut(arg)
		case error:
			args[i] = printable.Cut(arg.Error())
		}
	}
	problem := Problem{at.File, at.Line, at.Col, printable.Line(fmt.Sprintf(format, args...))}
	if p.seen[problem] {
		return
	}
	if p.seen == nil {
		p.seen = map[Problem]bool{}
	}
	p.seen[problem] = true
	p.List = append(p.List, problem)
}

// Err returns the problems in the order of files, or nil.
func (p *Problems) Err(files []string) error {
	if len(p.List) == 0 {
		return nil
	}
	rank := func(p Problem) int {
		if i := slices.Index(files, p.File); i >= 0 {
			return i
		}
		return len(files) // an env_file
	}
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &Errors{p.List}
}

// Nearest returns the name that is most similar to word, or "" if none is similar enough to be what was meant.
func Nearest(word string, names []string) string {
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

// Suggest quotes a name that nobody has, and suggests the nearest of names.
func Suggest(n *Node, names []string) string {
	if len(n.Vars) > 0 {
		return n.Show()
	}
	return n.Show() + DidYouMean(n.Text, names)
}

// DidYouMean is "; did you mean X?", or empty.
func DidYouMean(word string, names []string) string {
	if best := Nearest(word, names); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}
