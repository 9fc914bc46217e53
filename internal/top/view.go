package top

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// A Style is how a part of a line looks.
type Style string

// The styles, as the escape codes of a terminal.
const (
	Plain  Style = ""
	Bold   Style = "\x1b[1m"
	Faint  Style = "\x1b[2m"
	Invert Style = "\x1b[7m"
	Red    Style = "\x1b[31m"
	Green  Style = "\x1b[32m"
	Yellow Style = "\x1b[33m"
)

// A column of the table.
type column struct {
	title string
	width int
	least int // columns of the screen from which on it is shown
	text  func(m *Model, d *client.Daemon) string
}

// The looks that a sparkline has, at least and at most, and the columns that a screen has at least for one.
const (
	leastSpark = 8
	mostSpark  = 20
	sparkFrom  = 40
)

func columns() []column {
	return []column{
		{"STATE", 9, 0, func(_ *Model, d *client.Daemon) string { return string(d.State) }},
		{"PID", 7, 60, func(_ *Model, d *client.Daemon) string { return dash(d.PID != 0, fmt.Sprint(d.PID)) }},
		{"CPU%", 6, 40, func(m *Model, d *client.Daemon) string {
			return dash(d.PID != 0, fmt.Sprintf("%.1f", 100*m.load(d.Name)))
		}},
		{"RSS", 7, 40, func(_ *Model, d *client.Daemon) string { return dash(d.PID != 0, size(d.RSS)) }},
		{"RESTARTS", 8, 70, func(_ *Model, d *client.Daemon) string { return fmt.Sprint(d.Restarts) }},
		{"LAST-EXIT", 9, 80, func(_ *Model, d *client.Daemon) string { return d.LastExit.String() }},
	}
}

// sparklines are the columns of the past, as wide as there is room for beside the others.
func sparklines(room int) []column {
	width, both := room-2, room >= 2*(leastSpark+2)
	if both {
		width = room/2 - 2
	}
	if width < leastSpark {
		return nil
	}
	width = min(width, mostSpark)
	cs := []column{{"CPU", width, 0, func(m *Model, d *client.Daemon) string { return spark(m.past[d.Name].load, 1, width) }}}
	if both {
		cs = append(cs, column{"MEMORY", width, 0, func(m *Model, d *client.Daemon) string { return spark(m.past[d.Name].rss, 0, width) }})
	}
	return cs
}

func dash(has bool, text string) string {
	if has {
		return text
	}
	return "-"
}

// spark draws the last n values, from 0 to the largest of them, or to most if that is more.
func spark(values []float64, most float64, n int) string {
	values = values[max(0, len(values)-n):]
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range values {
		i := 0
		if most > 0 {
			i = min(int(v/most*8), 7)
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[i])
	}
	return b.String()
}

// size is a number of bytes.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1fG", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1fM", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%dK", n>>10)
}

// View draws the model on a screen of that size, as one line for each of its rows. Without colour there is none, but the cursor is shown.
func (m *Model) View(width, height int, colour bool) []string {
	paint := func(s Style, text string) string {
		if !colour && s != Invert || s == Plain {
			return text
		}
		return string(s) + text + "\x1b[0m"
	}
	if m.help {
		return fill([]string{
			"up, down, j, k  choose a daemon        r  restart it", "<, >            sort by another column s  stop it",
			"/               show some names only   S  start it", "q, Ctrl-C       quit                   K  send it a signal", "",
			"What changes something is asked first. Any key goes back.",
		}, width, height)
	}
	rows := m.rows()
	healthy := 0
	for i := range m.daemons {
		if m.daemons[i].Ready {
			healthy++
		}
	}
	head := fmt.Sprintf("%d daemons, %d ready; by %s; ? for help", len(m.daemons), healthy, sorts[m.sort].name)
	if m.filter != "" {
		head += "; names with " + printable.Text(m.filter)
	}
	lines := []string{paint(Bold, cut(head, width))}

	names := 4
	for _, d := range rows {
		names = max(names, utf8.RuneCountInString(printable.Text(d.Name)))
	}
	names = min(names, max(width/3, 8))
	shown := slices.DeleteFunc(columns(), func(c column) bool { return width < c.least })
	used := names
	for _, c := range shown {
		used += 2 + c.width
	}
	if width >= sparkFrom {
		shown = append(shown, sparklines(width-used)...)
	}
	line := func(name string, text func(c column) string) string {
		out := pad(name, names)
		for _, c := range shown {
			out += "  " + pad(text(c), c.width)
		}
		return cut(strings.TrimRight(out, " "), width)
	}
	lines = append(lines, paint(Faint, line("NAME", func(c column) string { return c.title })))

	room := max((height-4)/2, 1) // of the table; the rest is the log's
	if len(rows) < room {
		room = len(rows)
	}
	from := 0
	if at := slices.IndexFunc(rows, func(d *client.Daemon) bool { return d.Name == m.chosen }); at >= room {
		from = at - room + 1
	}
	for _, d := range rows[from:min(from+room, len(rows))] {
		text := line(printable.Text(d.Name), func(c column) string { return c.text(m, d) })
		switch {
		case d.Name == m.chosen:
			text = paint(Invert, pad(text, width))
		default:
			text = paint(stateStyle(d), text)
		}
		lines = append(lines, text)
	}
	if more := len(rows) - room; more > 0 {
		lines = append(lines, paint(Faint, cut(fmt.Sprintf("%d of %d", room, len(rows)), width)))
	}
	switch {
	case m.prompt != nil:
		lines = append(lines, paint(Bold, cut(printable.Text(m.prompt.question+m.prompt.input)+"_", width)))
	case m.note != "":
		lines = append(lines, paint(Yellow, cut(printable.Text(m.note), width)))
	default:
		lines = append(lines, "")
	}
	if m.chosen != "" {
		lines = append(lines, paint(Faint, cut("log of "+printable.Text(m.chosen), width)))
		left := max(height-len(lines), 0)
		for _, l := range m.lines[max(0, len(m.lines)-left):] {
			l = l[:min(len(l), 4*width)] // a character has four bytes at most
			lines = append(lines, cut(printable.Line(l), width))
		}
	}
	return fill(lines, width, height)
}

func stateStyle(d *client.Daemon) Style {
	switch d.State {
	case client.StateRunning, client.StateReady:
		return Plain
	case client.StateUnhealthy, client.StateGaveUp, client.StateBackoff:
		return Red
	case client.StateStopped, client.StateScheduled:
		return Faint
	case client.StateExited:
		if d.LastExit == nil || d.LastExit.String() == "0" {
			return Faint
		}
		return Red
	}
	return Yellow
}

// fill makes it as many lines as the screen has.
func fill(lines []string, width, height int) []string {
	if len(lines) > height {
		lines = lines[:height]
	}
	for i, l := range lines {
		if !strings.Contains(l, "\x1b") {
			lines[i] = cut(l, width)
		}
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

// pad makes a text that wide.
func pad(s string, width int) string {
	s = cut(s, width)
	return s + strings.Repeat(" ", max(width-columnsOf(s), 0))
}

// cut makes a text no wider than that.
func cut(s string, width int) string {
	if columnsOf(s) <= width {
		return s
	}
	out, used := "", 0
	for _, r := range s {
		w := wide(r)
		if used+w > width-1 {
			break
		}
		out, used = out+string(r), used+w
	}
	if width < 1 {
		return ""
	}
	return out + "…"
}

func columnsOf(s string) (n int) {
	for _, r := range s {
		n += wide(r)
	}
	return n
}

// wide is how many columns a character takes: two in the scripts of East Asia and for pictures (Unicode's East Asian Width), none for
// marks that belong to the one before.
func wide(r rune) int {
	switch {
	case r >= 0x0300 && r <= 0x036F, r == 0x200B, r == 0x200D, r >= 0xFE00 && r <= 0xFE0F:
		return 0
	case r >= 0x1100 && r <= 0x115F, r >= 0x2E80 && r <= 0xA4CF, r >= 0xAC00 && r <= 0xD7A3, r >= 0xF900 && r <= 0xFAFF,
		r >= 0xFE30 && r <= 0xFE6F, r >= 0xFF00 && r <= 0xFF60, r >= 0xFFE0 && r <= 0xFFE6, r >= 0x1F300 && r <= 0x1F9FF, r >= 0x20000 && r <= 0x3FFFD:
		return 2
	}
	return 1
}
