package bundle

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

func TestTransient(t *testing.T) {
	const services = "services: {egress: {command: [e], profiles: [off], x-sidecar-init: {private_env: [\"TOKEN_*\"]}}, web: {command: [w]}}\n"
	o := Options{Env: []string{"PATH=/bin", "HOME=/root", "TOKEN_1=secret", "A=b"}}
	if b := mustLoad(t, services, o); b.Transient != nil {
		t.Errorf("nothing said: got %+v", b.Transient)
	}
	b := mustLoad(t, services+"x-sidecar-init: {transient: {}}", o)
	if want := (Transient{Max: DefaultMaxTransient}); *b.Transient != want {
		t.Errorf("got %+v, want %+v", *b.Transient, want)
	}
	d, err := b.NewTransient(TransientSpec{Name: "dev", Command: []string{"serve", "80"}, Env: []string{"A=c", "B=d"}, Dir: "/srv"})
	want := child.Spec{
		Name: "dev", Service: "dev", KillMode: child.KillGroup, Program: child.Program{
			Argv: []string{"serve", "80"}, Dir: "/srv", Env: []string{"PATH=/bin", "HOME=/root", "A=c", "B=d", "SIDECAR_INIT_DAEMON=dev"},
		},
	}
	if err != nil || !reflect.DeepEqual(d.Spec, want) || !d.Transient || slices.Contains(d.HelperEnv, "TOKEN_1=secret") {
		t.Errorf("got %+v, %v, want %+v", d, err, want)
	}
	b = mustLoad(t, services+"x-sidecar-init: {transient: {max: 2, ttl: 1h, user: nobody}}", o)
	if want := (Transient{Max: 2, TTL: time.Hour, User: "nobody"}); *b.Transient != want {
		t.Errorf("got %+v, want %+v", *b.Transient, want)
	}
	d, err = b.NewTransient(TransientSpec{Name: "dev", Command: []string{"serve"}})
	if err != nil || d.Spec.User != "nobody" || slices.Contains(d.Spec.Env, "HOME=/root") {
		t.Errorf("as another user: got %+v, %v", d.Spec, err)
	}
	for want, s := range map[string]TransientSpec{
		`"a b" is not a valid daemon name`:             {Name: "a b", Command: []string{"x"}},
		"a daemon cannot be called sidecar-init":       {Name: "sidecar-init", Command: []string{"x"}},
		"a daemon cannot be called ..":                 {Name: "..", Command: []string{"x"}},
		`"" is not a valid daemon name`:                {Command: []string{"x"}},
		"dev has no command":                           {Name: "dev"},
		"a NUL character cannot be given":              {Name: "dev", Command: []string{"a\x00"}},
		`must be absolute, not "srv"`:                  {Name: "dev", Command: []string{"a"}, Dir: "srv"},
		`"A" is not a variable: write NAME=VALUE`:      {Name: "dev", Command: []string{"a"}, Env: []string{"A"}},
		`"=x" is not a variable`:                       {Name: "dev", Command: []string{"a"}, Env: []string{"=x"}},
		"TOKEN_9 is private to a daemon of the bundle": {Name: "dev", Command: []string{"a"}, Env: []string{"TOKEN_9=x"}},
	} {
		if _, err := b.NewTransient(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for config, want := range map[string]string{
		"{max: 0}":         "max must be between 1",
		"{ttl: 0s}":        "ttl must be more than 0",
		"{ttl: long}":      "ttl must be a duration",
		"{users: root}":    `unknown key "users" in transient; did you mean "user"?`,
		"yes":              "transient must be a mapping",
		"{user: [nobody]}": "user must be a string",
	} {
		if _, err := loadText(t, services+"x-sidecar-init: {transient: "+config+"}", o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	if !b.Known("egress") || !b.Known("web") || b.Known("dev") {
		t.Error("what the file knows is wrong")
	}
}

// TestBring: what is brought in although its profile is not active or its scale is 0.
func TestBring(t *testing.T) {
	const file = `
services:
  a: {command: [a]}
  d: {command: [d], profiles: [debug], depends_on: [e, a, f]}
  e: {command: [e], profiles: [debug, other]}
  f: {command: [f], profiles: [far]}
  g: {command: [g], profiles: [debug]}
  none: {command: [n], scale: 0}
  zero: {command: [z], deploy: {replicas: 0}}
  three: {command: [t], scale: 3, profiles: [debug]}
`
	for _, tt := range []struct{ bring, selected, subset, want string }{
		{"d", "", "", "a d e"},
		{"none zero", "", "", "a none zero"},
		{"three", "", "", "a three-1 three-2 three-3"},
		{"a nobody", "", "", "a"},
		{"none", "a", "", "a"},
		{"none", "a none", "", "a none"},
		{"d", "", "a", "a"},
	} {
		b := mustLoad(t, file, Options{
			Bring: strings.Fields(tt.bring), Select: strings.Fields(tt.selected), Subset: tt.subset, SubsetSet: tt.subset != "",
		})
		var names []string
		for _, s := range b.Specs() {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}
