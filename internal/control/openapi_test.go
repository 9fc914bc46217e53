package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// An api is docs/openapi.yaml.
type api struct {
	t    *testing.T
	root map[string]any
}

func openAPI(t *testing.T) *api {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t: t}
	if err := yaml.Unmarshal(text, &a.root); err != nil {
		t.Fatal(err)
	}
	return a
}

// at returns what is at a path of keys, through references.
func (a *api) at(keys ...string) map[string]any {
	a.t.Helper()
	v := any(a.root)
	for _, key := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			a.t.Fatalf("docs/openapi.yaml has nothing at %s", strings.Join(keys, " "))
		}
		v = a.resolve(m[key])
	}
	return v.(map[string]any)
}

func (a *api) resolve(v any) any {
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok {
			return a.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return v
}

// TestOpenAPIRoutes: the description has each route of the server, with its method, and no other.
func TestOpenAPIRoutes(t *testing.T) {
	a := openAPI(t)
	var got, want []string
	for path, item := range a.at("paths") {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				got = append(got, strings.ToUpper(method)+" "+path)
			}
		}
	}
	for _, r := range (&Server{}).table() {
		want = append(want, r.method+" "+r.path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the description has\n%s\nthe server\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestOpenAPIFields: each schema has the fields of its Go type, and those are required that are always there.
func TestOpenAPIFields(t *testing.T) {
	a := openAPI(t)
	types := map[string]any{
		"Daemon": client.Daemon{}, "Exit": client.Exit{}, "Health": client.Health{}, "Problem": client.Problem{},
		"LogLine": client.LogLine{}, "Bundle": client.Bundle{}, "ReloadStep": client.ReloadStep{}, "Transient": client.Transient{}, "Job": client.Job{}, "Schedule": client.Schedule{}, "Run": client.Run{}, "Event": client.Event{}, "EventData": client.EventData{}, "Error": failure{},
	}
	for name, v := range types {
		schema := a.at("components", "schemas", name)
		var fields, required []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if tag == "-" {
				continue
			}
			fields = append(fields, tag)
			if options == "" {
				required = append(required, tag)
			}
		}
		got := slices.Sorted(maps.Keys(schema["properties"].(map[string]any)))
		slices.Sort(fields)
		if !slices.Equal(got, fields) {
			t.Errorf("%s has the properties %v, the type %v", name, got, fields)
		}
		var must []string
		for _, r := range schema["required"].([]any) {
			must = append(must, r.(string))
		}
		slices.Sort(must)
		slices.Sort(required)
		if !slices.Equal(must, required) {
			t.Errorf("%s requires %v, the type always has %v", name, must, required)
		}
	}
	states := a.at("components", "schemas", "State")["enum"].([]any)
	if len(states) != 12 || !slices.Contains(states, any(string(client.StateGaveUp))) {
		t.Errorf("the states are %v", states)
	}
}

// check reports how v differs from a schema, of which it knows as much as is used.
func (a *api) check(schema map[string]any, v any) error {
	schema = a.resolve(schema).(map[string]any)
	if options, ok := schema["oneOf"].([]any); ok {
		var all []string
		fits := 0
		for _, o := range options {
			if err := a.check(o.(map[string]any), v); err != nil {
				all = append(all, err.Error())
			} else {
				fits++
			}
		}
		if fits != 1 {
			return fmt.Errorf("%d of oneOf fit: %s", fits, strings.Join(all, " | "))
		}
		return nil
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%v is none of %v", v, enum)
	}
	if want := schema["type"]; want != nil {
		if list, ok := want.([]any); ok {
			if !slices.ContainsFunc(list, func(w any) bool { return w == kind(v) || w == "number" && kind(v) == "integer" }) {
				return fmt.Errorf("%v is no %v", v, want)
			}
		} else if want != kind(v) && !(want == "number" && kind(v) == "integer") {
			return fmt.Errorf("%v is no %v", v, want)
		}
	}
	switch v := v.(type) {
	case string:
		if schema["format"] == "date-time" {
			_, err := time.Parse(time.RFC3339Nano, v)
			return err
		}
	case []any:
		for i, item := range v {
			if err := a.check(schema["items"].(map[string]any), item); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
	case map[string]any:
		if required, ok := schema["required"].([]any); ok {
			for _, r := range required {
				if _, ok := v[r.(string)]; !ok {
					return fmt.Errorf("%s is missing", r)
				}
			}
		}
		properties, _ := schema["properties"].(map[string]any)
		for key, value := range v {
			property, ok := properties[key].(map[string]any)
			if !ok {
				if property, ok = schema["additionalProperties"].(map[string]any); !ok {
					return fmt.Errorf("%s is not described", key)
				}
			}
			if err := a.check(property, value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// TestOpenAPIAnswers: what the server answers is as described, for each route with each status that a client can cause.
func TestOpenAPIAnswers(t *testing.T) {
	a := openAPI(t)
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{
		"gone": {{StartError: &child.StartError{Reason: "not found", Code: 127}}},
		"deaf": {{On: testproc.Reactions{syscall.SIGTERM: {Ignore: true}}}},
	}}
	b := start(t, fake, spec("web"), spec("gone"), spec("deaf", func(s *child.Spec) { s.StopGrace = time.Minute }),
		spec("r-1", func(s *child.Spec) { s.Service = "r" }), spec("r-2", func(s *child.Spec) { s.Service = "r" }))
	b.await("web", client.StateRunning)
	b.await("gone", client.StateExited)
	b.await("deaf", client.StateRunning)
	b.await("r-2", client.StateRunning)
	b.line("web", "hello \xff")
	fake.End("r-2", child.Exit{Signal: syscall.SIGSEGV, CPU: time.Second})
	b.await("r-2", client.StateExited)
	if err := a.check(a.at("components", "schemas", "Event"), roundTrip(t, events.LostEvent(3, "/shop", time.Now()))); err != nil {
		t.Errorf("an event about lost ones: %v", err)
	}
	if err := a.check(a.at("components", "schemas", "LogLine"), roundTrip(t, client.LogLine{Lost: 3, Partial: true, Stream: "stdout"})); err != nil {
		t.Errorf("a line about lost ones: %v", err)
	}

	for _, tt := range []struct {
		method, path, request, body string
		status                      int
	}{
		{"GET", "/v1/daemons", "/v1/daemons?name=web&name=r", "", 200},
		{"GET", "/v1/daemons", "/v1/daemons", "", 200},
		{"GET", "/v1/daemons", "/v1/daemons?name=x", "", 404},
		{"GET", "/v1/daemons/{name}", "/v1/daemons/web", "", 200},
		{"GET", "/v1/daemons/{name}", "/v1/daemons/r", "", 200},
		{"GET", "/v1/daemons/{name}", "/v1/daemons/x", "", 404},
		{"PUT", "/v1/daemons/{name}", "/v1/daemons/web", `{"command":["a"]}`, 200},
		{"PUT", "/v1/daemons/{name}", "/v1/daemons/web", `{"command":[]}`, 400},
		{"PUT", "/v1/daemons/{name}", "/v1/daemons/web", `{"shell":true}`, 400},
		{"DELETE", "/v1/daemons/{name}", "/v1/daemons/web", "", 200},
		{"DELETE", "/v1/daemons/{name}", "/v1/daemons/x", "", 404},
		{"GET", "/v1/daemons/{name}/logs", "/v1/daemons/web/logs?lines=3", "", 200},
		{"GET", "/v1/daemons/{name}/logs", "/v1/daemons/web/logs?lines=x", "", 400},
		{"GET", "/v1/daemons/{name}/logs", "/v1/daemons/x/logs", "", 404},
		{"POST", "/v1/daemons/{name}/start", "/v1/daemons/r/start", "", 200},
		{"POST", "/v1/daemons/{name}/start", "/v1/daemons/gone/start", "", 500},
		{"POST", "/v1/daemons/{name}/start", "/v1/daemons/gone/start?timeout=x", "", 400},
		{"POST", "/v1/daemons/{name}/start", "/v1/daemons/x/start", "", 404},
		{"POST", "/v1/daemons/{name}/stop", "/v1/daemons/r/stop", "", 200},
		{"POST", "/v1/daemons/{name}/stop", "/v1/daemons/deaf/stop?timeout=1ms", "", 504},
		{"POST", "/v1/daemons/{name}/restart", "/v1/daemons/web/restart", "", 200},
		{"POST", "/v1/daemons/{name}/restart", "/v1/daemons/gone/restart", "", 500},
		{"POST", "/v1/daemons/{name}/signal", "/v1/daemons/web/signal", `{"signal":"USR1"}`, 200},
		{"POST", "/v1/daemons/{name}/signal", "/v1/daemons/gone/signal", `{"signal":"USR1"}`, 409},
		{"POST", "/v1/daemons/{name}/signal", "/v1/daemons/web/signal", `{"signal":"X"}`, 400},
		{"GET", "/v1/logs", "/v1/logs?name=web&name=r&lines=3", "", 200},
		{"GET", "/v1/logs", "/v1/logs?name=x", "", 404},
		{"GET", "/v1/logs", "/v1/logs?follow=x", "", 400},
		{"GET", "/v1/events", "/v1/events", "", 200},
		{"GET", "/v1/events", "/v1/events?follow=x", "", 400},
		{"GET", "/v1/wait", "/v1/wait?for=exited&name=gone", "", 200},
		{"GET", "/v1/wait", "/v1/wait?timeout=1ms", "", 504},
		{"GET", "/v1/wait", "/v1/wait?for=x", "", 400},
		{"GET", "/v1/wait", "/v1/wait?name=x", "", 404},
		{"GET", "/v1/healthy", "/v1/healthy", "", 503},
		{"GET", "/v1/bundle", "/v1/bundle", "", 200},
		{"POST", "/v1/reload", "/v1/reload?dry_run=1", "", 200},
		{"POST", "/v1/reload", "/v1/reload?timeout=x", "", 400},
		{"POST", "/v1/reload", "/v1/reload?timeout=1h", "", 422},
		{"POST", "/v1/reload", "/v1/reload?rollback=1", "", 500},
		{"POST", "/v1/reload", "/v1/reload?timeout=1ms", "", 504},
		{"GET", "/metrics", "/metrics", "", 200},
	} {
		t.Run(fmt.Sprint(tt.method, " ", tt.request, " ", tt.status), func(t *testing.T) {
			a.t = t
			resp := b.request(tt.method, tt.request, tt.body)
			if resp.status != tt.status {
				t.Fatalf("got %d %s, want %d", resp.status, resp.body, tt.status)
			}
			content := a.at("paths", tt.path, strings.ToLower(tt.method), "responses", fmt.Sprint(resp.status), "content")
			media, _, _ := strings.Cut(resp.header.Get("Content-Type"), ";")
			described, ok := content[media].(map[string]any)
			switch {
			case !ok:
				t.Errorf("the answer is %s, described is %v", media, slices.Collect(maps.Keys(content)))
				return
			case media == "text/plain":
				return
			}
			values := 0
			for dec := json.NewDecoder(strings.NewReader(resp.body)); dec.More(); values++ {
				var v any
				if err := dec.Decode(&v); err != nil {
					t.Fatal(err)
				}
				if err := a.check(described["schema"].(map[string]any), v); err != nil {
					t.Errorf("%v\n%s", err, resp.body)
				}
			}
			if values == 0 {
				t.Error("the answer has no value")
			}
		})
	}
	a.t = t
	b.shutdown()
	for path := range a.at("paths") {
		if resp := b.request("GET", strings.ReplaceAll(path, "{name}", "web"), ""); resp.status == 503 {
			a.at("paths", path, "get", "responses", "503")
		}
	}
}

// roundTrip returns v as a client sees it.
func roundTrip(t *testing.T, v any) any {
	t.Helper()
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
