//go:build linux

package main

import (
	"os"
	"syscall"
	"testing"
)

// TestAttributes reads back, from what the kernel says of the daemons, what the file asks for.
func TestAttributes(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root has capabilities and can start a daemon of another user")
	}
	look := "status Uid CapBnd CapEff CapAmb NoNewPrivs; exec /bin/cat /proc/self/oom_score_adj /proc/self/limits"
	s := start(t, call{bundle: services(
		daemon("root", look, "cap_drop: [ALL]", "cap_add: [CHOWN, cap_kill]", "oom_score_adj: 500",
			"ulimits: { nofile: 100, nproc: { soft: 1000, hard: 2000 }, core: 0 }"),
		daemon("user", look, `user: "4242"`, "cap_drop: [ALL]", "cap_add: [NET_BIND_SERVICE]", `security_opt: ["no-new-privileges:true"]`),
		daemon("plain", "status NoNewPrivs CapAmb"),
		daemon("masked", "status Umask Cpus_allowed_list", "umask: 027", "cpuset: '0'"),
	)})
	s.exit(0)
	s.expect(
		"[root] Uid 0 0 0 0", "[root] CapBnd 0000000000000021", "[root] CapEff 0000000000000021", "[root] CapAmb 0000000000000000",
		"[root] NoNewPrivs 0", "[root] 500",
		"[user] Uid 4242 4242 4242 4242", "[user] CapBnd 0000000000000400", "[user] CapEff 0000000000000400", "[user] CapAmb 0000000000000400",
		"[user] NoNewPrivs 1",
		"[masked] Umask 0027", "[masked] Cpus_allowed_list 0",
		"[plain] NoNewPrivs 0", "[plain] CapAmb 0000000000000000",
	)
	s.match(`\[root\] Max open files +100 +100 +files *`)
	s.match(`\[root\] Max processes +1000 +2000 +processes *`)
	s.match(`\[root\] Max core file size +0 +0 +bytes *`)
}

// TestAttributesEverywhere: what takes away works for everybody, for steps and probes too; what cannot be given is told.
func TestAttributesEverywhere(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		looks := "[grep, -q, 'NoNewPrivs:.1', /proc/self/status]"
		s := start(t, call{place: p, bundle: services(
			daemon("web", "status NoNewPrivs; block", `security_opt: ["no-new-privileges:true"]`, ready("exec: "+looks),
				"pre_start: [ { command: "+looks+" } ]", "post_start: [ { command: "+looks+" } ]"),
			daemon("dropped", "status CapEff; block", "cap_drop: [ALL]"),
			"  missing: { command: [/no/such], ulimits: { core: 0 } }\n",
			daemon("greedy", "exit 0", "ulimits: { nofile: 1000000000000 }"),
		)})
		s.expect(
			"[web] NoNewPrivs 1", "sidecar-init: web is ready", "[dropped] CapEff 0000000000000000",
			"sidecar-init: missing cannot be started: /no/such: no such file or directory",
			"sidecar-init: greedy cannot be started: ulimit nofile 1000000000000:1000000000000: operation not permitted",
		)
		s.signal(syscall.SIGTERM)
		s.exit(127)
		s.never("sidecar-init: web is unhealthy.*")
	})
}

// TestCannotAdd: a capability that the supervisor does not have cannot be given.
func TestCannotAdd(t *testing.T) {
	t.Parallel()
	asNobody.require(t)
	s := start(t, call{place: asNobody, bundle: services(daemon("web", "exit 0", "cap_add: [NET_ADMIN]"))})
	s.exit(126)
	s.expect("sidecar-init: web cannot be started: cannot add capabilities that the supervisor does not have: NET_ADMIN")
}

// TestWatchdogPID: a daemon whose watchdog is on finds its own process ID, as the libraries want it.
func TestWatchdogPID(t *testing.T) {
	t.Parallel()
	s := start(t, call{bundle: services(daemon("web", "env WATCHDOG_PID; pid", ready("notify: sd"), "environment: { WATCHDOG_USEC: 60000000 }"))})
	s.exit(0)
	pid := s.match(`\[web\] pid (\d+)`)[0]
	s.expect("[web] WATCHDOG_PID=" + pid)
}

// TestHome: a daemon with a user has that user's HOME, and so have its steps and probes.
func TestHome(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a daemon of another user")
	}
	test := func(home string) string { return "[/bin/sh, -c, 'test \"$$HOME\" = " + home + "']" }
	s := start(t, call{env: []string{"HOME=/supervisor"}, bundle: services(
		daemon("plain", "env HOME"),
		daemon("root", "env HOME", "user: root"),
		daemon("number", "env HOME; block", `user: "4242"`, "cap_drop: [ALL]", ready("exec: "+test("/")),
			"pre_start: [ { command: "+test("/")+" }, { command: "+test("/root")+", user: root } ]"),
		daemon("given", "env HOME", `user: "4242"`, "environment: { HOME: /given }"),
		daemon("asked", "env HOME", `user: "4242"`, "environment: [HOME]"),
	)})
	s.expect(
		"[plain] HOME=/supervisor", "[root] HOME=/root", "[number] HOME=/", "[given] HOME=/given", "[asked] HOME=/supervisor",
		"sidecar-init: number is ready",
	)
	s.signal(syscall.SIGTERM)
	s.exit(0)
}
