package child

import (
	"os/user"
	"slices"
	"testing"
)

func TestEnviron(t *testing.T) {
	root, err := user.Lookup("root")
	if err != nil {
		t.Skipf("/etc/passwd has no root: %v", err)
	}
	for _, tt := range []struct {
		name, user string
		env, want  []string
	}{
		{name: "no user", env: []string{"A=b"}, want: []string{"A=b"}},
		{name: "a group alone", user: ":0", env: []string{"A=b"}, want: []string{"A=b"}},
		{name: "a name", user: "root", env: []string{"A=b"}, want: []string{"A=b", "HOME=" + root.HomeDir}},
		{name: "a number", user: "0", want: []string{"HOME=" + root.HomeDir}},
		{name: "with a group", user: "root:12345", want: []string{"HOME=" + root.HomeDir}},
		{name: "a number without an entry", user: "4210042", want: []string{"HOME=/"}},
		{name: "somebody unknown", user: "nosuchuser", want: []string{"HOME=/"}},
		{name: "given", user: "root", env: []string{"HOME=/x", "A=b"}, want: []string{"HOME=/x", "A=b"}},
		{name: "given as empty", user: "root", env: []string{"HOME="}, want: []string{"HOME="}},
		{name: "another name", user: "4210042", env: []string{"HOMER=x"}, want: []string{"HOMER=x", "HOME=/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := append(make([]string, 0, 8), tt.env...)
			if got := environ(&Program{User: tt.user, Env: env}); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if spare := env[:cap(env)][len(env)]; spare != "" {
				t.Errorf("the array of Program.Env was written to: %q", spare)
			}
		})
	}
}
