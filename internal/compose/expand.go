package compose

import (
	"errors"
	"strconv"
	"strings"
)

// expand replaces the variables in s as compose-go does: $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message},
// ${NAME?message}, ${NAME:+other}, ${NAME+other}, and $$ for a plain $. What stands after the operator is expanded too, if it is
// used. A $ before anything else stays. The error is errTemplate or a *missingError.
//
// It is our own because compose-go's package links logrus, warns on fd 2 of what is unset, and compiles its regular
// expressions at start. FuzzExpand holds it to that package.
func expand(s string, vars Lookup) (string, error) { return expandNested(s, vars, nil, 0) }

// expandNoting is expand; unset is told of each variable that has no value and no default.
func expandNoting(s string, unset func(name string), vars Lookup) (string, error) {
	return expandNested(s, vars, unset, 0)
}

// maxNested is how many references may stand in each other's arguments: each is looked through once more for what is in it.
const maxNested = 64

var errNested = errors.New("references stand in each other more than " + strconv.Itoa(maxNested) + " deep")

func expandNested(s string, vars Lookup, unset func(string), depth int) (string, error) {
	i := strings.IndexByte(s, '$')
	if i < 0 {
		return s, nil
	}
	if depth >= maxNested {
		return "", errNested
	}
	var out strings.Builder
	var first error
	r := references{s: s, vars: vars, unset: unset, depth: depth}
	at := 0 // what comes before is expanded
	for ; i >= 0; i = strings.IndexByte(s[at:], '$') {
		out.WriteString(s[at : at+i])
		value, n, err := r.reference(at + i)
		if err != nil && first == nil {
			first = err
		}
		out.WriteString(value)
		at += i + n
	}
	out.WriteString(s[at:])
	return out.String(), first
}

// references are those of a string.
type references struct {
	s          string
	vars       Lookup
	unset      func(name string)
	depth      int
	line, last int // the end of the line that was looked at last, and the last closing brace of it
}

// lastBrace is the index of the last closing brace of the line that at is in, or -1.
func (r *references) lastBrace(at int) int {
	if at >= r.line {
		r.line = len(r.s)
		if i := strings.IndexByte(r.s[at:], '\n'); i >= 0 {
			r.line = at + i
		}
		r.last = -1
		if i := strings.LastIndexByte(r.s[at:r.line], '}'); i >= 0 {
			r.last = at + i
		}
	}
	return r.last
}

// errTemplate says that a ${ begins no reference.
var errTemplate = templateError{}

type templateError struct{}

func (templateError) Error() string { return "write ${NAME}, or $$ for a plain $" }

// A missingError says that a variable is not set that must be.
type missingError struct {
	name   string
	reason string // what the file says, expanded
}

func (e *missingError) Error() string {
	if e.reason == "" {
		return "the variable " + e.name + " must be set"
	}
	return "the variable " + e.name + " must be set: " + e.reason
}

// reference expands what begins with the $ at an index, and says how long that is.
func (r *references) reference(at int) (value string, n int, err error) {
	s, vars := r.s[at:], r.vars
	switch {
	case strings.HasPrefix(s, "$$"):
		return "$", 2, nil
	case !strings.HasPrefix(s, "${"):
		n := nameLength(s[1:])
		if n == 0 {
			return "$", 1, nil
		}
		return r.value(s[1 : 1+n]), 1 + n, nil
	}
	end := 2 + nameLength(s[2:])
	name, rest := s[2:end], s[end:]
	if name == "" {
		return "", 2, errTemplate
	}
	if strings.HasPrefix(rest, "}") {
		return r.value(name), end + 1, nil
	}
	colon := strings.HasPrefix(rest, ":")
	op := byte(0)
	if rest = strings.TrimPrefix(rest, ":"); rest != "" {
		op = rest[0]
	}
	last := r.lastBrace(at) - at
	if op != '-' && op != '+' && op != '?' || last < end {
		return "", 2, errTemplate
	}
	// The reference ends with the brace that closes it, or with the last one of the line.
	closing := closingBrace(s[:last+1])
	if closing < 0 {
		closing = last
	}
	argument := s[len(s)-len(rest)+1 : closing]
	value, set := vars(name)
	set = set && (!colon || value != "")
	switch {
	case op == '-' && !set, op == '+' && set:
		value, err = expandNested(argument, vars, r.unset, r.depth+1)
	case op == '?' && !set:
		var reason string
		if reason, err = expandNested(argument, vars, r.unset, r.depth+1); err == nil {
			err = &missingError{name, reason}
		}
	}
	if err != nil {
		return "", last + 1, err
	}
	return value, closing + 1, nil
}

// value is that of a variable which nothing stands in for.
func (r *references) value(name string) string {
	value, set := r.vars(name)
	if !set && r.unset != nil {
		r.unset(name)
	}
	return value
}

// nameLength is the length of the name of a variable that s begins with. compose-go matches it without regard to case,
// which makes the long s and the Kelvin sign letters too.
func nameLength(s string) int {
	for i, r := range s {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', r == 'ſ', r == '\u212a':
		case i > 0 && '0' <= r && r <= '9':
		default:
			return i
		}
	}
	return len(s)
}

// closingBrace is the index of the brace that closes the first one in s, or -1. The character after an opening brace is
// skipped, whatever it is: so does compose-go.
func closingBrace(s string) int {
	open := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '}':
			if open--; open == 0 {
				return i
			}
		case '{':
			open++
			i++
		}
	}
	return -1
}
