package testproc

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A statement is a word of a script with its arguments.
type statement struct {
	word *word
	args []string
	body []statement // of a word that takes WORDS
	raw  string      // the source of body
}

// A word is what a script can say. The usage names its arguments, by their kind: N, D, SIG, SIZE, CODE, else text. An
// argument in brackets can be left out, one with dots can be repeated or left out, and WORDS is a statement, or
// statements in braces.
type word struct {
	usage string
	last  bool // what follows it would never be reached
	do    func(d *daemon, s *statement)
}

// name is the first field of the usage.
func (w *word) name() string { return strings.Fields(w.usage)[0] }

// takes reports whether the arguments fit the usage. If it takes WORDS, n is how many arguments come before them.
func (w *word) takes() (kinds []string, words bool) {
	kinds = strings.Fields(w.usage)[1:]
	if n := len(kinds); n > 0 && kinds[n-1] == "WORDS" {
		return kinds[:n-1], true
	}
	return kinds, false
}

// check says what is wrong with the arguments.
func (w *word) check(args []string) error {
	kinds, _ := w.takes()
	for i, kind := range kinds {
		optional := strings.HasPrefix(kind, "[")
		kind, variadic := strings.CutSuffix(strings.Trim(kind, "[]"), "...")
		for ; i < len(args); i++ {
			if err := checkKind(kind, args[i]); err != nil {
				return fmt.Errorf("%w (usage: %s)", err, w.usage)
			}
			if !variadic {
				break
			}
		}
		switch {
		case variadic:
			return nil
		case i >= len(args) && optional:
			return nil
		case i >= len(args):
			return fmt.Errorf("%s is missing (usage: %s)", kind, w.usage)
		}
	}
	if len(args) > len(kinds) {
		return fmt.Errorf("%q is too much (usage: %s)", args[len(kinds)], w.usage)
	}
	return nil
}

func checkKind(kind, arg string) error {
	var err error
	switch kind {
	case "N", "CODE":
		_, err = strconv.ParseUint(arg, 10, 31)
	case "D":
		_, err = time.ParseDuration(arg)
	case "SIG":
		_, err = parseSignal(arg)
	case "SIZE":
		_, err = parseSize(arg)
	}
	return err
}

// parseSignal takes HUP, SIGHUP, 1 and RTMIN+2.
func parseSignal(s string) (syscall.Signal, error) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && n >= 1 && n <= 64 {
		return syscall.Signal(n), nil
	}
	s = strings.TrimPrefix(s, "SIG")
	if sig := unix.SignalNum("SIG" + s); sig != 0 {
		return sig, nil
	}
	if rest, ok := strings.CutPrefix(s, "RTMIN"); ok {
		n, err := strconv.ParseUint("0"+strings.TrimPrefix(rest, "+"), 10, 8)
		if err == nil && n <= 30 {
			return syscall.Signal(34 + n), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

// parseSize takes 100, 64KiB and 1MiB.
func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if d, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = d, u
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return int64(n) * unit, err
}

// A token is a piece of a script: a word, a semicolon or a brace. What was quoted is never one of the latter two.
type token struct {
	text   string
	quoted bool
	at     int // where it starts
	end    int
}

func (t token) is(s string) bool { return t.text == s && !t.quoted }

// scan splits a script into tokens. 'x' is as it stands, "x" as in Go; a quote counts at the begin of a word only.
func scan(src string) ([]token, error) {
	var ts []token
	for i := 0; i < len(src); {
		switch c := src[i]; c {
		case ' ', '\t', '\n':
			i++
		case ';':
			ts = append(ts, token{text: ";", at: i, end: i + 1})
			i++
		case '\'', '"':
			end := i + 1
			for end < len(src) && src[end] != c {
				if c == '"' && src[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(src) {
				return nil, fmt.Errorf("unbalanced %c", c)
			}
			end++
			text := src[i+1 : end-1]
			if c == '"' {
				var err error
				if text, err = strconv.Unquote(src[i:end]); err != nil {
					return nil, fmt.Errorf("%s: %w", src[i:end], err)
				}
			}
			ts = append(ts, token{text: text, quoted: true, at: i, end: end})
			i = end
		default:
			end := i
			for end < len(src) && !strings.ContainsRune(" \t\n;", rune(src[end])) {
				end++
			}
			ts = append(ts, token{text: src[i:end], at: i, end: end})
			i = end
		}
	}
	return ts, nil
}

// A parser turns tokens into statements.
type parser struct {
	words  map[string]*word
	src    string
	tokens []token
}

// parse checks and compiles a script.
func parse(words map[string]*word, src string) ([]statement, error) {
	tokens, err := scan(src)
	if err != nil {
		return nil, err
	}
	p := &parser{words: words, src: src, tokens: tokens}
	return p.list(false)
}

// peek returns the next token, or a semicolon at the end.
func (p *parser) peek() token {
	if len(p.tokens) == 0 {
		return token{text: ";", at: len(p.src), end: len(p.src)}
	}
	return p.tokens[0]
}

func (p *parser) next() token {
	t := p.peek()
	if len(p.tokens) > 0 {
		p.tokens = p.tokens[1:]
	}
	return t
}

// list parses statements up to the end, or up to the closing brace.
func (p *parser) list(braces bool) ([]statement, error) {
	var list []statement
	for len(p.tokens) > 0 {
		switch {
		case p.peek().is(";"):
			p.next()
		case p.peek().is("}") && braces:
			p.next()
			return list, nil
		default:
			if n := len(list); n > 0 && list[n-1].word.last {
				return nil, fmt.Errorf("%q is never reached", p.peek().text)
			}
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
	}
	if braces {
		return nil, fmt.Errorf("a } is missing")
	}
	return list, nil
}

func (p *parser) statement() (statement, error) {
	name := p.next()
	w := p.words[name.text]
	if w == nil || name.quoted {
		return statement{}, fmt.Errorf("unknown word %q", name.text)
	}
	s := statement{word: w}
	kinds, words := w.takes()
	for !p.peek().is(";") && !p.peek().is("}") && !(words && len(s.args) == len(kinds)) {
		s.args = append(s.args, p.next().text)
	}
	if err := w.check(s.args); err != nil {
		return s, fmt.Errorf("%s: %w", w.name(), err)
	}
	if !words {
		return s, nil
	}
	at := p.peek().at
	switch {
	case p.peek().is(";"), p.peek().is("}"):
		return s, fmt.Errorf("%s: WORDS is missing (usage: %s)", w.name(), w.usage)
	case p.peek().is("{"):
		at = p.next().end
		var err error
		if s.body, err = p.list(true); err != nil {
			return s, err
		}
		end := len(p.src)
		if len(p.tokens) > 0 {
			end = p.peek().at
		}
		s.raw = p.src[at : at+strings.LastIndex(p.src[at:end], "}")]
	default:
		body, err := p.statement()
		if err != nil {
			return s, err
		}
		s.body = []statement{body}
		end := len(p.src)
		if len(p.tokens) > 0 {
			end = p.peek().at
		}
		s.raw = p.src[at:end]
	}
	return s, nil
}
