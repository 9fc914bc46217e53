package compose

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// A Lookup is the value of a variable, and whether it is set.
type Lookup func(name string) (string, bool)

// An Interpolator replaces the variables in a tree, and casts the strings where Compose expects another type.
type Interpolator struct {
	Vars     Lookup
	Behind   func(name string) []string // the variables that a variable was made of
	Problems *Problems
	Unset    func(at Pos, name string) // unless nil, is told of variables without a value or a default
}

// Tree interpolates n, which is at path; an item of a list has the path element "[]".
func (in *Interpolator) Tree(n *Node, path []string) {
	switch n.Kind {
	case Dict:
		for i := range n.Keys {
			in.Tree(n.Keys[i].Val, append(path, n.Keys[i].Key))
		}
	case List:
		for _, item := range n.Items {
			in.Tree(item, append(path, "[]"))
		}
	case Text:
		if strings.Contains(n.Text, "$") {
			in.text(n)
		}
		if c := castOf(path); c != nil {
			if err := c(n); err != nil {
				in.Problems.Bad(n, "%s must be %v, not %s", path[len(path)-1], err, n.Show())
			}
		}
	}
}

// text interpolates a string.
func (in *Interpolator) text(n *Node) {
	raw := n.Text
	var unset []string
	out, err := expandNoting(raw, func(name string) { unset = append(unset, name) }, func(name string) (string, bool) {
		for _, name := range append([]string{name}, in.Behind(name)...) {
			if !slices.Contains(n.Vars, name) {
				n.Vars = append(n.Vars, name)
			}
		}
		return in.Vars(name)
	})
	if err == nil {
		n.Text = out
		for _, name := range unset {
			if in.Unset != nil {
				in.Unset(n.At, name)
			}
		}
		return
	}
	n.Text, n.Bad = "", true
	in.Problems.Add(n.At, "%s", Phrase(expandMessage(raw, in.Vars)))
}

// expandMessage says why raw cannot be expanded. The message of a ${NAME:?message} may refer to variables: they are
// expanded once more, with a mask for the values.
func expandMessage(raw string, vars Lookup) string {
	_, err := expand(raw, func(name string) (string, bool) {
		value, ok := vars(name)
		if value != "" {
			value = "***"
		}
		return value, ok
	})
	if err == errNested {
		return "it cannot be expanded: " + err.Error()
	}
	if err == errTemplate {
		return strconv.Quote(printable.Cut(raw)) + " is not a valid interpolation: " + err.Error()
	}
	return printable.Cut(err.Error())
}

// A cast turns a string into the type that Compose expects; the error says what that is.
type cast func(*Node) error

var (
	errWhole  = errors.New("a whole number")
	errTruth  = errors.New("true or false")
	errNumber = errors.New("a number")
)

// castOf is the cast of a path, or nil. The paths are compose-go's (loader/interpolate.go).
func castOf(path []string) cast {
	if len(path) < 3 {
		return nil
	}
	if path[0] == "secrets" || path[0] == "configs" {
		if len(path) == 3 && path[2] == "external" {
			return castTruth
		}
		return nil
	}
	if path[0] != "services" && path[0] != "jobs" {
		return nil
	}
	key := path[2:]
	if len(key) > 2 && key[0] == "pre_start" {
		key = key[2:]
		switch key[0] {
		case "oom_score_adj", "ulimits", "privileged", "read_only", "oom_kill_disable":
		default:
			return nil
		}
	}
	switch len(key) {
	case 1:
		switch key[0] {
		case "scale", "oom_score_adj":
			return castWhole
		case "umask":
			return castUmask
		case "privileged", "read_only", "oom_kill_disable", "tty", "stdin_open", "init":
			return castTruth
		}
	case 2:
		switch {
		case key[0] == "ulimits" && key[1] != "[]", key[0] == "deploy" && key[1] == "replicas", key[0] == "healthcheck" && key[1] == "retries":
			return castWhole
		case key[0] == "healthcheck" && key[1] == "disable":
			return castTruth
		}
	case 3:
		switch {
		case key[0] == "volumes" && key[1] == "[]" && key[2] == "read_only":
			return castTruth
		case key[0] == "ulimits" && (key[2] == "soft" || key[2] == "hard"),
			key[0] == "deploy" && key[1] == "restart_policy" && key[2] == "max_attempts",
			key[0] == "deploy" && key[1] == "update_config" && key[2] == "parallelism":
			return castWhole
		case key[0] == "deploy" && key[1] == "update_config" && key[2] == "max_failure_ratio":
			return castNumber
		case key[0] == "depends_on" && (key[2] == "required" || key[2] == "restart"):
			return castTruth
		}
	}
	return nil
}

func castWhole(n *Node) error {
	v, err := strconv.Atoi(n.Text)
	if err != nil {
		return errWhole
	}
	n.Kind, n.Val = Number, v
	return nil
}

// castUmask reads a number as YAML does: with 0 or 0o in front it is octal.
func castUmask(n *Node) error {
	v, err := strconv.ParseUint(n.Text, 0, 32)
	if err != nil {
		return errWhole
	}
	n.Kind, n.Val = Number, int(v)
	return nil
}

func castNumber(n *Node) error {
	v, err := strconv.ParseFloat(n.Text, 64)
	if err != nil {
		return errNumber
	}
	n.Kind, n.Val = Number, v
	return nil
}

func castTruth(n *Node) error {
	v, ok := ParseTruth(n.Text)
	if !ok {
		return errTruth
	}
	n.Kind, n.Val = Truth, v
	return nil
}

// ParseTruth reads a boolean that was written as a string, as compose-go does.
func ParseTruth(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "y", "yes", "on":
		return true, true
	case "false", "n", "no", "off":
		return false, true
	}
	return false, false
}

// dotted is a path for people.
func dotted(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), ".[]", "[]")
}
