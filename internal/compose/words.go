package compose

import (
	"errors"
	"strings"
	"time"
)

var errQuote = errors.New("has a quote, a parenthesis or a backslash without its other half")

// An operatorError is an unquoted character that ends a command in a shell.
type operatorError rune

func (e operatorError) Error() string {
	return "has an unquoted " + string(e) + ", but no shell reads it: write [/bin/sh, -c, \"…\"], or quote it"
}

// SplitWords splits a command that is written as one string as Compose does (go-shellwords): quotes and backslashes as in a
// shell, \n and \t mean newline and tab outside of single quotes, and nothing is expanded: what stands in $( ) or in backquotes stays
// as it is, in one word. Compose drops an unquoted ; & | < or > and all that follows without a word; here that is an operatorError,
// because nobody can have meant it. Any other error is errQuote.
func SplitWords(line string) ([]string, error) {
	words := []string{}
	var word strings.Builder
	var started, escaped, dollar bool // a word has begun; the character before was a backslash, or a plain $
	var within rune                   // what must come to end a quotation, or 0
	for _, r := range line {
		wasEscaped, afterDollar := escaped, dollar
		escaped, dollar = false, false
		literal := within == '`' || within == ')'
		switch {
		case wasEscaped && literal:
			word.WriteRune('\\')
		case wasEscaped && r == 'n':
			r = '\n'
		case wasEscaped && r == 't':
			r = '\t'
		case wasEscaped:
		case r == '\\' && within != '\'':
			escaped = true
			continue
		case within != 0 && r == within:
			within = 0
			if !literal { // empty quotes are a word
				started = true
				continue
			}
		case within == ')' && r == '(':
			return nil, errQuote
		case within != 0:
		case strings.ContainsRune(" \t\r\n", r):
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
			continue
		case r == '"' || r == '\'':
			within = r
			continue
		case r == '`':
			within = r
		case r == '(' && afterDollar:
			within = ')'
		case r == '(' || r == ')':
			return nil, errQuote
		case strings.ContainsRune(";&|<>", r):
			return nil, operatorError(r)
		default:
			dollar = r == '$'
		}
		started = true
		word.WriteRune(r)
	}
	if escaped || within != 0 {
		return nil, errQuote
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}

// ParseDuration reads a duration as Compose does: like Go's, with d for a day and w for a week.
func ParseDuration(s string) (d time.Duration, ok bool) {
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
