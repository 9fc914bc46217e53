//go:build linux

// Command compare measures sidecar-init and its peers side by side, in one run on one machine, and writes a page about it:
//
//	go run ./internal/compare -bin bin/sidecar-init -o docs/comparison
//
// It needs root, for a pid namespace around each, and a C compiler, for the daemon that they supervise. A peer that is not
// installed is left out, and the page says so. Every measurement goes round all of them in turns, so that a machine which is slower
// at one time than at another is so for all; what is written is the median.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == stageWord {
		fmt.Fprintln(os.Stderr, "compare:", stage(os.Args[2:]))
		os.Exit(1)
	}
	var o options
	flag.StringVar(&o.bin, "bin", "bin/sidecar-init", "our binary; several builds of it, with commas between, are each measured, under the names of their files")
	flag.StringVar(&o.out, "o", "docs/comparison", "the page is FILE.md, its plots are FILE-*.svg")
	flag.IntVar(&o.times, "times", 10, "how often each thing is measured")
	flag.IntVar(&o.lines, "lines", 200_000, "lines of a log, for throughput")
	flag.IntVar(&o.orphans, "orphans", 10_000, "processes that are left to PID 1")
	flag.StringVar(&o.only, "only", "", "one `peer`, instead of all; ours are all of -bin")
	flag.StringVar(&o.run, "run", "", "only the measurements whose titles match this `regexp`")
	flag.Parse()
	if err := o.compare(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

type options struct {
	bin, out, only, run   string
	times, lines, orphans int
}

func (o *options) compare() error {
	if os.Getuid() != 0 {
		return errors.New("only root can make a pid namespace around each supervisor: run it as root")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		return errors.New("there is no C compiler, cc, for the daemon that is supervised (Debian package gcc)")
	}
	wanted, err := regexp.Compile(o.run)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source := filepath.Join(work, "child.c")
	if err := os.WriteFile(source, childSource, 0o644); err != nil {
		return err
	}
	b := bench{options: o, dir: work, child: filepath.Join(work, "child"), wanted: wanted}
	if out, err := exec.Command(cc, "-O2", "-static", "-o", b.child, source).CombinedOutput(); err != nil {
		return fmt.Errorf("the daemon does not compile: %w\n%s", err, out)
	}
	r := report{machine: machine(), times: o.times, orphans: o.orphans, lines: o.lines}
	for _, p := range append(builds(o.bin), peers()...) {
		if o.only != "" && o.only != p.name && !(o.only == "sidecar-init" && p.ours) {
			continue
		}
		if lacks := p.lacks(); lacks != "" {
			r.absent = append(r.absent, p.name+" (no "+lacks+")")
			continue
		}
		r.peers = append(r.peers, p)
	}
	if r.rows, err = b.measure(r.peers); err != nil {
		return err
	}
	return r.write(o.out)
}

const stageWord = "__stage"

// stage is PID 1 of a new namespace: it mounts what shows that one's processes, and becomes the supervisor.
func stage(argv []string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	if group := os.Getenv(groupVariable); group != "" {
		if err := enter(group); err != nil {
			return err
		}
		os.Unsetenv(groupVariable)
	}
	return fmt.Errorf("%s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}

// machine is what the figures were measured on.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	return fmt.Sprintf("%d × %s, Linux %s", set.Count(), model, unix.ByteSliceToString(u.Release[:]))
}

// median is the middle one of some figures.
func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if len(all) == 0 {
		return 0
	}
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
