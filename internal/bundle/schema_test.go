package bundle

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	schemaFile    = "../../docs/sidecar-init.schema.json"
	composeSchema = "https://raw.githubusercontent.com/compose-spec/compose-spec/main/schema/compose-spec.json"
)

// golden compares got with a file, or rewrites it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not up to date: go test ./internal/bundle -update rewrites it\n%s", path, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + strings.Join(w[min(i, len(w)):min(i+1, len(w))], "")
		}
	}
	return "got less"
}

type object = map[string]any

// schemaOf is the JSON Schema of a type of schema.go.
func schemaOf(t reflect.Type) object {
	oneOrList := func() object {
		return object{"oneOf": []any{object{"type": "string"}, object{"type": "array", "items": object{"type": "string"}, "minItems": 1}}}
	}
	switch t {
	case reflect.TypeFor[durationSchema]():
		return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h|d|w))+$|^0$|\$`}
	case reflect.TypeFor[holdSchema]():
		return object{"oneOf": []any{schemaOf(reflect.TypeFor[durationSchema]()), object{"const": 0}}}
	case reflect.TypeFor[sizeSchema]():
		return object{
			"type": []string{"integer", "string"}, "minimum": 1024, "maximum": 1 << 20,
			"pattern": `^[0-9]+(\.[0-9]+)? ?([kKmM][iI]?)?[bB]?$|\$`,
		}
	case reflect.TypeFor[codesSchema]():
		return object{"type": "array", "items": object{"type": []string{"integer", "string"}, "minimum": 0, "maximum": 255, "pattern": `^[0-9]+$|\$`}}
	case reflect.TypeFor[endingsSchema]():
		return object{"type": "array", "items": object{"type": []string{"integer", "string"}, "minimum": 0, "maximum": 255}}
	case reflect.TypeFor[nameSchema](), reflect.TypeFor[commandSchema]():
		return oneOrList()
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool: // a string is what interpolation starts from
		return object{"type": []string{"boolean", "string"}}
	case reflect.Int:
		return object{"type": []string{"integer", "string"}, "minimum": 1}
	case reflect.Interface:
		return object{"type": []string{"integer", "string"}, "minimum": 1, "maximum": 65535}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return object{
			"type": "object", "additionalProperties": schemaOf(t.Elem()),
			"propertyNames": object{"pattern": "^((SIG)?([A-Z]+[0-9]?|RTM(IN|AX)([+-][0-9]+)?)|[0-9]+)$"},
		}
	}
	out := object{"type": "object", "additionalProperties": false}
	properties := object{}
	for i := range t.NumField() {
		field := t.Field(i)
		if keys := field.Tag.Get("oneOf"); keys != "" {
			if t.NumField() == len(strings.Split(keys, ","))+1 {
				out["minProperties"], out["maxProperties"] = 1, 1
				continue
			}
			var ways []any // there are other keys too
			for key := range strings.SplitSeq(keys, ",") {
				ways = append(ways, object{"required": []string{key}})
			}
			out["oneOf"] = ways
			continue
		}
		if keys := field.Tag.Get("required"); keys != "" {
			out["required"] = strings.Split(keys, ",")
			continue
		}
		property := schemaOf(field.Type)
		property["description"] = field.Tag.Get("doc")
		if enum := field.Tag.Get("enum"); enum != "" {
			property["enum"] = strings.Split(enum, ",")
		}
		if pattern := field.Tag.Get("pattern"); pattern != "" {
			property["pattern"] = pattern + `|\$`
		}
		properties[field.Tag.Get("json")] = property
	}
	out["properties"] = properties
	return out
}

// wholeSchema is that of a bundle file: the Compose Specification's, and the own keys.
func wholeSchema() object {
	return object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "A bundle file of sidecar-init",
		"description": "A Compose file with the x-sidecar-init keys. Generated from internal/bundle/schema.go.",
		"allOf":       []any{object{"$ref": composeSchema}},
		"properties": object{
			"x-sidecar-init": object{"$ref": "#/$defs/top"},
			"services": object{
				"additionalProperties": object{"properties": object{"x-sidecar-init": object{"$ref": "#/$defs/service"}}},
			},
			"jobs": object{
				"additionalProperties": object{"properties": object{"x-sidecar-init": object{"$ref": "#/$defs/job"}}},
			},
		},
		"$defs": object{"top": schemaOf(reflect.TypeFor[topSchema]()), "service": schemaOf(reflect.TypeFor[serviceSchema]()), "job": schemaOf(reflect.TypeFor[jobSchema]())},
	}
}

func TestSchemaFile(t *testing.T) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(wholeSchema()); err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, out.String())
}

// TestSchemaKeys: the schema has the keys that the reader knows.
func TestSchemaKeys(t *testing.T) {
	tests := []struct {
		of   reflect.Type
		want []string
	}{
		{reflect.TypeFor[topSchema](), topKeys},
		{reflect.TypeFor[serviceSchema](), ownKeys},
		{reflect.TypeFor[jobSchema](), jobKeys},
		{reflect.TypeFor[readySchema](), append(slices.Clip(readyKeys), "timeout")},
		{reflect.TypeFor[watchSchema](), watchKeys},
	}
	for _, tt := range tests {
		got := keysOf(schemaOf(tt.of)["properties"].(object))
		if want := slices.Sorted(slices.Values(tt.want)); !slices.Equal(got, want) {
			t.Errorf("%s: got keys %v, want %v", tt.of, got, want)
		}
	}
}

// TestSchemaAgrees: schema and reader accept and refuse the same.
func TestSchemaAgrees(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	add := func(name, text string) {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
	}
	add(composeSchema, schema.Schema)
	text, err := json.Marshal(wholeSchema())
	if err != nil {
		t.Fatal(err)
	}
	add("bundle.json", string(text))
	compiled, err := compiler.Compile("bundle.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		where, yaml string
		ok          bool
	}{
		{"top", `{grace_period: 8s}`, true},
		{"top", `{grace_period: 1m30.5s}`, true},
		{"top", `{grace_period: 8}`, false},
		{"top", `{grace_period: soon}`, false},
		{"top", `{grace: 8s}`, false},
		{"top", `{x-note: 8s}`, false},
		{"top", `{signals: {HUP: {forward: a}, SIGUSR1: {restart: [a, b]}, "10": {forward: b, restart: a}, RTMIN+1: {forward: a}}}`, false}, // 10 is USR1
		{"top", `{signals: {HUP: {forward: a}, SIGUSR1: {restart: [a, b]}, "12": {forward: b, restart: a}, RTMIN+1: {forward: a}}}`, true},
		{"top", `{signals: {HUP: {reread: a}}}`, false},
		{"top", `{signals: {WINCH: {shutdown: true}, RTMIN+3: {shutdown: true}, SIGPWR: {shutdown: "yes", forward: a}, CONT: {shutdown: false, restart: a}}}`, true},
		{"top", `{signals: {WINCH: {shutdown: [a]}}}`, false},
		{"top", `{signals: {HUP: {reload: true, forward: a}}}`, true},
		{"top", `{signals: {HUP: a}}`, false},
		{"top", `{signals: [HUP]}`, false},
		{"top", `{notify: [{url: "http://h/x"}, {url: "unix:///s"}, {url: "exec:/p"}, {exec: [/p, x]}]}`, true},
		{"top", `{notify: [{url: "ftp://h/x"}]}`, false},
		{"top", `{notify: [{}]}`, false},
		{"top", `{notify: [{url: "http://h", exec: [/p]}]}`, false},
		{"top", `{notify: {url: "http://h"}}`, false},
		{"top", `{log: {format: json, timestamps: true}}`, true},
		{"top", `{log: {format: xml}}`, false},
		{"top", `{log: {hold: 0, max_line: 1mb}}`, true},
		{"top", `{log: {hold: "0", max_line: 16384}}`, true},
		{"top", `{log: {hold: 500ms, max_line: 1.5 KiB}}`, true},
		{"top", `{log: {hold: 1}}`, false},
		{"top", `{log: {hold: never}}`, false},
		{"top", `{log: {max_line: 1023}}`, false},
		{"top", `{log: {max_line: 1048577}}`, false},
		{"top", `{log: {max_line: long}}`, false},
		{"top", `{log: {max_line: [1mb]}}`, false},
		{"top", `{exit_code_from: a}`, true},
		{"top", `{reload: auto}`, true},
		{"top", `{reload: manual}`, true},
		{"top", `{reload: true}`, false},
		{"top", `{requires: warn}`, true},
		{"top", `{requires: ignore}`, false},
		{"top", `{transient: {}}`, true},
		{"top", `{transient: {max: 3, ttl: 1h, user: nobody}}`, true},
		{"top", `{transient: {max: [3]}}`, false},
		{"top", `{transient: {ttl: 5}}`, false},
		{"top", `{transient: true}`, false},
		{"top", `{transient: {shell: yes}}`, false},
		{"top", `{exit_code_from: [a]}`, false},
		{"service", `{private_env: [A, "B_*"]}`, true},
		{"service", `{pre_start: each}`, true},
		{"service", `{pre_start: once}`, true},
		{"service", `{pre_start: always}`, false},
		{"service", `{private_env: A}`, false},
		{"service", `{ready: {tcp: 80}}`, true},
		{"service", `{ready: {tcp: "h:80"}}`, true},
		{"service", `{ready: {tcp: 0}}`, false},
		{"service", `{ready: {tcp: true}}`, false},
		{"service", `{ready: {http: "http://h:1/x"}}`, true},
		{"service", `{ready: {http: "h:1"}}`, false},
		{"service", `{ready: {exec: [/p, x]}}`, true},
		{"service", `{ready: {exec: /p x}}`, true},
		{"service", `{ready: {exec: []}}`, false},
		{"service", `{ready: {log: "^ready$"}}`, true},
		{"service", `{ready: {notify: sd}}`, true},
		{"service", `{ready: {notify: "fd:3"}}`, true},
		{"service", `{ready: {notify: "fd:2"}}`, false},
		{"service", `{ready: {}}`, false},
		{"service", `{ready: {tcp: 80, timeout: 5s}}`, true},
		{"service", `{ready: {timeout: 5s}}`, false},
		{"service", `{ready: {tcp: 80, timeout: 5}}`, false},
		{"service", `{watch: [{path: /a}, {path: b, action: signal, signal: HUP, debounce: 1s, poll: 10s}, {path: c, action: exec, exec: [/x, y]}]}`, true},
		{"service", `{watch: [{path: /a, action: reload, include: ["*.conf"], ignore: "*.tmp"}]}`, true},
		{"service", `{watch: [{action: restart}]}`, false},
		{"service", `{watch: [{path: /a, action: sync}]}`, false},
		{"service", `{watch: [{path: /a, when: now}]}`, false},
		{"service", `{watch: {path: /a}}`, false},
		{"service", `{success_exit_codes: [143, SIGTERM, "3"]}`, true},
		{"service", `{success_exit_codes: [256]}`, false},
		{"service", `{success_exit_codes: 143}`, false},
		{"service", `{no_restart_exit_codes: [78, "79"]}`, true},
		{"service", `{no_restart_exit_codes: [SIGTERM]}`, false},
		{"service", `{no_restart_exit_codes: 78}`, false},
		{"service", `{ready: {tcp: 80, notify: sd}}`, false},
		{"service", `{ready: yes}`, false},
		{"service", `{kill_mode: process}`, true},
		{"service", `{kill_mode: mixed}`, false},
		{"service", `{critical: true}`, true},
		{"service", `{critical: 1}`, false},
		{"service", `{backoff: {initial: 1s, max: 10s, reset_after: 1m}}`, true},
		{"service", `{backoff: {start: 1s}}`, false},
		{"service", `{limit: {restarts: 5, window: 1m}}`, true},
		{"service", `{limit: {restarts: 5}}`, false},
		{"service", `{limit: {restarts: 0, window: 1m}}`, false},
		{"service", `{overflow: drop}`, true},
		{"service", `{overflow: wait}`, false},
	}
	for _, tt := range tests {
		text := "services: {a: {command: [x]}, b: {command: [y]}}\nx-sidecar-init: " + tt.yaml
		if tt.where == "service" {
			text = "services: {a: {command: [x], x-sidecar-init: " + tt.yaml + "}, b: {command: [y]}}"
		}
		_, err := loadText(t, text, Options{})
		if (err == nil) != tt.ok {
			t.Errorf("%s %s: the reader says %v", tt.where, tt.yaml, err)
		}
		var doc any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(doc); (err == nil) != tt.ok && !strings.Contains(tt.yaml, `"10"`) {
			t.Errorf("%s %s: the schema says %v", tt.where, tt.yaml, err)
		}
	}
}
