//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

// A profile is docs/seccomp.json: the calls that are needed, those without which something is lost, and those of the container
// engine itself.
type profile struct{ needed, useful, engine []string }

func readProfile(t *testing.T) profile {
	t.Helper()
	text, err := os.ReadFile("../../docs/seccomp.json")
	if err != nil {
		t.Fatal(err)
	}
	var docker struct {
		DefaultAction string
		Syscalls      []struct {
			Action string
			Names  []string
		}
	}
	if err := json.Unmarshal(text, &docker); err != nil {
		t.Fatal(err)
	}
	if got := docker.DefaultAction; got != "SCMP_ACT_ERRNO" {
		t.Fatalf("defaultAction is %q, want SCMP_ACT_ERRNO", got)
	}
	var lists [][]string
	for _, s := range docker.Syscalls {
		if s.Action != "SCMP_ACT_ALLOW" || !slices.IsSorted(s.Names) {
			t.Fatalf("got %+v, want calls that are allowed, in order", s)
		}
		lists = append(lists, s.Names)
	}
	if len(lists) != 3 {
		t.Fatalf("got %d lists, want 3", len(lists))
	}
	return profile{lists[0], lists[1], lists[2]}
}

// filter is the profile without some calls, and with what the daemons of a session need.
func (p profile) filter(without ...string) seccomp.Filter {
	f := seccomp.Filter{Default: unix.EPERM} // as Docker has it
	for _, name := range slices.Concat(p.needed, p.useful, []string{"sendto"}) {
		if seccomp.Known(name) && !slices.Contains(without, name) {
			f.Rules = append(f.Rules, seccomp.Rule{Call: name})
		}
	}
	return f
}

// TestProfile: a session loses nothing under the profile, and keeps its promises with only what is said to be needed.
func TestProfile(t *testing.T) {
	if reason, ok := seccomp.Supported(); !ok {
		t.Skip(reason)
	}
	asRoot.require(t)
	p := readProfile(t)
	t.Parallel()
	for name, f := range map[string]seccomp.Filter{"whole": p.filter(), "needed": p.filter(p.useful...)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for promise, err := range checkSession(t, asRoot, f) {
				t.Errorf("%s: %v", promise, err)
			}
		})
	}
}

// TestSoakProfile: of what is said to be needed a session can do without nothing.
func TestSoakProfile(t *testing.T) {
	if os.Getenv("SIDECAR_INIT_SOAK") == "" {
		t.Skip("takes a minute; SIDECAR_INIT_SOAK is not set")
	}
	if reason, ok := seccomp.Supported(); !ok {
		t.Skip(reason)
	}
	asRoot.require(t)
	p := readProfile(t)
	n := 0
	for names := range slices.Chunk(slices.DeleteFunc(slices.Clone(p.needed), func(name string) bool { return !seccomp.Known(name) }), 4) {
		n++
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			var g sync.WaitGroup // sessions wait more than they work
			for _, name := range names {
				g.Go(func() {
					if failed := checkSession(t, asRoot, p.filter(append(slices.Clone(p.useful), name)...)); len(failed) == 0 {
						t.Errorf("%s is not needed", name)
					}
				})
			}
			g.Wait()
		})
	}
}

// TestProfilePage: the page says of each call of the profile, and of no other, what it is for.
func TestProfilePage(t *testing.T) {
	text, err := os.ReadFile("../../docs/seccomp.md")
	if err != nil {
		t.Fatal(err)
	}
	p := readProfile(t)
	_, page, _ := strings.Cut(string(text), "\n## What is needed\n")
	needed, useful, found := strings.Cut(page, "\n## What is lost\n")
	useful, _, _ = strings.Cut(useful, "\n## ")
	if !found {
		t.Fatal("the page has no section \"What is needed\", and after it \"What is lost\"")
	}
	for section, want := range map[string][]string{needed: p.needed, useful: p.useful} {
		got := map[string]bool{}
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(section, -1) {
			for _, name := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(row[1], -1) {
				got[name[1]] = true
			}
		}
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			t.Errorf("the page tells of\n%s\nand the profile has\n%s", names, want)
		}
	}
}
