package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// A Model is what is known, and what was chosen.
type Model struct {
	daemons []client.Daemon // as they are now, in the order of the file
	past    map[string]*past
	at      time.Time

	chosen string // the daemon of the cursor
	sort   int    // index of sorts
	filter string
	lines  []string // of the log of the chosen one
	prompt *prompt  // nil unless something is asked
	help   bool
	note   string // what the last action came to
}

// A past is how a daemon was in the last minute.
type past struct {
	cpu  float64   // seconds of processor time, at the last look
	pid  int       // then
	load []float64 // share of a processor
	rss  []float64 // bytes
}

// samples is how many looks are kept.
const samples = 60

// maxLines is how many lines of a log are kept.
const maxLines = 500

// A prompt asks for something.
type prompt struct {
	question string
	input    string
	text     bool // a word is typed, else y or n
	then     func(input string) Action
}

// An Action is what a key asks for, of whoever has the supervisor.
type Action struct {
	Kind   Kind
	Daemon string
	Signal string
}

// A Kind is what is to be done.
type Kind string

// The kinds of actions.
const (
	Nothing Kind = ""
	Quit    Kind = "quit"
	Start   Kind = "start"
	Stop    Kind = "stop"
	Restart Kind = "restart"
	Signal  Kind = "signal"
)

// sorts are the orders.
var sorts = []struct {
	name string
	less func(m *Model, a, b *client.Daemon) int
}{
	{"file", nil},
	{"cpu", func(m *Model, a, b *client.Daemon) int { return cmp.Compare(m.load(b.Name), m.load(a.Name)) }},
	{"memory", func(_ *Model, a, b *client.Daemon) int { return cmp.Compare(b.RSS, a.RSS) }},
	{"name", func(_ *Model, a, b *client.Daemon) int { return strings.Compare(a.Name, b.Name) }},
	{"restarts", func(_ *Model, a, b *client.Daemon) int { return cmp.Compare(b.Restarts, a.Restarts) }},
}

// Update takes how the daemons are now.
func (m *Model) Update(daemons []client.Daemon, now time.Time) {
	if m.past == nil {
		m.past = map[string]*past{}
	}
	for name := range m.past {
		if !slices.ContainsFunc(daemons, func(d client.Daemon) bool { return d.Name == name }) {
			delete(m.past, name)
		}
	}
	for i := range daemons {
		d := &daemons[i]
		p := m.past[d.Name]
		if p == nil {
			p = &past{}
			m.past[d.Name] = p
		}
		load := 0.0
		if took := now.Sub(m.at).Seconds(); d.PID != 0 && d.PID == p.pid && took > 0 {
			load = max(d.CPU-p.cpu, 0) / took
		}
		p.cpu, p.pid = d.CPU, d.PID
		p.load, p.rss = push(p.load, load), push(p.rss, float64(d.RSS))
	}
	m.daemons, m.at = daemons, now
	if rows := m.rows(); !slices.ContainsFunc(rows, func(d *client.Daemon) bool { return d.Name == m.chosen }) {
		m.choose("")
		if len(rows) > 0 {
			m.choose(rows[0].Name)
		}
	}
}

func push(list []float64, v float64) []float64 {
	list = append(list, v)
	return list[max(0, len(list)-samples):]
}

func (m *Model) load(name string) float64 {
	if p := m.past[name]; p != nil && len(p.load) > 0 {
		return p.load[len(p.load)-1]
	}
	return 0
}

// rows are the daemons that are shown, in order.
func (m *Model) rows() (rows []*client.Daemon) {
	for i := range m.daemons {
		if strings.Contains(m.daemons[i].Name, m.filter) {
			rows = append(rows, &m.daemons[i])
		}
	}
	if less := sorts[m.sort].less; less != nil {
		slices.SortStableFunc(rows, func(a, b *client.Daemon) int { return less(m, a, b) })
	}
	return rows
}

// Chosen is the daemon whose log is to be followed.
func (m *Model) Chosen() string { return m.chosen }

func (m *Model) choose(name string) {
	if name != m.chosen {
		m.chosen, m.lines = name, nil
	}
}

// Line takes a line of the log of a daemon. One that is not chosen any more does not count.
func (m *Model) Line(daemon, line string) {
	if daemon == m.chosen {
		m.lines = append(m.lines, line)
		m.lines = m.lines[max(0, len(m.lines)-maxLines):]
	}
}

// Note says what the last action has come to.
func (m *Model) Note(text string) { m.note = text }

// The keys that are no letters.
const (
	Up        = '\uF700'
	Down      = '\uF701'
	Enter     = '\r'
	Escape    = '\x1b'
	Backspace = '\x7f'
	CtrlC     = '\x03'
)

// Key takes a key, and returns what it asks for.
func (m *Model) Key(key rune) Action {
	switch {
	case key == CtrlC:
		return Action{Kind: Quit}
	case m.prompt != nil:
		return m.answer(key)
	case m.help:
		m.help = false
		return Action{}
	}
	m.note = ""
	switch key {
	case 'q':
		return Action{Kind: Quit}
	case '?', 'h':
		m.help = true
	case Up, 'k':
		m.move(-1)
	case Down, 'j':
		m.move(1)
	case '>', '<':
		step := 1
		if key == '<' {
			step = len(sorts) - 1
		}
		m.sort = (m.sort + step) % len(sorts)
	case '/':
		m.prompt = &prompt{question: "show names with: ", input: m.filter, text: true, then: func(s string) Action {
			m.filter = s
			m.Update(m.daemons, m.at)
			return Action{}
		}}
	case 'r':
		m.ask(Restart)
	case 's':
		m.ask(Stop)
	case 'S':
		m.ask(Start)
	case 'K':
		if m.chosen != "" {
			daemon := m.chosen
			m.prompt = &prompt{question: "signal for " + daemon + " (such as HUP): ", text: true, then: func(s string) Action {
				if s == "" {
					return Action{}
				}
				return Action{Kind: Signal, Daemon: daemon, Signal: s}
			}}
		}
	}
	return Action{}
}

// ask asks before something is done to the chosen daemon.
func (m *Model) ask(kind Kind) {
	if m.chosen == "" {
		return
	}
	daemon := m.chosen
	m.prompt = &prompt{question: string(kind) + " " + daemon + "? (y/n) ", then: func(string) Action { return Action{Kind: kind, Daemon: daemon} }}
}

// answer takes a key of what is asked.
func (m *Model) answer(key rune) Action {
	p := m.prompt
	switch {
	case key == Escape:
		m.prompt = nil
	case !p.text:
		m.prompt = nil
		if key == 'y' {
			return p.then("")
		}
	case key == Enter || key == '\n':
		m.prompt = nil
		return p.then(p.input)
	case key == Backspace || key == '\b':
		if r := []rune(p.input); len(r) > 0 {
			p.input = string(r[:len(r)-1])
		}
	case key >= ' ' && key < '\uF700' && len(p.input) < 100:
		p.input += string(key)
	}
	return Action{}
}

// move moves the cursor.
func (m *Model) move(by int) {
	rows := m.rows()
	i := slices.IndexFunc(rows, func(d *client.Daemon) bool { return d.Name == m.chosen }) + by
	if i >= 0 && i < len(rows) {
		m.choose(rows[i].Name)
	}
}
