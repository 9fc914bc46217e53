package repo_test

import (
	"slices"
	"strings"
)

// sortLines returns the lines of text in order.
func sortLines(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// diff is what was taken from (-) and what came to (+) a sorted list of lines.
func diff(from, to string) string {
	var b strings.Builder
	was, is := slices.Collect(strings.Lines(from)), slices.Collect(strings.Lines(to))
	for _, l := range was {
		if !slices.Contains(is, l) {
			b.WriteString("-" + l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			b.WriteString("+" + l)
		}
	}
	return b.String()
}
