package bundle

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A PlanSecret says who can read a secret: the modes of files decide, and nothing that is said of variables or processes.
type PlanSecret struct {
	Name     string   `json:"name"`
	Target   string   `json:"target"`
	Services []string `json:"services"` // that ask for it there
	Readers  string   `json:"readers"`
}

// secrets are all that daemons of the bundle ask for.
func (b *Bundle) secrets() []PlanSecret {
	out := []PlanSecret{}
	for i := range b.Daemons {
		d := &b.Daemons[i]
		for _, f := range d.Files {
			if f.Kind != "secret" {
				continue
			}
			at := slices.IndexFunc(out, func(s PlanSecret) bool { return s.Name == f.Name && s.Target == f.Target })
			switch {
			case at < 0:
				out = append(out, PlanSecret{f.Name, f.Target, []string{d.Spec.Service}, b.readers(&f)})
			case !slices.Contains(out[at].Services, d.Spec.Service):
				out[at].Services = append(out[at].Services, d.Spec.Service)
			}
		}
	}
	return out
}

// readers are those who can read a secret. The file that is linked to is looked at only in the container where the bundle runs.
func (b *Bundle) readers(f *File) string {
	mode, owner, group := f.Mode, "", ""
	if f.Source == "" {
		owner, group, _ = strings.Cut(f.User, ":")
		owner, group = orDefault(f.UID, owner), orDefault(f.GID, group)
	} else {
		info, err := os.Stat(f.Source)
		if !b.here || err != nil {
			return "whoever may read " + f.Source
		}
		has := info.Sys().(*syscall.Stat_t)
		mode, owner, group = info.Mode(), strconv.Itoa(int(has.Uid)), strconv.Itoa(int(has.Gid))
		if u, err := user.LookupId(owner); err == nil {
			owner = u.Username
		}
		if g, err := user.LookupGroupId(group); err == nil {
			group = g.Name
		}
	}
	if mode&0o004 != 0 {
		return "every user"
	}
	var who []string
	root := func(name string) bool { return name == "root" || name == "0" }
	if mode&0o400 != 0 && !root(owner) {
		who = append(who, "user "+owner+b.runAs(owner))
		if owner == "" {
			who[0] = "the supervisor's user" + b.runAs(owner)
		}
	}
	if mode&0o040 != 0 {
		who = append(who, strings.TrimSpace("group "+orDefault(group, "of that user")))
	}
	return strings.Join(append(who, "root"+b.runAs("root")), ", ")
}

// runAs are the services that run as a user, in parentheses.
func (b *Bundle) runAs(name string) string {
	var services []string
	for i := range b.Daemons {
		spec := &b.Daemons[i].Spec
		as, _, _ := strings.Cut(spec.User, ":")
		if (as == name || as == "0" && name == "root") && !slices.Contains(services, spec.Service) {
			services = append(services, spec.Service)
		}
	}
	if len(services) == 0 {
		return ""
	}
	return " (" + strings.Join(services, ", ") + ")"
}

// line is for people.
func (s PlanSecret) line() string {
	return fmt.Sprintf("%s at %s, for %s: read by %s", s.Name, s.Target, strings.Join(s.Services, ", "), s.Readers)
}
