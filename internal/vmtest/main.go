//go:build linux

// Command vmtest runs tests in machines of their own, for `make test-vm`: Debian's kernels under QEMU, without KVM, booted to an
// initramfs that has the tests, what they start, and busybox. In there the tests are root of a whole machine, with cgroup v2,
// clocks that may be set and no container engine between; and the kernels are those that users have.
//
//	go run ./internal/vmtest [-dir DIR] [-fetch] [-kernels 6.1,6.12] [-run REGEXP] [PACKAGE...]
//
// It prints what go test prints, and a line with the number of tests. It exits with 1 if a test failed, or was skipped for a
// reason that a machine of one's own does not know. -fetch only downloads the kernels, and exits with 1 if they cannot be had.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/testreport"
)

func main() {
	dir := flag.String("dir", "bin/vm", "where kernels are kept, and the kernels' messages")
	fetch := flag.Bool("fetch", false, "only download the kernels")
	kernels := flag.String("kernels", "6.1,6.12", "the `series` to run, separated by commas")
	run := flag.String("run", "", "only the tests that match this `regexp`")
	limit := flag.Duration("limit", 15*time.Minute, "how long a machine may run")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := rig{dir: *dir, series: strings.Split(*kernels, ","), limit: *limit}
	err := r.fetch()
	if err == nil && !*fetch {
		err = r.run(ctx, *run, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmtest:", err)
		os.Exit(1)
	}
}

// A rig is machines that differ in their kernel.
type rig struct {
	dir    string
	series []string
	limit  time.Duration
	files  []string // the kernels
}

func (r *rig) fetch() error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	for _, s := range r.series {
		file, err := kernel(r.dir, s)
		if err != nil {
			return err
		}
		r.files = append(r.files, file)
	}
	return nil
}

// run runs the suites, or those of the packages named, on each kernel.
func (r *rig) run(ctx context.Context, filter string, packages []string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w: apt-get install busybox-static", err)
	}
	only := slices.DeleteFunc(suites(), func(s suite) bool { return len(packages) > 0 && !slices.Contains(packages, s.pkg) })
	if filter != "" {
		filter = "-test.run='" + filter + "'"
	}
	initrd := filepath.Join(r.dir, "initramfs")
	if err := image(initrd, busybox, filter, r.series[0], only); err != nil {
		return err
	}
	var sums []string
	var problems []error
	for i, series := range r.series {
		fmt.Printf("== %s\n", filepath.Base(r.files[i]))
		begin := time.Now()
		sum, err := r.boot(ctx, r.files[i], initrd, series)
		for _, s := range sum.Skips {
			fmt.Println("skipped", s)
		}
		fmt.Printf("took %s\n%d passed, %d failed, %d skipped\n",
			time.Since(begin).Round(100*time.Millisecond), sum.Passed, sum.Failed, len(sum.Skips))
		problems = append(problems, err, judge(sum))
		sums = append(sums, fmt.Sprintf("vm %s: %d tests", series, sum.Passed))
	}
	fmt.Println(strings.Join(sums, ", "))
	return errors.Join(problems...)
}

// excused are the reasons for a skip that hold also in a machine of one's own: nobody is not root and has no cgroups, and only
// busybox and the repository's own programs are installed.
var excused = regexp.MustCompile(`\b(only|needs|not) root\b|^\S+ nobody .*\bcgroup\b|\bis not installed\b|\(Debian package \w+\)|\bno bash\b|-short is set$`)

// judge says what of a run is not as it should be.
func judge(sum testreport.Summary) error {
	var problems []error
	if len(sum.Broken) > 0 {
		problems = append(problems, fmt.Errorf("failed: %s", strings.Join(sum.Broken, ", ")))
	}
	if sum.Passed == 0 {
		problems = append(problems, errors.New("no test has passed"))
	}
	for _, s := range sum.Skips {
		if !excused.MatchString(s.String()) {
			problems = append(problems, fmt.Errorf("must not be skipped in a machine: %s", s))
		}
	}
	return errors.Join(problems...)
}
