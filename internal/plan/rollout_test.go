package plan_test

import (
	"reflect"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/plan"
)

// TestRollouts: what changes a batch at a time, in which order, and what comes after it.
func TestRollouts(t *testing.T) {
	file := func(version string) *bundle.Bundle {
		return load(t, `
services:
  proxy: { command: [p, `+version+`], depends_on: { web: { condition: service_started, restart: true } } }
  web: { command: [w, `+version+`], scale: 3, depends_on: [api], deploy: { update_config: { parallelism: 2 } } }
  api: { command: [a, `+version+`], scale: 2, depends_on: [db], deploy: { update_config: { parallelism: 0 } } }
  follower: { command: [f], depends_on: { web: { condition: service_started, restart: true } } }
  db: { command: [d, `+version+`] }
  all: { command: [x, `+version+`], scale: 2 }
  one: { command: [x, `+version+`], deploy: { update_config: { delay: 1s } } }
  same: { command: [x], scale: 2, depends_on: [web], deploy: { update_config: { delay: 1s } } }
`)
	}
	old, next := file("v1"), file("v2")
	p := plan.New(old, next, running(old, nil))
	rollouts := p.Rollouts(old, next)
	var got [][][]string
	for _, r := range rollouts {
		got = append(got, r.Batches())
	}
	if want := [][][]string{{{"api-1", "api-2"}}, {{"web-1", "web-2"}, {"web-3"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got the batches %v, want %v", got, want)
	}
	if got, want := p.Later(old, next, rollouts), []string{"proxy"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v later, want %v", got, want)
	}

	held := map[string]bool{"proxy": true, "web-3": true}
	rolling := map[string]bool{"web-1": true, "web-2": true, "web-3": true}
	between := plan.Between(old, next, held, rolling)
	for i := range between.Daemons {
		d := &between.Daemons[i]
		want := next
		if held[d.Spec.Name] {
			want = old
		}
		if got, want := d.Spec.Argv, want.Daemons[i].Spec.Argv; !reflect.DeepEqual(got, want) {
			t.Errorf("between, %s is %v, want %v", d.Spec.Name, got, want)
		}
	}
	if q := plan.New(between, next, running(old, nil)); !reflect.DeepEqual(q.Started(), []string{"proxy", "web-3", "follower"}) {
		t.Errorf("what is left to do: got\n%swant proxy, web-3 and follower restarted", q.Text())
	}
	// Nobody is restarted after a part of the service, but all are still in one order.
	q := plan.New(old, between, running(old, nil))
	if q.Action("proxy") != plan.Update || len(between.Daemons[0].Spec.After) != 3 {
		t.Errorf("proxy in the middle: got %q, after %v", q.Action("proxy"), between.Daemons[0].Spec.After)
	}
	if plan.Between(old, next, nil, nil) != next {
		t.Error("with nobody held it is not the next one")
	}
	// A service that is restarted only since another one is changes at once.
	if got := plan.New(old, old, running(old, nil)).Rollouts(old, old); got != nil {
		t.Errorf("without a change: got %v", got)
	}
}
