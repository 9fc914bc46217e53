package bundle

import (
	"errors"
	"strings"
	"time"
)

// splitWords splits a command that is written as one string as Compose does (go-shellwords): quotes and backslashes as in a
// shell, but nothing is expanded, and an unquoted ; & | < or > would end the command. Compose drops what follows
// without a word; here that is an error, because nobody can have meant it.
func splitWords(line string) ([]string, error) {
	var (
		words                               = []string{}
		word                                strings.Builder
		started                             bool
		escaped, single, double, back, call bool
		errQuote                            = errors.New("has a quote, a parenthesis or a backslash without its end")
	)
	for _, r := range line {
		if escaped {
			word.WriteRune(r)
			escaped, started = false, true
			continue
		}
		if r == '\\' {
			if single {
				word.WriteRune(r)
			} else {
				escaped = true
			}
			continue
		}
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			if single || double || back || call {
				word.WriteRune(r)
			} else if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
			continue
		}
		switch r {
		case '`':
			if !single && !double && !call {
				back = !back
			}
		case ')':
			if !single && !double && !back {
				call = !call
			}
		case '(':
			if !single && !double && !back {
				if call || !strings.HasSuffix(word.String(), "$") {
					return nil, errQuote
				}
				call = true
			}
		case '"':
			if !single && !call {
				started = started || double
				double = !double
				continue
			}
		case '\'':
			if !double && !call {
				started = started || single
				single = !single
				continue
			}
		case ';', '&', '|', '<', '>':
			if !single && !double && !back && !call {
				return nil, errors.New("has an unquoted " + string(r) + ", but no shell reads it: write [/bin/sh, -c, \"…\"], or quote it")
			}
		}
		started = true
		word.WriteRune(r)
	}
	if escaped || single || double || back || call {
		return nil, errQuote
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}

// parseDuration reads a duration as Compose does: like Go's, with d for a day and w for a week.
func parseDuration(s string) (d time.Duration, ok bool) {
	rest, negative := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		rest, negative = rest[1:], rest[0] == '-'
	}
	if rest == "0" {
		return 0, true
	}
	if rest == "" {
		return 0, false
	}
	for rest != "" {
		whole, n := digits(rest)
		rest = rest[n:]
		fraction, scale := 0.0, 1.0
		if strings.HasPrefix(rest, ".") {
			_, m := digits(rest[1:])
			kept := min(m, 19)
			value, _ := digits(rest[1 : 1+kept])
			for value < 0 { // more digits than can matter
				kept--
				value, _ = digits(rest[1 : 1+kept])
			}
			for range kept {
				scale *= 10
			}
			fraction = float64(value)
			rest = rest[1+m:]
			n += m
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r == '.' || '0' <= r && r <= '9' })
		if end < 0 {
			end = len(rest)
		}
		unit := unitOf(rest[:end])
		if n == 0 || unit == 0 || whole < 0 || whole > int64(maxDuration/unit) {
			return 0, false
		}
		rest = rest[end:]
		d += time.Duration(whole)*unit + time.Duration(fraction*(float64(unit)/scale))
		if d < 0 {
			return 0, false
		}
	}
	if negative {
		d = -d
	}
	return d, true
}

const maxDuration = time.Duration(1<<63 - 1)

// digits reads the decimal digits that s starts with, and returns how many there are. A value of -1 has overflowed.
func digits(s string) (value int64, n int) {
	for ; n < len(s) && '0' <= s[n] && s[n] <= '9'; n++ {
		if value < 0 || value > (1<<63-1)/10 {
			value = -1
			continue
		}
		value = max(value*10+int64(s[n]-'0'), -1)
	}
	return value, n
}

func unitOf(name string) time.Duration {
	switch name {
	case "ns":
		return time.Nanosecond
	case "us", "µs", "μs":
		return time.Microsecond
	case "ms":
		return time.Millisecond
	case "s":
		return time.Second
	case "m":
		return time.Minute
	case "h":
		return time.Hour
	case "d":
		return 24 * time.Hour
	case "w":
		return 7 * 24 * time.Hour
	}
	return 0
}
