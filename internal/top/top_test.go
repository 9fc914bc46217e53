package top

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

var codes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func model(names ...string) *Model {
	m := &Model{}
	at := time.Unix(0, 0)
	for look := range 70 {
		var all []client.Daemon
		for i, name := range names {
			code := 3
			all = append(all, client.Daemon{
				Name: name, State: client.StateRunning, PID: 100 + i, CPU: float64(look*(i+1)) / 10, RSS: int64(look+1) << 20, Ready: true,
				Restarts: len(names) - i, LastExit: &client.Exit{Code: &code},
			})
		}
		m.Update(all, at.Add(time.Duration(look)*time.Second))
	}
	return m
}

// TestView: a screen is as large as the terminal, at every size, with names and lines of any kind.
func TestView(t *testing.T) {
	hostile := "日本語-" + strings.Repeat("x", 300) + "\x1b[2J\x1b]0;evil\a"
	for _, width := range []int{1, 5, 20, 40, 60, 80, 100, 140, 250} {
		for _, height := range []int{1, 2, 5, 24, 60} {
			m := model("web", "worker", hostile)
			for range 40 {
				m.Line("web", strings.Repeat("\x1b[31m界", 5000))
			}
			for _, keys := range []string{"", "?", "j", "jj", "r", "K", "/"} {
				for _, k := range keys {
					m.Key(k)
				}
				for _, colour := range []bool{false, true} {
					lines := m.View(width, height, colour)
					if len(lines) != height {
						t.Fatalf("%dx%d after %q: %d lines", width, height, keys, len(lines))
					}
					for _, l := range lines {
						bare := codes.ReplaceAllString(l, "")
						if columnsOf(bare) > width {
							t.Fatalf("%dx%d after %q: %d columns: %q", width, height, keys, columnsOf(bare), l)
						}
						if strings.ContainsAny(bare, "\x1b\a") {
							t.Fatalf("an escape code: %q", l)
						}
						if !colour && strings.Contains(strings.ReplaceAll(l, "\x1b[7m", ""), "\x1b[3") {
							t.Fatalf("a colour: %q", l)
						}
					}
				}
				m.Key(Escape)
			}
		}
	}
}

// TestColumns: a narrow screen has fewer columns, and a wide one shows the past.
func TestColumns(t *testing.T) {
	for width, want := range map[int]string{
		30:  "NAME  STATE",
		60:  "NAME  STATE      PID      CPU%    RSS      CPU",
		80:  "NAME  STATE      PID      CPU%    RSS      RESTARTS  LAST-EXIT  CPU",
		100: "NAME  STATE      PID      CPU%    RSS      RESTARTS  LAST-EXIT  CPU                MEMORY",
		140: "NAME  STATE      PID      CPU%    RSS      RESTARTS  LAST-EXIT  CPU                   MEMORY",
	} {
		lines := model("web").View(width, 10, false)
		if lines[1] != want {
			t.Errorf("%d columns: got %q, want %q", width, lines[1], want)
		}
	}
	row := codes.ReplaceAllString(model("web", "idle").View(140, 10, false)[2], "")
	if !strings.HasPrefix(row, "web   running    100      10.0    70.0M    2         3          ▁▁▁▁") || !strings.Contains(row, "▇█") {
		t.Errorf("got %q", row)
	}
}

// TestKeys: what keys do, and that what changes something asks first.
func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		keys   string
		want   Action
		chosen string
	}{
		{"q", Action{Kind: Quit}, "a"},
		{"\x03", Action{Kind: Quit}, "a"},
		{"r\x03", Action{Kind: Quit}, "a"},
		{"j", Action{}, "b"},
		{"jjjj", Action{}, "c"},
		{"jjkk", Action{}, "a"},
		{"k", Action{}, "a"},
		{string(Down), Action{}, "b"},
		{"r", Action{}, "a"},
		{"ry", Action{Kind: Restart, Daemon: "a"}, "a"},
		{"rn", Action{}, "a"},
		{"jsy", Action{Kind: Stop, Daemon: "b"}, "b"},
		{"Sy", Action{Kind: Start, Daemon: "a"}, "a"},
		{"KHUP\r", Action{Kind: Signal, Daemon: "a", Signal: "HUP"}, "a"},
		{"KHUPX\x7f\r", Action{Kind: Signal, Daemon: "a", Signal: "HUP"}, "a"},
		{"K\r", Action{}, "a"},
		{"KHUP\x1b", Action{}, "a"},
		{"/c\r", Action{}, "c"},
		{"/none\r", Action{}, ""},
		{"/none\rry", Action{}, ""},
		{"?q", Action{}, "a"}, // any key leaves the help
		{">", Action{}, "a"},
	} {
		m := model("a", "b", "c")
		var got Action
		for _, k := range tt.keys {
			got = m.Key(k)
		}
		if got != tt.want || m.Chosen() != tt.chosen {
			t.Errorf("%q: got %+v, chosen %q, want %+v, %q", tt.keys, got, m.Chosen(), tt.want, tt.chosen)
		}
	}
	m := model("a", "b", "c")
	m.Key('>')
	if rows := m.rows(); rows[0].Name != "c" { // which uses most
		t.Errorf("by cpu: got %s first", rows[0].Name)
	}
	m.Line("b", "not chosen")
	m.Line("a", "chosen")
	if len(m.lines) != 1 {
		t.Errorf("got the lines %q", m.lines)
	}
}

// TestGone: a daemon that leaves takes the cursor along.
func TestGone(t *testing.T) {
	m := model("a", "b")
	m.Key('j')
	m.Update(m.daemons[:1], time.Unix(100, 0))
	if m.Chosen() != "a" || len(m.past) != 1 {
		t.Errorf("chosen is %q, %d are remembered", m.Chosen(), len(m.past))
	}
	m.Update(nil, time.Unix(101, 0))
	if m.Chosen() != "" || len(m.View(80, 24, true)) != 24 {
		t.Error("without daemons there is no screen")
	}
}

func BenchmarkView(b *testing.B) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("daemon-", i))
	}
	m := model(names...)
	for b.Loop() {
		m.View(200, 60, true)
	}
}
