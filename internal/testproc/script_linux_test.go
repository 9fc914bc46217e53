package testproc

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"", ""},
		{" ; ;", ""},
		{"exit 3", "exit(3)"},
		{"print a  b;exit 3", "print(a|b) exit(3)"},
		{`print 'a; b' {"x":1} "tab\there"`, "print(a; b|{\"x\":1}|tab\there)"},
		{"trap TERM exit 9; block", "trap(TERM){exit(9)}<exit 9> block()"},
		{"trap TERM { print bye; exit 9 }; block", "trap(TERM){print(bye) exit(9)}< print bye; exit 9 > block()"},
		{"fork setsid block", "fork(){setsid(){block()}<block>}<setsid block>"},
		{"fork { fork { print '}' } }", "fork(){fork(){print(})}< print '}' >}< fork { print '}' } >"},
		{"fork { }", "fork(){}< >"},
		{"repeat 3 { print x\n}", "repeat(3){print(x)}< print x\n>"},
	} {
		list, err := parse(vocabulary(), tt.script)
		if err != nil {
			t.Errorf("%q: %v", tt.script, err)
			continue
		}
		if got := show(list); got != tt.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tt.script, got, tt.want)
		}
	}
}

func show(list []statement) string {
	var ss []string
	for _, s := range list {
		x := s.word.name() + "(" + strings.Join(s.args, "|") + ")"
		if _, words := s.word.takes(); words {
			x += "{" + show(s.body) + "}<" + s.raw + ">"
		}
		ss = append(ss, x)
	}
	return strings.Join(ss, " ")
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"prnt x", `unknown word "prnt"`},
		{"'print' x", `unknown word "print"`},
		{"exit", "exit: CODE is missing (usage: exit CODE)"},
		{"exit x", `exit: strconv.ParseUint: parsing "x": invalid syntax (usage: exit CODE)`},
		{"exit 1 2", `exit: "2" is too much (usage: exit CODE)`},
		{"block now", `block: "now" is too much (usage: block)`},
		{"sleep 1", `sleep: time: missing unit in duration "1" (usage: sleep D)`},
		{"ignore TERM KIL", `ignore: unknown signal "KIL" (usage: ignore SIG...)`},
		{"flood 1kB", `flood: strconv.ParseUint: parsing "1kB": invalid syntax (usage: flood [SIZE])`},
		{"exit 1; print x", `"print" is never reached`},
		{"trap TERM { block; exit 1 }", `"exit" is never reached`},
		{"trap TERM", "trap: WORDS is missing (usage: trap SIG WORDS)"},
		{"trap TERM; block", "trap: WORDS is missing (usage: trap SIG WORDS)"},
		{"fork { print x", "a } is missing"},
		{"print 'x", "unbalanced '"},
		{`print "x\"`, `unbalanced "`},
		{`print "\q"`, `"\q": invalid syntax`},
		{"}", `unknown word "}"`},
	} {
		_, err := parse(vocabulary(), tt.script)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.script, err, tt.want)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{"HUP": 1, "SIGHUP": 1, "1": 1, "64": 64, "RTMIN": 34, "SIGRTMIN+2": 36, "RTMIN+30": 64} {
		if got, err := parseSignal(s); err != nil || int(got) != want {
			t.Errorf("%s: got %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "65", "hup", "RTMIN+31", "RTMIN-1", "SIGSIGHUP"} {
		if got, err := parseSignal(s); err == nil {
			t.Errorf("%s: got %d, want an error", s, got)
		}
	}
}
