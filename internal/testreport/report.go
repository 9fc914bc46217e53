// Package testreport reads the output of go test -json, and prints what go test prints without -v. It also counts the tests and keeps the
// reason of each skipped test, which go test itself prints only with -v.
package testreport

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// An event is a line of go test -json, as `go doc test2json` has it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build that failed
	Test       string
	Output     string
	Elapsed    float64 // in seconds
}

// A Skip is a test that was skipped.
type Skip struct{ Package, Test, Reason string }

// String is the skip as one line.
func (s Skip) String() string { return fmt.Sprintf("%s %s: %s", s.Package, s.Test, s.Reason) }

// A Summary counts tests, each subtest too.
type Summary struct {
	Passed, Failed int
	Broken         []string // packages that failed, also where none of their tests did
	Skips          []Skip
}

// Read reads the events of go test -json and writes what matters of them to w: one closing line for each package,
// and before it all that was printed by the tests that failed.
func Read(r io.Reader, w io.Writer) (Summary, error) {
	var sum Summary
	printed := map[[2]string]*strings.Builder{} // by package and test; the test is "" for the package's own
	buf := func(e event) *strings.Builder {
		k := [2]string{e.Package, e.Test}
		if printed[k] == nil {
			printed[k] = &strings.Builder{}
		}
		return printed[k]
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return sum, nil
		}
		if err != nil && err != io.EOF {
			return sum, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil || !bytes.HasPrefix(line, []byte("{")) {
			fmt.Fprintf(w, "%s", line) // not an event: the go command speaks for itself
			continue
		}
		switch {
		case e.Action == "build-output":
			fmt.Fprint(w, e.Output)
		case e.Action == "output":
			buf(e).WriteString(e.Output)
		case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
			// run, start, pause, cont, bench: nothing to tell
		case e.Test == "":
			text := buf(e).String()
			if e.Action == "fail" {
				sum.Broken = append(sum.Broken, e.Package)
			} else {
				text = closing(text)
			}
			// Where it was not go test that ran the tests, nobody has named the package yet.
			if last := closing(text); !strings.Contains(last, e.Package) {
				text = fmt.Sprintf("%s%s\t%s\t%.3fs\n", strings.TrimSuffix(text, last), strings.TrimSpace(last), e.Package, e.Elapsed)
			}
			fmt.Fprint(w, text)
			delete(printed, [2]string{e.Package, ""})
		default:
			switch e.Action {
			case "pass":
				sum.Passed++
			case "skip":
				sum.Skips = append(sum.Skips, Skip{e.Package, e.Test, reason(buf(e).String())})
			case "fail":
				sum.Failed++
				fmt.Fprint(w, buf(e).String())
			}
			delete(printed, [2]string{e.Package, e.Test})
		}
	}
}

// closing is the last line of a package that passed, such as "ok pkg 0.1s".
func closing(text string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	return strings.TrimSuffix(lines[len(lines)-1], "\n") + "\n"
}

// reason is what a skipped test printed: t.Skip's arguments with their place.
func reason(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			words = append(words, line)
		}
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}
