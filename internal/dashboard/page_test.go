package dashboard

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("page/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// luminance is the relative luminance of a colour such as #fff (WCAG 2.2).
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	hex := strings.TrimPrefix(colour, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil || len(hex) != 6 {
		t.Fatalf("%q is not a colour", colour)
	}
	part := func(shift uint) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

// TestContrast: in light and dark each text has a contrast of 4.5 at least to each background (WCAG 2.2, 1.4.3, level AA).
func TestContrast(t *testing.T) {
	sets := regexp.MustCompile(`:root \{ (.*?) \}`).FindAllStringSubmatch(source(t, "style.css"), -1)
	if len(sets) != 2 {
		t.Fatalf("got %d sets of colours, want light and dark", len(sets))
	}
	for i, set := range sets {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--(\w+): (#\w+)`).FindAllStringSubmatch(set[1], -1) {
			colours[m[1]] = m[2]
		}
		for _, text := range []string{"fg", "soft", "link", "good", "bad", "mid"} {
			for _, back := range []string{"bg", "fill"} {
				a, b := luminance(t, colours[text]), luminance(t, colours[back])
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
					t.Errorf("set %d: %s on %s has a contrast of %.2f", i+1, text, back, ratio)
				}
			}
		}
	}
}

// TestKeyboard: what one can act on is a button or an input with a label, in the order of the page, and what is focused is seen.
func TestKeyboard(t *testing.T) {
	page, script, style := source(t, "index.html"), source(t, "script.js"), source(t, "style.css")
	for _, m := range regexp.MustCompile(`<(input|select)[^>]*>`).FindAllStringIndex(page, -1) {
		before := page[:m[0]]
		if strings.LastIndex(before, "<label>") <= strings.LastIndex(before, "</label>") {
			t.Errorf("%s has no label", page[m[0]:m[1]])
		}
	}
	for _, m := range regexp.MustCompile(`<img[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(m, `alt="`) {
			t.Errorf("%s has no alternative", m)
		}
	}
	if m := regexp.MustCompile(`tabindex="[1-9]| on\w+="`).FindString(page); m != "" {
		t.Errorf("the page has %s", m)
	}
	if strings.Count(page, "<section ") != strings.Count(page, `aria-label="`)-2 { // the views, and the log's lines, have one too
		t.Errorf("a section has no label")
	}
	for _, m := range regexp.MustCompile(`(\w+)\.onclick`).FindAllStringSubmatch(script, -1) {
		made := regexp.MustCompile(`(const|let) ` + m[1] + ` = el\("button"|const ` + m[1] + ` of document\.querySelectorAll\("nav button"\)`)
		if !made.MatchString(script) {
			t.Errorf("%s.onclick: it is not a button", m[1])
		}
	}
	if !strings.Contains(style, ":focus-visible { outline:") {
		t.Error("what is focused is not seen")
	}
}
