package main

import (
	"fmt"
	"regexp"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/probe"
	"github.com/bot-bottle/sidecar-init/internal/sdnotify"
	"github.com/bot-bottle/sidecar-init/root"
)

// probes find out whether daemons are ready and healthy.
type probes struct {
	*probe.Prober
	outputs *outputs
	told    map[string]told
}

// told is how a daemon says itself that it is ready; one of the fields is set.
type told struct {
	line   *regexp.Regexp
	socket *sdnotify.Socket
	fd     int
}

// newProbes makes the probes of the bundle, whose daemons are specs. Those with a notify socket get its address.
func newProbes(b *bundle.Bundle, specs []child.Spec, spawner child.Exec, outputs *outputs,
	printf func(format string, a ...any), tell func(daemon string, m child.Msg),
) (*probes, error) {
	p := &probes{outputs: outputs, told: map[string]told{}}
	plans := map[string]probe.Plan{}
	for i := range b.Daemons {
		d := &b.Daemons[i]
		name := d.Spec.Name
		program := func(argv []string) probe.Check {
			return probe.Exec(spawner, &child.Spec{
				Name: name, Argv: argv, Env: d.HelperEnv, Dir: d.Spec.Dir, User: d.Spec.User, Groups: d.Spec.Groups, Attr: attr(d),
			})
		}
		var plan probe.Plan
		if h := d.Health; h != nil {
			plan.Health = &probe.Health{
				Check: program(h.Test), Interval: h.Interval, StartInterval: h.StartInterval,
				Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries,
			}
		}
		if r := d.Ready; r != nil {
			how, err := newTold(r, &specs[i], printf)
			if err != nil {
				return nil, err
			}
			switch {
			case r.TCP != "":
				plan.Ready = probe.TCP(r.TCP)
			case r.HTTP != "":
				plan.Ready = probe.HTTP(r.HTTP)
			case len(r.Exec) > 0:
				plan.Ready = program(r.Exec)
			default:
				plan.Told = true
				p.told[name] = how
			}
		}
		if d.Ready != nil || d.Health != nil {
			plans[name] = plan
		}
	}
	p.Prober = probe.New(plans, tell)
	return p, nil
}

func newTold(r *bundle.Ready, spec *child.Spec, printf func(format string, a ...any)) (t told, err error) {
	switch {
	case r.Log != "":
		if t.line, err = regexp.Compile(r.Log); err != nil {
			return t, fmt.Errorf("cannot wait for the log line of %s: %w", spec.Name, err)
		}
	case r.NotifySD:
		watchdog := sdnotify.Watchdog(spec.Env)
		t.socket, err = sdnotify.Listen(sdnotify.Options{Daemon: spec.Name, Watchdog: watchdog, Printf: printf})
		if err != nil {
			return t, err
		}
		if watchdog > 0 { // some libraries look whether it is meant for them
			a := child.Attr{}
			if spec.Attr != nil {
				a = *spec.Attr
			}
			a.PIDVariable = "WATCHDOG_PID"
			spec.Attr = &a
		}
		spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], "NOTIFY_SOCKET="+t.socket.Address())
	default:
		t.fd = r.NotifyFD
	}
	return t, nil
}

// observe is root.Config.Observe.
func (p *probes) observe(e child.Event) {
	if e.Kind == root.EventShutdown {
		p.Close() // nobody waits any more
		return
	}
	p.Observe(e)
}

// open is child.Exec.Output, with what a daemon that says itself that it is ready needs for that.
func (p *probes) open(spec *child.Spec) (child.Output, error) {
	out, err := p.outputs.open(spec)
	how, ok := p.told[spec.Name]
	if err != nil || !ok || spec.Step != "" {
		return out, err
	}
	life := p.Begin(spec.Name)
	switch {
	case how.line != nil:
		p.outputs.daemons[spec.Name].SetMatch(func(line []byte) bool {
			found := how.line.Match(line)
			if found {
				life.Ready()
			}
			return found
		})
	case how.socket != nil:
		how.socket.Begin(life)
	default:
		files, closeFiles, err := sdnotify.Pipe(how.fd, life)
		if err != nil {
			out.Started()
			return child.Output{}, err
		}
		started := out.Started
		out.Extra = files
		out.Started = func() {
			closeFiles()
			started()
		}
	}
	return out, nil
}
