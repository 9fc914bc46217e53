package compose

import (
	"errors"
	"strings"
	"unicode"
)

// An envReader reads a file of variables, as compose-go reads an env_file or .env.
type envReader struct {
	rest  string
	line  int
	all   map[string]string // what the file gives, and what was there before it
	look  Lookup
	given func(EnvEntry) // is told of each variable that the file names

	names []string // the variables that the statement refers to
}

// An EnvEntry is a variable of a file of variables.
type EnvEntry struct {
	Key, Value string
	Line       int
	Names      []string // the variables that were looked up for it
}

// A DotenvError is a problem of a line.
type DotenvError struct {
	Line    int
	Message string
}

// ParseDotenv reads data into all. Values can refer to what look finds, and to what all has so far.
func ParseDotenv(data string, all map[string]string, look Lookup, given func(EnvEntry)) *DotenvError {
	d := &envReader{rest: strings.TrimPrefix(data, "\ufeff"), line: 1, all: all, look: look, given: given}
	for d.next() {
		if err := d.statement(); err != nil {
			return err
		}
	}
	return nil
}

// skip moves n bytes on.
func (d *envReader) skip(n int) {
	d.line += strings.Count(d.rest[:n], "\n")
	d.rest = d.rest[n:]
}

// next moves to the next statement, past blanks and comments.
func (d *envReader) next() bool {
	for {
		d.skip(len(d.rest) - len(strings.TrimLeftFunc(d.rest, unicode.IsSpace)))
		if !strings.HasPrefix(d.rest, "#") {
			return d.rest != ""
		}
		end := strings.IndexByte(d.rest, '\n')
		if end < 0 {
			return false
		}
		d.skip(end)
	}
}

// blank reports whether r is a space within a line.
func blank(r rune) bool {
	switch r {
	case '\t', '\v', '\f', '\r', ' ', 0x85, 0xA0:
		return true
	}
	return false
}

// statement reads KEY=VALUE, KEY: VALUE, or KEY alone, which takes what look finds; each may be exported.
func (d *envReader) statement() *DotenvError {
	if after, ok := strings.CutPrefix(d.rest, "export"); ok && after != "" && strings.IndexByte(" \t\n\f\r", after[0]) >= 0 {
		d.skip(len(d.rest) - len(strings.TrimLeftFunc(after, blank)))
	}
	end := strings.IndexFunc(d.rest, func(r rune) bool {
		return !blank(r) && !strings.ContainsRune("_.-[]", r) && !unicode.IsLetter(r) && !unicode.IsNumber(r)
	})
	line := d.line
	d.names = nil
	if end < 0 {
		return &DotenvError{line, "must be KEY=VALUE; a KEY alone needs a newline after it"}
	}
	key := strings.TrimRightFunc(d.rest[:end], unicode.IsSpace)
	if strings.IndexByte("=:\n", d.rest[end]) < 0 || strings.Contains(key, " ") {
		return &DotenvError{line, "must be KEY=VALUE, with a key of letters, digits, dots, dashes and underscores"}
	}
	alone := d.rest[end] == '\n'
	d.skip(end + 1)
	d.skip(len(d.rest) - len(strings.TrimLeftFunc(d.rest, blank)))
	value, set := "", true
	if alone {
		d.names = append(d.names, key)
		value, set = d.look(key)
	} else {
		var err error
		if value, err = d.value(); err != nil {
			return &DotenvError{line, err.Error()}
		}
	}
	if set {
		d.all[key] = value
	}
	d.given(EnvEntry{key, value, line, d.names})
	return nil
}

// value reads a value. Without quotes it ends with the line, or before a # that follows a space.
func (d *envReader) value() (string, error) {
	quote := byte(0)
	if d.rest != "" {
		quote = d.rest[0]
	}
	if quote != '"' && quote != '\'' {
		line, _, _ := strings.Cut(d.rest, "\n")
		d.skip(min(len(line)+1, len(d.rest)))
		line, _, _ = strings.Cut(line, " #")
		return d.expand(strings.TrimRightFunc(line, unicode.IsSpace))
	}
	var out []byte
	escaped := false
	for i := 1; i < len(d.rest); i++ {
		c := d.rest[i]
		switch {
		case escaped:
			if c != quote {
				out = append(out, '\\')
			}
			out = append(out, c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == quote:
			d.skip(i + 1)
			if quote == '\'' {
				return string(out), nil
			}
			return d.expand(unescape(string(out)))
		default:
			out = append(out, c)
		}
	}
	return "", errors.New("a quoted value has no end")
}

// expand expands a value: look goes before what the files gave.
func (d *envReader) expand(value string) (string, error) {
	return expand(value, func(name string) (string, bool) {
		d.names = append(d.names, name)
		if value, ok := d.look(name); ok {
			return value, true
		}
		value, ok := d.all[name]
		return value, ok
	})
}

// unescape replaces the escapes of a value in double quotes. \$ becomes $$, which is a plain $ in the end. What compose-go
// does with \c and with \0 and fewer than three octal digits is kept, odd as it is.
func unescape(s string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(s[:i])
		c := s[i+1]
		s = s[i+2:]
		if j := strings.IndexByte("abfnrtv\"\\", c); j >= 0 {
			out.WriteByte("\a\b\f\n\r\t\v\"\\"[j])
			continue
		}
		if c == '$' {
			out.WriteString("$$")
			continue
		}
		if c != '0' {
			out.WriteByte('\\')
			out.WriteByte(c)
			continue
		}
		octal, n := 0, 0
		for n < 3 && n < len(s) && '0' <= s[n] && s[n] <= '7' {
			octal = octal*8 + int(s[n]-'0')
			n++
		}
		if n == 3 && octal < 256 {
			out.WriteRune(rune(octal))
			s = s[n:]
		} else {
			out.WriteByte('\\')
		}
	}
}
