//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A peer is a supervisor that is measured.
type peer struct {
	name    string
	version []string // what prints it
	needs   []string // programs
	ours    bool
	many    bool // it supervises more than one daemon
	filters bool // what daemons write goes through it, or through a logger of its own
	// setup writes the configuration for these daemons into dir, and returns the command.
	setup func(dir string, daemons []daemon) (argv []string, err error)
	// hup is the command by which an operator sends SIGHUP to a daemon; nil if that is a signal to the supervisor.
	hup  func(dir, daemon string) []string
	stop syscall.Signal // ends all
	// config is what the page shows of setup.
	config string
}

// A daemon is one that a peer starts.
type daemon struct {
	name string
	argv []string
}

// lacks is the program that is missing, if any.
func (p *peer) lacks() string {
	for _, name := range p.needs {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

// path is where a program is, which is there.
func path(name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		return name
	}
	return p
}

// builds are ours.
func builds(files string) (all []*peer) {
	for _, file := range strings.Split(files, ",") {
		if abs, err := filepath.Abs(file); err == nil {
			file = abs
		}
		all = append(all, &peer{
			name: filepath.Base(file), version: []string{file, "version"}, needs: []string{file}, ours: true, many: true, filters: true, stop: unix.SIGTERM,
			config: "a service for each daemon, `restart: always`, `backoff: { initial: 0s }`, `signals: { HUP: { forward: … } }`",
			setup: func(dir string, daemons []daemon) ([]string, error) {
				var b strings.Builder
				fmt.Fprintf(&b, "x-sidecar-init: { signals: { HUP: { forward: %s } } }\nservices:\n", daemons[0].name)
				for _, d := range daemons {
					fmt.Fprintf(&b, "  %s:\n    command: [%s]\n    restart: always\n    x-sidecar-init: { backoff: { initial: 0s } }\n", d.name, quoted(d.argv))
				}
				config := filepath.Join(dir, "compose.yaml")
				return []string{file, "run", "-f", config, "--control", filepath.Join(dir, "control.sock")}, os.WriteFile(config, []byte(b.String()), 0o644)
			},
		})
	}
	return all
}

func peers() []*peer {
	return []*peer{
		{
			name: "supervisord", version: []string{"supervisord", "--version"}, needs: []string{"supervisord", "supervisorctl"}, many: true, filters: true, stop: unix.SIGTERM,
			config: "`autorestart=true`, `startsecs=0`, `stdout_logfile=/dev/fd/1`; SIGHUP by `supervisorctl signal`",
			setup: func(dir string, daemons []daemon) ([]string, error) {
				var b strings.Builder
				fmt.Fprintf(&b, "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%[1]s/pid\n"+
					"[unix_http_server]\nfile=%[1]s/ctl.sock\n[supervisorctl]\nserverurl=unix://%[1]s/ctl.sock\n"+
					"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n", dir)
				for _, d := range daemons {
					fmt.Fprintf(&b, "[program:%s]\ncommand=%s\nautorestart=true\nstartsecs=0\nstdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\nredirect_stderr=true\n",
						d.name, strings.Join(d.argv, " "))
				}
				file := filepath.Join(dir, "supervisord.conf")
				return []string{path("supervisord"), "-c", file}, os.WriteFile(file, []byte(b.String()), 0o644)
			},
			hup: func(dir, daemon string) []string {
				return []string{path("supervisorctl"), "-c", filepath.Join(dir, "supervisord.conf"), "signal", "HUP", daemon}
			},
		},
		{
			name: "s6", version: []string{"dpkg-query", "-f", "${Version}", "-W", "s6"}, needs: []string{"s6-svscan", "s6-svc"}, many: true, stop: unix.SIGTERM,
			config: "a service directory for each, whose `run` is a shell script with `exec`; no logger; SIGHUP by `s6-svc -h`",
			setup: func(dir string, daemons []daemon) ([]string, error) {
				return []string{path("s6-svscan"), filepath.Join(dir, "scan")}, scripts(filepath.Join(dir, "scan"), daemons)
			},
			hup: func(dir, daemon string) []string {
				return []string{path("s6-svc"), "-h", filepath.Join(dir, "scan", daemon)}
			},
		},
		{
			name: "runit", version: []string{"dpkg-query", "-f", "${Version}", "-W", "runit"}, needs: []string{"runsvdir", "sv"}, many: true, stop: unix.SIGHUP,
			config: "the same directories; SIGHUP by `sv hup`; SIGHUP to `runsvdir` ends all",
			setup: func(dir string, daemons []daemon) ([]string, error) {
				return []string{path("runsvdir"), filepath.Join(dir, "scan")}, scripts(filepath.Join(dir, "scan"), daemons)
			},
			hup: func(dir, daemon string) []string {
				return []string{path("sv"), "hup", filepath.Join(dir, "scan", daemon)}
			},
		},
		{
			name: "tini", version: []string{"tini", "--version"}, needs: []string{"tini"}, stop: unix.SIGTERM, config: "`tini -- DAEMON`: one daemon, which is not restarted",
			setup: func(_ string, daemons []daemon) ([]string, error) {
				return append([]string{path("tini"), "--"}, daemons[0].argv...), nil
			},
		},
		{
			name: "dumb-init", version: []string{"dumb-init", "--version"}, needs: []string{"dumb-init"}, stop: unix.SIGTERM, config: "`dumb-init DAEMON`: the same",
			setup: func(_ string, daemons []daemon) ([]string, error) {
				return append([]string{path("dumb-init")}, daemons[0].argv...), nil
			},
		},
	}
}

// scripts makes a directory for each daemon, as s6 and runit want it.
func scripts(dir string, daemons []daemon) error {
	for _, d := range daemons {
		service := filepath.Join(dir, d.name)
		if err := os.MkdirAll(service, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(service, "run"), []byte("#!/bin/sh\nexec "+strings.Join(d.argv, " ")+"\n"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// quoted is an argument list for a YAML sequence.
func quoted(argv []string) string {
	var q []string
	for _, a := range argv {
		q = append(q, fmt.Sprintf("%q", a))
	}
	return strings.Join(q, ", ")
}
