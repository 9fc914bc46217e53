package bundle

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// Transient says that daemons may be added to the running bundle that are in no file.
type Transient struct {
	Max  int           // how many there may be at a time
	TTL  time.Duration // the longest time that one may be there; 0 is no limit
	User string        // as whom they run; empty is the supervisor's own user
}

// DefaultMaxTransient is Max where the file gives none.
const DefaultMaxTransient = 16

// transient reads the top-level transient.
func (r *reader) transient(n *compose.Node) *Transient {
	t := &Transient{Max: DefaultMaxTransient}
	r.strict(n, "transient", []string{"max", "ttl", "user"}, func(e compose.Entry) bool {
		switch e.Key {
		case "max":
			t.Max = r.whole(e.Val, e.Key, 1, maxReplicas)
		case "ttl":
			if t.TTL = r.duration(e.Val, e.Key); t.TTL == 0 {
				r.probs.Bad(e.Val, "ttl must be more than 0")
			}
		case "user":
			t.User = r.str(e.Val, e.Key)
		default:
			return false
		}
		return true
	})
	return t
}

// A TransientSpec is what one asks for who adds a daemon.
type TransientSpec struct {
	Name    string
	Command []string
	Env     []string // KEY=VALUE, beside the environment of those who are no daemon
	Dir     string   // absolute; empty is the supervisor's own
	Restart child.RestartPolicy
}

// NewTransient is a daemon of no file. The error says what is wrong with the spec.
func (b *Bundle) NewTransient(s TransientSpec) (Daemon, error) {
	switch {
	case !validName(s.Name):
		return Daemon{}, fmt.Errorf("%q is not a valid daemon name: use letters, digits, dots, dashes and underscores", s.Name)
	case s.Name == supervisorName || s.Name == "." || s.Name == "..":
		return Daemon{}, fmt.Errorf("a daemon cannot be called %s: give it another name", s.Name)
	case len(s.Command) == 0 || s.Command[0] == "":
		return Daemon{}, fmt.Errorf("%s has no command", s.Name)
	case slices.ContainsFunc(s.Command, hasNUL) || slices.ContainsFunc(s.Env, hasNUL) || hasNUL(s.Dir):
		return Daemon{}, fmt.Errorf("%s: a NUL character cannot be given to a program", s.Name)
	case s.Dir != "" && !filepath.IsAbs(s.Dir):
		return Daemon{}, fmt.Errorf("the working directory of %s must be absolute, not %q", s.Name, s.Dir)
	}
	own := map[string]bool{"SIDECAR_INIT_DAEMON": true}
	for _, kv := range s.Env {
		name, _, ok := strings.Cut(kv, "=")
		switch {
		case !ok || name == "":
			return Daemon{}, fmt.Errorf("%q is not a variable: write NAME=VALUE", kv)
		case declares(b.private, name):
			return Daemon{}, fmt.Errorf("%s is private to a daemon of the bundle, and cannot be given to another one", name)
		}
		own[name] = true
	}
	user := ""
	if b.Transient != nil {
		user = b.Transient.User
	}
	env := without(b.Env, func(name string) bool { return own[name] || name == "HOME" && user != "" })
	env = append(append(env, s.Env...), "SIDECAR_INIT_DAEMON="+s.Name)
	d := Daemon{
		Spec: child.Spec{
			Name: s.Name, Service: s.Name, Program: child.Program{Argv: s.Command, Env: env, Dir: s.Dir, User: user}, Restart: s.Restart, KillMode: child.KillGroup,
		},
		HelperEnv: env, Overflow: OverflowBlock, Transient: true,
	}
	b.wall(&d)
	return d, nil
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }

// Known reports whether the file has a service, or a daemon, of this name, whether it is selected or not.
func (b *Bundle) Known(name string) bool {
	_, service := b.services[name]
	return service || slices.ContainsFunc(b.Daemons, func(d Daemon) bool { return d.Spec.Name == name })
}
