package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// A Warning is about something that is allowed, and most probably not meant.
type Warning struct {
	File      string
	Line, Col int
	Text      string // with the way out
	// Run: it is so in this environment, and run tells it too.
	Run bool
}

// String is the warning with its place.
func (w Warning) String() string {
	if w.Line == 0 {
		return w.Text
	}
	return fmt.Sprintf("%s: %s", compose.Pos{File: w.File, Line: w.Line, Col: w.Col}, w.Text)
}

func (l *loader) warn(at compose.Pos, text string) {
	w := Warning{File: at.File, Line: at.Line, Col: at.Col, Text: text}
	if !slices.Contains(l.warnings, w) {
		l.warnings = append(l.warnings, w)
	}
}

// unset warns of a variable that has no value and no default.
func (l *loader) unset(at compose.Pos, name string) {
	w := Warning{at.File, at.Line, at.Col, "the variable " + name + " is not set, and nothing takes its place: set it, or write ${" + name + ":-DEFAULT}", true}
	if !slices.Contains(l.warnings, w) {
		l.warnings = append(l.warnings, w)
	}
}

// suspect looks at a service that runs.
func (l *loader) suspect(s *service) {
	l.warnings = append(l.warnings, s.warnings...)
	command := s.node.Get("command")
	switch image := s.node.Get("image"); {
	case command == nil || len(s.command) == 0 || len(s.entrypoint) > 0:
	case strings.HasPrefix(s.command[0], "-"):
		l.warn(command.At, fmt.Sprintf("the command of %s begins with %s, which is not a program: the ENTRYPOINT of an image does not run here; write it as entrypoint",
			s.name, s.command[0]))
	case image != nil && s.node.Get("entrypoint") == nil && !strings.Contains(s.command[0], "/") && !(l.options.Here && l.inPath(s.command[0])):
		l.warn(command.At, fmt.Sprintf("%s has an image and no entrypoint: if the image has an ENTRYPOINT, that does not run here; entrypoint: [] says that %s is the program",
			s.name, s.command[0]))
	}
}

// inPath reports whether a program is in the PATH of the environment.
func (l *loader) inPath(program string) bool { return l.find(program) != "" }

// find is the file of a program: itself if it has a slash, else where PATH has it; "" if it has not.
func (l *loader) find(program string) string {
	if strings.Contains(program, "/") {
		return program
	}
	for dir := range strings.SplitSeq(l.env.values["PATH"], ":") {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// Ports and names of services that run.
var (
	portTarget = lazily(`^(?:.*:)?(\d+)(?:-(\d+))?(/\w+)?$`)
	hostKey    = lazily(`(?i)HOST|ADDR|URL|SERVER`)
)

// lazily is a regular expression that is compiled when it is needed: every start of the program, and of each shim, would pay for it.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// suspectAll looks at the services that run together: what two of them want in different ways, and, unless they are hosts, names that
// mean nothing here.
func (l *loader) suspectAll(running []*service, hosts bool) {
	l.suspectPorts(running)
	l.suspectRequirements(running)
	if hosts {
		return
	}
	for _, s := range running {
		uses := func(at compose.Pos, what, key, value string) {
			for _, other := range running {
				if other != s && usesHost(key, value, other.name) {
					l.warn(at, fmt.Sprintf("%s uses %s as the name of a host, and no name of a service means an address here: write 127.0.0.1, or x-sidecar-init: { hosts: true } at the top",
						what, other.name))
				}
			}
		}
		for _, v := range s.environment {
			if v.value != nil {
				uses(v.at, v.key, v.key, *v.value)
			}
		}
		for _, key := range []string{"entrypoint", "command"} {
			words := map[string][]string{"entrypoint": s.entrypoint, "command": s.command}[key]
			n := s.node.Child(key)
			for i, word := range words {
				at := n.At
				if n.Kind == compose.List && i < len(n.Items) {
					at = n.Items[i].At
				}
				option := "" // whose value the word is: --NAME VALUE, or --NAME=VALUE
				if i > 0 && strings.HasPrefix(words[i-1], "-") && !strings.Contains(words[i-1], "=") {
					option = words[i-1]
				}
				if before, value, found := strings.Cut(word, "="); found && strings.HasPrefix(word, "-") {
					option, word = before, value
				}
				uses(at, "the "+key+" of "+s.name, option, word)
			}
		}
	}
}

// suspectPorts looks for ports that two services want.
func (l *loader) suspectPorts(running []*service) {
	ports := map[string]*service{}
	for _, s := range running {
		e := s.node.Get("ports")
		if e == nil {
			continue
		}
		for _, item := range e.Val.Items {
			written, protocol := item.Sprint(), ""
			if target := item.Get("target"); target != nil {
				written = target.Val.Sprint()
				if e := item.Get("protocol"); e != nil {
					protocol = "/" + e.Val.Text
				}
			}
			m := portTarget().FindStringSubmatch(written)
			if m == nil {
				continue
			}
			first, err1 := strconv.ParseUint(m[1], 10, 16)
			last, err2 := strconv.ParseUint(orDefault(m[2], m[1]), 10, 16)
			if err1 != nil || err2 != nil {
				continue
			}
			protocol = orDefault(orDefault(protocol, m[3]), "/tcp")
			for told := false; first <= last; first++ {
				port := strconv.FormatUint(first, 10) + protocol
				if other := ports[port]; other != nil && other != s && !told {
					told = true
					l.warn(item.At, fmt.Sprintf("%s and %s both want the port %s, and all daemons share the container's network: let one listen at another", other.name, s.name, port))
				}
				ports[port] = s
			}
		}
	}
}

// suspectRequirements looks for two services that want one target from two sources, or two values of one parameter: a container has one.
func (l *loader) suspectRequirements(running []*service) {
	wanted := map[string]*Requirement{}
	for _, s := range running {
		for i := range s.requires {
			q := &s.requires[i]
			what, group := "mount", ""
			switch q.Kind {
			case NeedsPath, NeedsMount, NeedsTmpfs:
				group = "mount " + q.Target
			case NeedsSysctl:
				what, group = "value", "sysctl "+q.Target
			default:
				continue
			}
			other := wanted[group]
			if other == nil {
				wanted[group] = q
				continue
			}
			if other.Service != q.Service && (other.Kind != q.Kind || !slices.Equal(strings.Fields(other.Value), strings.Fields(q.Value))) {
				l.warn(compose.Pos{File: q.File, Line: q.Line, Col: q.Col}, fmt.Sprintf("%s and %s want %s in two ways, %s and %s, and a container has one %s for all daemons: let them agree, or give one another target",
					other.Service, q.Service, q.Target, other.FlagText(), q.FlagText(), what))
			}
		}
	}
}

// usesHost reports whether the value of a variable has a name as a host: NAME:PORT, //NAME, or NAME alone where the key says so.
func usesHost(key, value, name string) bool {
	if value == name {
		return hostKey().MatchString(key)
	}
	for rest := value; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		before, after := rest[:i], rest[i+len(name):]
		begins := before == "" || strings.ContainsAny(before[len(before)-1:], "/@,= ")
		port := len(after) > 1 && after[0] == ':' && '0' <= after[1] && after[1] <= '9'
		if begins && (port || (strings.HasSuffix(before, "//") || strings.HasSuffix(before, "@")) && (after == "" || after[0] == '/')) {
			return true
		}
		rest = after
	}
}
