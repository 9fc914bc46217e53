//go:build linux && (amd64 || arm64)

package main

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

// withoutLandlock is the filter of a profile that refuses it.
func withoutLandlock() []string {
	for _, f := range seccomp.Features() {
		if f.Name == "Landlock" {
			return f.Refuse(unix.EPERM).Prefix()
		}
	}
	panic("there is no feature Landlock")
}

// TestNoLandlock: where the kernel has no Landlock a line says so, and the supervisor is undumpable if it has something private.
func TestNoLandlock(t *testing.T) {
	t.Parallel()
	asNobody.require(t)
	const read = "; if head -c 1 /proc/1/maps >/dev/null 2>&1; then echo reads; else echo no; fi'] }\n"
	for _, tt := range []struct {
		name, keys, env string
		answer          string
		lines           []string
	}{
		{
			"something private", "x-sidecar-init: { private_env: [TOKEN] }", "TOKEN=x", "no",
			[]string{
				"warning: there can be no walls: no Landlock", "warning: private variables: TOKEN of owner: by environment only: no Landlock",
				"the supervisor is undumpable instead: without CAP_SYS_PTRACE its memory cannot be read, nor can /proc/1/fd be opened",
			},
		},
		{
			"it is not set", "x-sidecar-init: { private_env: [TOKEN] }", "OTHER=x", "reads",
			[]string{"warning: there can be no walls: no Landlock", "warning: private variables: TOKEN of owner: by environment only: no Landlock"},
		},
		{"nothing private", "", "TOKEN=x", "reads", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, call{place: asNobody, program: shipped(), prefix: withoutLandlock(), env: []string{tt.env}, bundle: services(
				daemon("owner", "exit 0", tt.keys, "ulimits: { nofile: 200 }"), "  other: { command: [sh, -c, 'true"+read)})
			s.exit(0)
			s.expect("[other] " + tt.answer)
			for _, line := range tt.lines {
				s.expect("sidecar-init: " + line)
			}
			if got := s.count("sidecar-init: warning.*|sidecar-init: the supervisor is undumpable.*"); got != len(tt.lines) {
				t.Errorf("got %d lines about it, want %d", got, len(tt.lines))
			}
		})
	}
}

// TestRequiredLandlock: what must hold and does not is exit code 78, before anything is started.
func TestRequiredLandlock(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, bundle, want string }{
		{
			"walls", "x-sidecar-init: { walls: required }\n" + services(daemon("a", "exit 0", "x-sidecar-init: { private_env: [TOKEN] }")),
			"compose.yaml:1:19: walls are required, and the private variables TOKEN of a: by environment only: no Landlock\n",
		},
		{
			"read_only", services(daemon("a", "exit 0", "read_only: true")),
			"compose.yaml:4:5: read_only: / can be written to, and there is no Landlock that could keep a from it; start the container with --read-only, or on a kernel with Landlock (Linux 5.19)\n",
		},
	} {
		s := start(t, call{place: subreaper, program: shipped(), prefix: withoutLandlock(), bundle: tt.bundle})
		if code := s.wait(); code != exitConfig || !strings.HasSuffix(s.output(), tt.want) {
			t.Errorf("%s: got exit code %d, %q, want %d, %q", tt.name, code, s.output(), exitConfig, tt.want)
		}
	}
}

// TestPartOfLandlock: a profile that refuses one call of Landlock refuses it whole, and every daemon starts.
func TestPartOfLandlock(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} {
		for _, errno := range []syscall.Errno{unix.EPERM, unix.ENOSYS} {
			s := start(t, call{place: subreaper, program: shipped(), prefix: seccomp.Refuse(errno, refused).Prefix(), env: []string{"TOKEN=x"}, bundle: services(
				daemon("owner", "print up", "x-sidecar-init: { private_env: [TOKEN] }"), daemon("other", "print up"))})
			s.exit(0)
			s.expect("sidecar-init: warning: there can be no walls: no Landlock", "[owner] up", "[other] up")
		}
	}
}
