// Command gotest runs go test for `make test`: with the race detector where a C compiler is there, in random order,
// and it closes with why each skipped test was skipped, which go test itself tells only with -v.
//
//	go run ./internal/gotest [-noskip REGEXP] -- [go test flags and packages]
//
// It prints what go test prints without -v. It exits with 1 if a test failed, or if one was skipped for a reason that
// matches -noskip: a machine that must be able to run a test can say so.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

func main() {
	noskip := flag.String("noskip", "", "fail if a test is skipped for a reason that matches this `regexp`")
	flag.Parse()
	must, err := regexp.Compile(*noskip)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(64)
	}

	args := []string{"test", "-json", "-shuffle=on"}
	if why := noRace(); why != "" {
		fmt.Println("without the race detector:", why)
	} else {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, flag.Args()...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	start := time.Now()
	sum, readErr := report(out, os.Stdout)
	waitErr := cmd.Wait()

	for _, s := range sum.skips {
		fmt.Println("skipped", s)
	}
	fmt.Printf("took %s\n%d passed, %d failed, %d skipped\n",
		time.Since(start).Round(100*time.Millisecond), sum.passed, sum.failed, len(sum.skips))
	failed := false
	for _, s := range sum.skips {
		if *noskip != "" && must.MatchString(s.reason) {
			fmt.Println("gotest: must not be skipped here:", s)
			failed = true
		}
	}
	if readErr != nil {
		fmt.Fprintln(os.Stderr, "gotest:", readErr)
	}
	if failed || readErr != nil || waitErr != nil {
		os.Exit(1)
	}
}

// noRace builds the smallest program with the race detector and says why that does not work; "" if it does. To look for
// gcc alone would not do: a compiler without the C library's headers is common in containers.
func noRace() string {
	cmd := exec.Command("go", "build", "-race", "-o", os.DevNull, "./internal/gotest")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Sprintf("%v: %s", err, lines[len(lines)-1])
}

// An event is a line of go test -json, as `go doc test2json` has it.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build that failed
	Test       string
	Output     string
}

// A skip is a test that was skipped.
type skip struct{ pkg, test, reason string }

func (s skip) String() string { return fmt.Sprintf("%s %s: %s", s.pkg, s.test, s.reason) }

// A summary counts tests, each subtest too.
type summary struct {
	passed, failed int
	skips          []skip
}

// report reads the events of go test -json and writes what matters of them to w: one closing line for each package,
// and before it all that was printed by the tests that failed.
func report(r io.Reader, w io.Writer) (summary, error) {
	var sum summary
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
			if e.Action != "fail" {
				text = closing(text)
			}
			fmt.Fprint(w, text)
			delete(printed, [2]string{e.Package, ""})
		default:
			switch e.Action {
			case "pass":
				sum.passed++
			case "skip":
				sum.skips = append(sum.skips, skip{e.Package, e.Test, reason(buf(e).String())})
			case "fail":
				sum.failed++
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
