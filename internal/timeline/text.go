package timeline

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

func itoa(n int) string { return strconv.Itoa(n) }

// letters draw the bars.
var letters = map[Kind]rune{Waiting: '·', Starting: '░', Ready: '█', Unhealthy: '▒', Paused: '=', Stopping: '▄', Backoff: '-'}

// The characters of a crash, and of an end that was asked for or went well.
const (
	crashLetter  = '✗'
	endLetter    = '|'
	signalLetter = '↯'
)

// nameWidth is how many characters of a name there is room for.
const nameWidth = 24

// Text writes the timeline for people, in so many columns.
func (t *Timeline) Text(w io.Writer, columns int) error {
	var b strings.Builder
	names := 4
	for i := range t.Rows {
		names = min(max(names, utf8.RuneCountInString(name(t.Rows[i].Name))), nameWidth)
	}
	width := max(columns-names-2, 10)
	span := t.To.Sub(t.From)
	fmt.Fprintf(&b, "%s to %s, %s\n", t.From.UTC().Format(time.RFC3339), t.To.UTC().Format(time.RFC3339), rough(span))
	if t.Since.After(t.From) {
		fmt.Fprintf(&b, "not all is known before %s\n", t.Since.UTC().Format(time.RFC3339))
	}
	b.WriteByte('\n')
	for i := range t.Rows {
		r := &t.Rows[i]
		line := slices.Repeat([]rune{' '}, width)
		for _, s := range t.slices(r, float64(width)) {
			for x := int(s.from); x < width && float64(x) < s.to; x++ {
				line[x] = letters[s.kind]
			}
		}
		for _, m := range r.Marks {
			x := min(int(m.At.Sub(t.From).Seconds()/max(span.Seconds(), 1e-9)*float64(width)), width-1)
			switch {
			case m.At.Before(t.From) || x < 0:
			case m.Crash > 0:
				line[x] = crashLetter
			case line[x] != crashLetter && strings.HasPrefix(m.Text, "ended"):
				line[x] = endLetter
			case m.Signal && line[x] != crashLetter && line[x] != endLetter:
				line[x] = signalLetter
			}
		}
		n := name(r.Name)
		fmt.Fprintf(&b, "%s%s  %s\n", n, strings.Repeat(" ", max(names-utf8.RuneCountInString(n), 0)), strings.TrimRight(string(line), " "))
	}
	b.WriteByte('\n')
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "%c %s  ", letters[k], k)
	}
	fmt.Fprintf(&b, "%c crash  %c end  %c signal\n", crashLetter, endLetter, signalLetter)
	if chain := t.Critical(); len(chain) > 0 {
		b.WriteString("\ncritical chain of the start (@ when it was up, + what its start took)\n")
		for i, l := range chain {
			indent := ""
			if i > 0 {
				indent = strings.Repeat("  ", i-1) + "└─"
			}
			fmt.Fprintf(&b, "%s%s @%s +%s\n", indent, name(l.Name), rough(l.At), rough(l.Took))
		}
	}
	var crashes []string
	for i := range t.Rows {
		n, last := 0, Mark{}
		for _, m := range t.Rows[i].Marks {
			if m.Crash > 0 {
				n, last = n+m.Crash, m
			}
		}
		if n > 0 {
			crashes = append(crashes, fmt.Sprintf("%s: %d %s, the last %s ago: %s", name(t.Rows[i].Name), n, plural(n, "crash", "crashes"), rough(t.To.Sub(last.At)), printable.Text(last.Text)))
		}
	}
	if len(crashes) > 0 {
		b.WriteString("\n" + strings.Join(crashes, "\n") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// name is the name of a daemon, fit for a line.
func name(s string) string {
	s = printable.Text(s)
	if r := []rune(s); len(r) > nameWidth {
		return string(r[:nameWidth-1]) + "…"
	}
	return s
}

// rough makes a duration readable.
func rough(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond)
	case d < 10*time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}
