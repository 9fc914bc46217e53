package timeline

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// The picture, in its own units, which are pixels where it is shown 600 wide.
const (
	svgWidth  = 600
	svgLabel  = 120 // of the names
	svgChart  = svgWidth - svgLabel - 12
	svgRow    = 20
	svgBar    = 12
	svgTop    = 66
	svgTicks  = 5
	svgBottom = 28
)

// style has the colours, light and dark. They differ in lightness too, for who does not see the colours.
const style = `svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#1b1f24}.t{font-size:15px;font-weight:600}.s,.x{fill:#57606a}.g{stroke:#d0d7de}` +
	`.waiting{fill:#d0d7de}.starting{fill:#8cb4ff}.ready{fill:#2da44e}.unhealthy{fill:#bf8700}.paused{fill:#8250df}.stopping{fill:#6e7781}.backoff{fill:#ffaba8}.crash{stroke:#cf222e;stroke-width:2}.signal{fill:#0969da}` +
	`@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.s,.x{fill:#9198a1}.g{stroke:#30363d}.waiting{fill:#30363d}.starting{fill:#1f6feb}.ready{fill:#3fb950}.unhealthy{fill:#d29922}.paused{fill:#a371f7}.stopping{fill:#768390}.backoff{fill:#7a2e2b}.crash{stroke:#ff7b72}.signal{fill:#58a6ff}}`

// SVG writes the timeline as a picture that stands alone.
func (t *Timeline) SVG(w io.Writer, title string) error {
	var b strings.Builder
	height := svgTop + len(t.Rows)*svgRow + svgBottom
	span := t.To.Sub(t.From)
	heading := "Timeline"
	if title != "" {
		heading += " of " + title
	}
	about := fmt.Sprintf("%s to %s, %s", t.From.UTC().Format(time.RFC3339), t.To.UTC().Format(time.RFC3339), rough(span))
	if t.Since.After(t.From) {
		about += "; not all is known before " + t.Since.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d"><title id="t">%s</title><desc id="d">%s</desc><style>%s</style>`+"\n",
		svgWidth, height, text(heading), text(about), style)
	fmt.Fprintf(&b, `<text class="t" x="6" y="19">%s</text><text class="s" x="6" y="36">%s</text>`+"\n", text(heading), text(about))
	x := 6
	for _, k := range Kinds() {
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="45" width="10" height="10"/><text x="%d" y="54">%s</text>`, k, x, x+14, k)
		x += 20 + 20*len(k)/3
	}
	fmt.Fprintf(&b, `<path class="crash" d="M%d 45v10"/><text x="%d" y="54">crash</text>`, x+4, x+10)
	fmt.Fprintf(&b, `<path class="signal" d="M%d 46h8l-4 7z"/><text x="%d" y="54">signal</text>`+"\n", x+48, x+60)
	for i := range svgTicks {
		at := svgLabel + float64(svgChart*i)/(svgTicks-1)
		anchor := []string{"start", "middle", "middle", "middle", "end"}[i]
		fmt.Fprintf(&b, `<path class="g" d="M%.1f %dV%d"/><text class="x" x="%.1f" y="%d" text-anchor="%s">%s</text>`+"\n",
			at, svgTop, height-svgBottom+4, at, height-9, anchor, rough(span*time.Duration(i)/(svgTicks-1)))
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		y := svgTop + i*svgRow
		fmt.Fprintf(&b, `<text x="6" y="%d">%s</text>`, y+14, text(short(r.Name)))
		for _, s := range t.slices(r, svgChart) {
			what := string(s.kind)
			if s.count > 1 {
				what = fmt.Sprintf("%d times, %s and others", s.count, s.kind)
			}
			fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s %s</title></rect>`,
				s.kind, svgLabel+s.from, y+4, s.to-s.from, svgBar, text(r.Name), what)
		}
		last, lastSignal := -1.0, -5.0
		for _, m := range r.Marks {
			at := svgLabel + m.At.Sub(t.From).Seconds()/max(span.Seconds(), 1e-9)*svgChart
			if m.Crash > 0 && at-last >= 1 { // nearer ones are one line
				fmt.Fprintf(&b, `<path class="crash" d="M%.1f %dv%d"><title>%s %s</title></path>`, at, y+2, svgBar+4, text(r.Name), text(m.Text))
				last = at
			}
			if m.Signal && at-lastSignal >= 5 {
				fmt.Fprintf(&b, `<path class="signal" d="M%.1f %dh8l-4 7z"><title>%s %s</title></path>`, at-4, y, text(r.Name), text(m.Text))
				lastSignal = at
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// text is what others have written, as text.
func text(s string) string { return html.EscapeString(printable.Text(s)) }

// short is as much of a name as there is room for.
func short(s string) string {
	if r := []rune(s); len(r) > 16 {
		return string(r[:15]) + "…"
	}
	return s
}
