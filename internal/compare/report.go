//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A report is the page about a run.
type report struct {
	machine               string
	times, lines, orphans int
	peers                 []*peer
	absent                []string
	rows                  []row
}

// write writes the page and its plots.
func (r *report) write(base string) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# A comparison

How sidecar-init and its peers do the same things, measured side by side in one run. It is made by `+"`make compare`"+` on a machine
with root, a C compiler, and the peers of Debian (supervisor, s6, runit, tini, dumb-init; what is not installed is left out). Times depend on the
machine, their ratios much less: make your own.

Machine: %s. Each figure is the median of %d rounds, in which all take turns (3 rounds where it is no matter of time). Each supervisor is PID 1 of a
pid namespace of its own. The daemon is a small static C program, [child.c](../internal/compare/testdata/child.c). The best figure of a row is **bold**;
– is what a peer does not do.

`, r.machine, r.times)
	if len(r.absent) > 0 {
		fmt.Fprintf(&b, "Not installed where this was made: %s.\n\n", strings.Join(r.absent, ", "))
	}
	b.WriteString("|  |")
	for _, p := range r.peers {
		fmt.Fprintf(&b, " %s |", p.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(r.peers)) + "\n")
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s, %s |", row.title, row.unit)
		best := row.best()
		for _, p := range r.peers {
			value := row.values[p.name]
			if n, ok := row.nums[p.name]; ok && n == best {
				value = "**" + value + "**"
			}
			fmt.Fprintf(&b, " %s |", value)
		}
		b.WriteString("\n")
	}
	b.WriteString(`
What hands the log on to no one else is not in the rows of throughput: with s6 and runit as they are set up here, tini and dumb-init,
daemons write to the container's log themselves, and no line says whose it is. s6 and runit can put a logger behind each
daemon, which is a process more. That a stop takes longer with sidecar-init than with one that kills what it has told a moment ago is meant.

`)
	for _, row := range r.rows {
		if row.plot == "" {
			continue
		}
		file := base + "-" + row.plot + ".svg"
		if err := os.WriteFile(file, []byte(r.plot(&row)), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&b, "![%s](%s)\n\n", row.title, filepath.Base(file))
	}
	b.WriteString("## Configurations\n\n| | version | configuration |\n|---|---|---|\n")
	for _, p := range r.peers {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p.name, p.says(), p.config)
	}
	return os.WriteFile(base+".md", []byte(b.String()), 0o644)
}

// best is the best figure of a row.
func (r *row) best() float64 {
	best := math.Inf(1)
	for _, n := range r.nums {
		if r.more {
			n = -n
		}
		best = min(best, n)
	}
	if r.more {
		best = -best
	}
	return best
}

// says is a peer's version, in one line.
func (p *peer) says() string {
	out, err := exec.Command(p.version[0], p.version[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && line == "" {
		return "unknown"
	}
	return line
}

// plot is a bar for each figure of a row, on a logarithmic scale where they differ much.
func (r *report) plot(row *row) string {
	type bar struct {
		name string
		n    float64
	}
	var bars []bar
	lowest, highest := math.Inf(1), 0.0
	for _, p := range r.peers {
		if n, ok := row.nums[p.name]; ok {
			bars = append(bars, bar{p.name, n})
			lowest, highest = min(lowest, n), max(highest, n)
		}
	}
	slices.SortStableFunc(bars, func(a, b bar) int {
		if (a.n > b.n) != row.more {
			return 1
		}
		return -1
	})
	logarithmic := lowest > 0 && highest/lowest > 20
	const width, left, room, height = 600, 110, 380, 26
	scale := func(n float64) float64 {
		if logarithmic {
			floor := math.Pow(10, math.Floor(math.Log10(lowest)))
			return room * math.Log(n/floor*1.05) / math.Log(highest/floor*1.05)
		}
		return room * n / highest
	}
	title := row.title + ", " + row.unit
	if logarithmic {
		title += " (logarithmic)"
	}
	better := "less is better"
	if row.more {
		better = "more is better"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="t">
<title id="t">%[3]s; %[4]s</title>
<style>
  .back { fill: #fff } text { font: 13px system-ui, sans-serif; fill: #1c1c1e } .quiet { fill: #5c5c66 } .bar { fill: #8a94a6 } .own { fill: #1769aa }
  @media (prefers-color-scheme: dark) { .back { fill: #16161a } text { fill: #ececf0 } .quiet { fill: #a2a2ad } .bar { fill: #667085 } .own { fill: #4aa3e0 } }
</style>
<rect class="back" width="100%%" height="100%%"/>
<text x="12" y="22">%[3]s</text>
<text x="12" y="40" class="quiet">%[4]s</text>
`, width, 56+len(bars)*height, html.EscapeString(title), better)
	for i, bar := range bars {
		class := "bar"
		if bar.name == "sidecar-init" {
			class = "own"
		}
		y := 52 + i*height
		w := max(1, scale(bar.n))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="18" rx="2"/><text x="%.1f" y="%d">%s</text>`+"\n",
			left-8, y+14, html.EscapeString(bar.name), class, left, y, w, left+w+6, y+14, html.EscapeString(row.values[bar.name]))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
