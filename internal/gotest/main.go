// Command gotest runs go test for `make test`: with the race detector where a C compiler is there, in random order,
// and it closes with why each skipped test was skipped, which go test itself tells only with -v.
//
//	go run ./internal/gotest [-noskip REGEXP] [-name NAME] -- [go test flags and packages]
//
// It prints what go test prints without -v. It exits with 1 if a test failed, or if one was skipped for a reason that
// matches -noskip: a machine that must be able to run a test can say so.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/testreport"
)

func main() {
	noskip := flag.String("noskip", "", "fail if a test is skipped for a reason that matches this `regexp`")
	name := flag.String("name", "", "what the tests are of: close with a line `NAME`: N tests")
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
	sum, readErr := testreport.Read(out, os.Stdout)
	waitErr := cmd.Wait()

	for _, s := range sum.Skips {
		fmt.Println("skipped", s)
	}
	fmt.Printf("took %s\n%d passed, %d failed, %d skipped\n",
		time.Since(start).Round(100*time.Millisecond), sum.Passed, sum.Failed, len(sum.Skips))
	if *name != "" {
		fmt.Printf("%s: %d tests\n", *name, sum.Passed)
	}
	failed := false
	for _, s := range sum.Skips {
		if *noskip != "" && must.MatchString(s.Reason) {
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
