package timeline

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)).Round(time.Millisecond))
}

// An about makes events of one daemon.
type about struct {
	events *[]client.Event
	name   string
}

func (a about) add(kind string, seconds float64, change func(*client.EventData)) {
	e := client.Event{Type: kind, Subject: a.name, Time: at(seconds)}
	if change != nil {
		change(&e.Data)
	}
	*a.events = append(*a.events, e)
}

func (a about) started(begun, seconds float64) {
	a.add(client.EventStarted, seconds, func(d *client.EventData) { b := at(begun); d.Begun = &b })
}

func (a about) crash(seconds float64, code int, delay float64, repeats int) {
	a.add(client.EventExited, seconds, func(d *client.EventData) {
		d.Code, d.Cause, d.NextDelay, d.Repeats = &code, client.CauseUnexpected, &delay, repeats
	})
}

// shop is a bundle that has seen something.
func shop() ([]client.Event, []client.Daemon, Options) {
	var all []client.Event
	of := func(name string) about { return about{&all, name} }
	db, migrate, web, worker, flaky, old := of("db"), of("migrate"), of("web"), of("worker"), of("flaky"), of("old & <gone>")
	zero := 0
	old.started(0.01, 0.02)
	db.started(0.05, 0.1)
	flaky.started(0.1, 0.2)
	db.add(client.EventReady, 1.4, nil)
	migrate.started(1.41, 1.45)
	migrate.add(client.EventExited, 2.6, func(d *client.EventData) { d.Code, d.Cause = &zero, client.CauseUnexpected })
	web.started(2.61, 2.7)
	web.add(client.EventReady, 4, nil)
	worker.started(4.01, 4.1)
	flaky.crash(6, 3, 2, 0)
	flaky.started(8, 8.1)
	flaky.crash(9, 3, 5, 12)
	old.add(client.EventRemoved, 12, nil)
	web.add(client.EventUnhealthy, 20, func(d *client.EventData) { d.Reason = "its health check has failed 3 times: it ended with code 1" })
	web.add(client.EventReady, 24, nil)
	flaky.started(30, 30.1)
	hup := "SIGHUP"
	web.add(client.EventSignalled, 28, func(d *client.EventData) { d.Signal = &hup })
	worker.add(client.EventPaused, 31, nil)
	worker.add(client.EventUnpaused, 36, nil)
	db.add(client.EventExited, 45, func(d *client.EventData) {
		b := at(42)
		d.Begun, d.Code, d.Cause = &b, &zero, client.CauseRequested
	})
	db.started(45, 45.2)
	db.add(client.EventReady, 46, nil)
	daemons := []client.Daemon{
		{Name: "db", State: client.StateReady, PID: 1},
		{Name: "migrate", State: client.StateExited, DependsOn: []client.Dependency{{Name: "db", Condition: "service_healthy"}}},
		{Name: "web", State: client.StateReady, PID: 2, DependsOn: []client.Dependency{{Name: "db", Condition: "service_started"}, {Name: "migrate", Condition: "service_completed_successfully"}}},
		{Name: "worker", State: client.StateRunning, PID: 3, DependsOn: []client.Dependency{{Name: "web", Condition: "service_healthy"}}},
		{Name: "flaky", State: client.StateRunning, PID: 4},
		{Name: "nightly", Job: "schedule", State: client.StateScheduled},
	}
	return all, daemons, Options{Started: noon, Now: at(60)}
}

// TestPictures: the three pictures of a bundle.
func TestPictures(t *testing.T) {
	tl := New(shop())
	for file, write := range map[string]func(io.Writer) error{
		"testdata/shop.txt":        func(w io.Writer) error { return tl.Text(w, 100) },
		"../../docs/timeline.svg":  func(w io.Writer) error { return tl.SVG(w, "shop") },
		"testdata/shop.trace.json": func(w io.Writer) error { return tl.Perfetto(w, "shop") },
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is not up to date (%v): go test ./internal/timeline -update rewrites it\n%s", file, err, got.String())
		}
	}
}

// TestBars: what a daemon did, and when.
func TestBars(t *testing.T) {
	tl := New(shop())
	for name, want := range map[string]string{
		"db":           "waiting 0-0.05, starting 0.05-0.1, starting 0.1-1.4, ready 1.4-42, stopping 42-45, starting 45-45.2, starting 45.2-46, ready 46-60",
		"migrate":      "waiting 0-1.41, starting 1.41-1.45, ready 1.45-2.6",
		"worker":       "waiting 0-4.01, starting 4.01-4.1, ready 4.1-31, paused 31-36, ready 36-60",
		"flaky":        "waiting 0-0.1, starting 0.1-0.2, ready 0.2-6, backoff 6-8, starting 8-8.1, ready 8.1-9, backoff 9-30, starting 30-30.1, ready 30.1-60",
		"old & <gone>": "waiting 0-0.01, starting 0.01-0.02, ready 0.02-12",
	} {
		var got []string
		for _, r := range tl.Rows {
			if r.Name != name {
				continue
			}
			for _, b := range r.Bars {
				got = append(got, fmt.Sprintf("%s %v-%v", b.Kind, b.From.Sub(noon).Seconds(), b.To.Sub(noon).Seconds()))
			}
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, s, want)
		}
	}
	events, daemons, o := shop()
	o.From = at(40)
	for _, r := range New(events, daemons, o).Rows {
		if len(r.Bars) > 0 && r.Bars[0].From.Before(o.From) {
			t.Errorf("%s begins before --since: %+v", r.Name, r.Bars[0])
		}
	}
}

// TestCritical: the chain follows what was waited for last.
func TestCritical(t *testing.T) {
	var got []string
	for _, l := range New(shop()).Critical() {
		got = append(got, fmt.Sprintf("%s @%s +%s", l.Name, l.At, l.Took))
	}
	const want = "worker @4.1s +90ms, web @4s +1.39s, migrate @2.6s +1.19s, db @1.4s +1.35s"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if chain := New(nil, nil, Options{Now: noon}).Critical(); len(chain) != 0 {
		t.Errorf("of nothing: %v", chain)
	}
	events, _, o := shop()
	cycle := []client.Daemon{{Name: "db", DependsOn: []client.Dependency{{Name: "web"}}}, {Name: "web", DependsOn: []client.Dependency{{Name: "db"}}}}
	_ = New(events, cycle, o).Critical() // which ends
}

// TestMany: 100,000 events of 1,000 daemons take less than a second, and the picture stays one.
func TestMany(t *testing.T) {
	var events []client.Event
	var daemons []client.Daemon
	for i := range 1000 {
		daemons = append(daemons, client.Daemon{Name: fmt.Sprint("daemon-", i)})
	}
	for k := range 50 {
		for i := range daemons {
			a := about{&events, daemons[i].Name}
			a.started(float64(k*30), float64(k*30)+0.1)
			a.crash(float64(k*30)+1, 1, 29, 0)
		}
	}
	begin := time.Now()
	tl := New(events, daemons, Options{Started: noon, Now: at(3600)})
	var text, svg, trace bytes.Buffer
	if err := tl.Text(&text, 80); err != nil {
		t.Fatal(err)
	}
	if err := tl.SVG(&svg, ""); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	if err := tl.Perfetto(&trace, ""); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events: %v, %d bytes of SVG", len(events), took, svg.Len())
	if took > time.Minute { // 0.3 s on a machine that does nothing else, and many times that with the race detector on a busy one
		t.Errorf("it took %v", took)
	}
	hours := about{&events, "daemon-0"}
	for k := range 10_000 {
		hours.started(float64(3600+k), float64(3600+k)+0.01)
		hours.crash(float64(3600+k)+0.02, 1, 0.9, 0)
	}
	tl = New(events, daemons, Options{Started: noon, Now: at(20000)})
	if n := len(tl.slices(&tl.Rows[0], svgChart)); n > svgChart {
		t.Fatalf("%s has %d bars on %d pixels", tl.Rows[0].Name, n, svgChart)
	}
}

// TestHostile: names and reasons are text.
func TestHostile(t *testing.T) {
	var events []client.Event
	evil := about{&events, `</text><script>alert(1)</script>&"\x1b[2J`}
	evil.started(1, 2)
	evil.add(client.EventUnhealthy, 3, func(d *client.EventData) { d.Reason = "]]></title><b>\x00" })
	evil.crash(4, 1, 1, 0)
	tl := New(events, nil, Options{Started: noon, Now: at(10)})
	var svg, text, trace bytes.Buffer
	if err := tl.SVG(&svg, "<b>"); err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(bytes.NewReader(svg.Bytes())); ; {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, svg.String())
		}
		if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "b") {
			t.Errorf("there is an element %s", e.Name.Local)
		}
	}
	if err := tl.Text(&text, 60); err != nil || strings.ContainsAny(text.String(), "\x1b\x00") {
		t.Errorf("escape codes: %v %q", err, text.String())
	}
	if err := tl.Perfetto(&trace, "x"); err != nil || !json.Valid(trace.Bytes()) {
		t.Errorf("no JSON: %v", err)
	}
}
