package child

import (
	"slices"
	"strings"
)

// environ is the environment of the process. With a user comes HOME, as with login and in Docker: programs that find
// another one's there (git, npm, ssh, pip) write to what is not theirs, or fail.
func environ(p *Program) []string {
	name, _, _ := strings.Cut(p.User, ":")
	if name == "" || slices.ContainsFunc(p.Env, func(kv string) bool { return strings.HasPrefix(kv, "HOME=") }) {
		return p.Env
	}
	home := "/"
	if _, u, err := findUser(name); err == nil && u != nil && u.HomeDir != "" {
		home = u.HomeDir
	}
	return append(slices.Clip(p.Env), "HOME="+home)
}
