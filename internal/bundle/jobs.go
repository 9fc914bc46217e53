package bundle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
	"github.com/bot-bottle/sidecar-init/internal/schedule"
)

// A Job is what a daemon has that runs now and then (Compose: jobs).
type Job struct {
	// Manual: it may be run by hand.
	Manual bool
	// Triggers are when it runs by itself.
	Triggers []Trigger
	// Timeout bounds a run, its stop not counted; 0 is no bound.
	Timeout time.Duration
	// Entrypoint stands before the arguments of a run by hand that brings its own.
	Entrypoint []string
}

// A Trigger is an entry of triggers.schedule.
type Trigger struct {
	Cron     string
	Timezone string // the zone's name
	// Queue: a fire during a run waits for its turn; else it is skipped.
	Queue bool
	// SkipMissed: what could not fire in time does not at all; else one run stands for all.
	SkipMissed bool
	When       *schedule.Schedule
}

// Concurrency is Queue in the word of the file.
func (t *Trigger) Concurrency() string {
	if t.Queue {
		return "queue"
	}
	return "forbid"
}

// MissedFires is SkipMissed in the word of the file.
func (t *Trigger) MissedFires() string {
	if t.SkipMissed {
		return "skip"
	}
	return "one"
}

// kind is how a trigger is told to package child.
func (j *Job) kind() child.Trigger {
	switch {
	case j == nil:
		return ""
	case len(j.Triggers) > 0:
		return child.TriggerSchedule
	}
	return child.TriggerManual
}

// triggers are those of a job as the file has them.
type triggers struct {
	manual   *bool
	at       compose.Pos
	schedule []scheduled
	timeout  time.Duration // of x-sidecar-init
}

// scheduled is an entry of triggers.schedule.
type scheduled struct {
	at                compose.Pos
	cron, timezone    *compose.Node
	queue, skipMissed bool
}

// notOfJobs are the keys of a service that a job does not have, in Compose either.
var notOfJobs = []string{
	"attach", "container_name", "deploy", "develop", "extends", "external_links", "links", "post_start", "pre_start", "pre_stop", "provider", "restart", "scale",
}

// jobKey reads a key of a job; false is a key that nobody knows.
func (r *reader) jobKey(s *service, e compose.Entry) bool {
	switch {
	case e.Key == "triggers":
		r.triggers(s, e.Val)
	case e.Key == "name" && e.Val.Text == s.name: // docker compose config prints it, though no file may have it (compose-go 2.16.2)
	case slices.Contains(notOfJobs, e.Key):
		r.probs.Add(e.At, "a job has no %s: it runs to its end, one run at a time", e.Key)
	case e.Key == "healthcheck":
		if h := r.healthcheck(s, e.Val); h != nil {
			s.note(e.At, "the healthcheck of the job "+s.name+" is not run: what its exit code says is what counts")
		}
	default:
		return r.serviceKey(s, e)
	}
	return true
}

func (r *reader) triggers(s *service, n *compose.Node) {
	s.job.at = n.At
	r.mapping(n, "triggers", []string{"manual", "schedule"}, func(e compose.Entry) bool {
		switch e.Key {
		case "manual":
			manual := r.truth(e.Val, e.Key)
			s.job.manual = &manual
		case "schedule":
			if e.Val.Kind != compose.List {
				r.want(e.Val, e.Key, `a list, such as ["0 3 * * *"]`)
				break
			}
			for _, item := range e.Val.Items {
				r.schedule(s, item)
			}
		default:
			return false
		}
		return true
	})
	if n.Kind == compose.Dict && n.Get("manual") == nil && n.Get("schedule") == nil {
		r.probs.Add(n.At, "triggers needs manual or schedule")
	}
}

// schedule reads an entry of triggers.schedule: a crontab expression, or a mapping.
func (r *reader) schedule(s *service, n *compose.Node) {
	t := scheduled{at: n.At, cron: n}
	switch n.Kind {
	case compose.Text:
		r.str(n, "schedule")
	case compose.Dict:
		r.mapping(n, "schedule", []string{"cron", "timezone", "concurrency", "missed_fires"}, func(e compose.Entry) bool {
			switch e.Key {
			case "cron":
				t.cron = e.Val
				r.str(e.Val, e.Key)
			case "timezone":
				t.timezone = e.Val
				r.str(e.Val, e.Key)
			case "concurrency":
				t.queue = r.oneOf(e.Val, e.Key, "forbid", "queue") == "queue"
			case "missed_fires":
				t.skipMissed = r.oneOf(e.Val, e.Key, "one", "skip") == "skip"
			default:
				return false
			}
			return true
		})
		if n.Get("cron") == nil {
			r.probs.Add(n.At, "an entry of schedule needs a cron")
		}
	default:
		r.want(n, "an entry of schedule", "a crontab expression or a mapping")
	}
	if t.cron.Kind == compose.Text && !t.cron.Bad && (t.timezone == nil || t.timezone.Kind == compose.Text) {
		s.job.schedule = append(s.job.schedule, t)
	}
}

// makeJob makes the Job of s; nil where that is a service. What is wrong with its schedule counts only if it is in the bundle.
func (l *loader) makeJob(s *service) *Job {
	if s.job == nil {
		return nil
	}
	j := &Job{Manual: s.job.manual == nil || *s.job.manual, Timeout: s.job.timeout, Entrypoint: s.entrypoint}
	for _, t := range s.job.schedule {
		trigger := Trigger{Cron: strings.TrimSpace(t.cron.Text), Queue: t.queue, SkipMissed: t.skipMissed}
		zone, ok := l.zone(s, t)
		if !ok {
			continue
		}
		var err error
		if trigger.When, err = schedule.Parse(trigger.Cron, zone); err != nil {
			l.probs.Add(t.cron.At, "cron %s: %s", t.cron.Show(), compose.Phrase(err.Error()))
			continue
		}
		if beyond := schedule.Beyond(trigger.Cron); beyond != "" {
			s.note(t.cron.At, fmt.Sprintf("the schedule of %s has %s: Docker takes numbers alone", s.name, beyond))
		}
		trigger.Timezone = zone.String()
		j.Triggers = append(j.Triggers, trigger)
	}
	switch at := s.job.at; {
	case len(s.job.schedule) > 1:
		s.note(at, "the job "+s.name+" has several schedules: Docker takes one")
	case len(s.job.schedule) > 0 && s.job.manual != nil && *s.job.manual:
		s.note(at, "the job "+s.name+" has manual: true beside a schedule: Docker takes one of them")
	case len(s.job.schedule) == 0 && !j.Manual:
		s.warn(at, "the job "+s.name+" never runs: it has no schedule, and manual is false; give it one, or manual: true")
	}
	return j
}

// zone is the time zone of a trigger.
func (l *loader) zone(s *service, t scheduled) (zone *time.Location, ok bool) {
	if t.timezone != nil && t.timezone.Text != "" {
		zone, err := schedule.Zone(t.timezone.Text)
		if err != nil {
			l.probs.Add(t.timezone.At, "timezone: %s", compose.Phrase(err.Error()))
		}
		return zone, err == nil
	}
	zone, err := schedule.LocalZone(l.env.values["TZ"])
	if err != nil {
		l.probs.Add(t.at, "the schedule is in the zone of the variable TZ: %s; or give it a timezone", compose.Phrase(err.Error()))
		return nil, false
	}
	if zone.String() != "UTC" {
		s.note(t.at, fmt.Sprintf("the schedule of %s is in the zone of the variable TZ, %s; Docker takes UTC: timezone says which", s.name, zone))
	}
	return zone, true
}

// jobDependencies checks what goes wrong between jobs and services.
func (g *graph) jobDependencies() {
	for _, s := range g.services {
		for _, d := range s.dependsOn {
			if on := g.byName[d.Name]; on != nil && on.job != nil && s.job == nil {
				g.probs.Add(d.name.At, "the service %s cannot depend on the job %s, which runs now and then: make that a service without restart, and wait for service_completed_successfully",
					s.name, on.name)
			}
		}
	}
}
