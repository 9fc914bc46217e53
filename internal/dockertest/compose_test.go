//go:build docker

package dockertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/plan"
)

// A composition is a Compose file with a project of its own.
type composition struct {
	t             *testing.T
	file, project string
}

func (c *composition) compose(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("docker-compose", append([]string{"-f", c.file, "-p", c.project}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("docker-compose %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// containers are the IDs of each service's containers.
func (c *composition) containers(services []string) map[string][]string {
	all := map[string][]string{}
	for _, s := range services {
		all[s] = strings.Fields(c.compose("ps", "-q", s))
	}
	return all
}

// TestComposeRecreates: whatever a reload restarts for another Compose file, docker-compose up recreates too: the reload is the
// gentler of the two.
func TestComposeRecreates(t *testing.T) {
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Skip("there is no docker-compose (Debian package docker-compose)")
	}
	c := &composition{t: t, file: filepath.Join(t.TempDir(), "compose.yaml"), project: fmt.Sprintf("sidecarinit%d", os.Getpid())}
	services := []string{"web", "db", "worker"}
	file := func(web, db, worker string) string {
		one := func(name, keys string) string {
			return fmt.Sprintf("  %s:\n    image: %s\n    entrypoint: [/testdaemon]\n    stop_signal: SIGKILL\n%s", name, image, keys)
		}
		return "version: '3.8'\nservices:\n" + one("web", web) + one("db", db) + one("worker", worker)
	}
	const block = "    command: [block]\n"
	write := func(text string) *bundle.Bundle {
		t.Helper()
		if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Load(bundle.Options{Files: []string{c.file}, Env: []string{"PATH=/"}})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return b
	}
	defer c.compose("down", "-t", "0")
	first := file(block, block+"    restart: 'no'\n", block)
	restarts := 0
	for _, tt := range []struct{ name, text string }{
		{"nothing", first},
		{"comments", "# a comment\n" + first},
		{"command", file("    command: [print up; block]\n", block, block)},
		{"environment", file(block+"    environment: { A: b }\n", block, block)},
		{"user", file(block, block+"    user: '1000'\n", block)},
		{"working directory", file(block, block, block+"    working_dir: /proc\n")},
		{"capabilities", file(block, block+"    cap_drop: [ALL]\n", block+"    cap_add: [KILL]\n")},
		{"limits", file(block+"    ulimits: { nofile: 100 }\n", block, block)},
		{"security", file(block, block+"    security_opt: ['no-new-privileges:true']\n", block)},
		{"restart", file(block+"    restart: always\n", block, block)},
		{"grace", file(block+"    stop_grace_period: 3s\n", block, block)},
		{"labels", file(block+"    labels: { a: b }\n", block, block)},
		{"health", file(block, block+"    healthcheck: { test: [CMD, /testdaemon, exit 0] }\n", block)},
		{"dependencies", file(block+"    depends_on: [db]\n", block, block)},
		{"several", file(block+"    environment: [A=c]\n    restart: always\n", block+"    labels: [x=y]\n", "    command: [print x; block]\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			old := write(first)
			c.compose("up", "-d", "-t", "0")
			before := c.containers(services)
			next := write(tt.text)
			c.compose("up", "-d", "-t", "0")
			after := c.containers(services)
			states := map[string]child.State{}
			for _, s := range services {
				states[s] = child.StateRunning
			}
			p := plan.New(old, next, states)
			for _, s := range services {
				recreated := !slices.Equal(before[s], after[s])
				if p.Action(s) == plan.Restart {
					restarts++
					if !recreated {
						t.Errorf("a reload restarts %s, docker-compose does not\n%s", s, p.Text())
					}
				}
			}
		})
	}
	c.t = t
	if restarts < 9 {
		t.Errorf("only %d restarts were compared", restarts)
	}
}
