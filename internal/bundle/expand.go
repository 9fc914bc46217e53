package bundle

import (
	"strings"
)

// expand replaces the variables in s as compose-go does: $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message},
// ${NAME?message}, ${NAME:+other}, ${NAME+other}, and $$ for a plain $. What stands after the operator is expanded too, if it is
// used. A $ before anything else stays. The error is errTemplate or a *missingError.
//
// It is our own because compose-go's package links logrus, warns on fd 2 of what is unset, and compiles its regular
// expressions at start. FuzzExpand holds it to that package.
func expand(s string, vars lookup) (string, error) {
	i := strings.IndexByte(s, '$')
	if i < 0 {
		return s, nil
	}
	var out strings.Builder
	var first error
	for ; i >= 0; i = strings.IndexByte(s, '$') {
		out.WriteString(s[:i])
		value, n, err := reference(s[i:], vars)
		if err != nil && first == nil {
			first = err
		}
		out.WriteString(value)
		s = s[i+n:]
	}
	out.WriteString(s)
	return out.String(), first
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

// reference expands what begins with the $ at the beginning of s, and says how long that is.
func reference(s string, vars lookup) (value string, n int, err error) {
	switch {
	case strings.HasPrefix(s, "$$"):
		return "$", 2, nil
	case !strings.HasPrefix(s, "${"):
		n := nameLength(s[1:])
		if n == 0 {
			return "$", 1, nil
		}
		value, _ := vars(s[1 : 1+n])
		return value, 1 + n, nil
	}
	end := 2 + nameLength(s[2:])
	name, rest := s[2:end], s[end:]
	if name == "" {
		return "", 2, errTemplate
	}
	if strings.HasPrefix(rest, "}") {
		value, _ := vars(name)
		return value, end + 1, nil
	}
	colon := strings.HasPrefix(rest, ":")
	op := byte(0)
	if rest = strings.TrimPrefix(rest, ":"); rest != "" {
		op = rest[0]
	}
	line, _, _ := strings.Cut(s, "\n")
	last := strings.LastIndexByte(line, '}')
	if op != '-' && op != '+' && op != '?' || last < end {
		return "", 2, errTemplate
	}
	// The reference ends with the brace that closes it, what follows up to the last brace of the line is expanded by itself.
	n = last + 1
	closing := closingBrace(s[:n])
	if closing < 0 {
		closing = last
	}
	argument := s[len(s)-len(rest)+1 : closing]
	value, set := vars(name)
	set = set && (!colon || value != "")
	switch {
	case op == '-' && !set, op == '+' && set:
		value, err = expand(argument, vars)
	case op == '?' && !set:
		var reason string
		if reason, err = expand(argument, vars); err == nil {
			err = &missingError{name, reason}
		}
	}
	if err != nil {
		return "", n, err
	}
	after, err := expand(s[closing+1:n], vars)
	return value + after, n, err
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
