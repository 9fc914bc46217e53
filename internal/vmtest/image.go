//go:build linux

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A suite is the tests of a package, as they are run in a machine.
type suite struct {
	pkg   string   // its folder
	tags  string   // build tags
	users []string // as whom
	first []string // as whom on the first kernel alone: what differs there by the user differs alike on all
	args  string   // of the test binary
}

func everybody() []string { return []string{"root", "nobody"} }

// unfiltered leaves out what runs the same tests again under many seccomp filters, with bounds for a machine that is not emulated: a
// filter is the same on every kernel.
const unfiltered = "-test.skip='^(TestRefusals|TestProfile|TestSoakProfile" + kernelFree + ")$'"

// kernelFree are tests of what is the same on every kernel: the command line, the texts, what a bundle makes of its file. They start
// hundreds of programs, for which an emulated machine takes minutes.
const kernelFree = "|Test(Reload|Transient|Add|Rollout|Example|Secret|ExitCode|Job[HLO])[A-Za-z]*|TestCannotAdd|TestScripts|TestNothingPrivate|" +
	"TestMetrics|TestSinks|TestProfiles|TestScale|TestConditions|TestCritical|TestRestartPolicies|TestMessage|TestSources|TestPlanIsCompare|" +
	"TestStartAtFirstVersion|TestPeersMessage|TestIdleClients|TestNotReady|TestOrder|TestRoutedShutdown|TestLinesStayWhole|TestFlood|" +
	"TestHealthyCrashLoop|TestWallsCost|Test(Top|Dashboard|Watch)[A-Za-z]*|TestManPages|TestExitCode[A-Za-z]*|TestHooks|TestOverflow|TestRestartBurst|" +
	"TestForwardBurst|Test(Probe|Notify)?Environment|TestFit|Test(No|Required|PartOf)Landlock|TestUnhealthy|TestUpward"

// suites are the packages whose promises depend on the kernel. A machine without KVM is ten times slower than this one, so that
// what takes minutes is left out, by -short.
func suites() []suite {
	return []suite{
		{pkg: "internal/kernel", users: everybody()},
		{pkg: "internal/proc", users: everybody()},
		{pkg: "internal/cgroup", users: []string{"root"}},
		{pkg: "internal/oom", users: everybody()},
		{pkg: "internal/reap", users: []string{"root"}, first: []string{"nobody"}, args: "-test.short"},
		{pkg: "internal/setup", users: []string{"root"}, first: []string{"nobody"}},
		{pkg: "internal/sdnotify", users: everybody()},
		{pkg: "internal/shim", users: everybody()},
		{pkg: "internal/sampler", users: everybody()},
		{pkg: "child", users: []string{"root"}, first: []string{"nobody"}, args: "-test.short " + unfiltered},
		// To pipes and to what is in memory alone it makes no difference who one is.
		{pkg: "log", first: []string{"root"}, args: "-test.short"},
		{pkg: "root", first: []string{"root"}, args: "-test.short"},
		{pkg: "cmd/sidecar-init", tags: "vm", users: []string{"root"}, args: "-test.short " + unfiltered}, // nobody is among its own places
	}
}

func (s suite) binary() string { return strings.ReplaceAll(s.pkg, "/", "-") }

//go:embed init.sh
var initScript string

// accounts are the users that tests speak of.
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
	group  = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nadm:x:4:\nnogroup:x:65534:\n"
)

// image makes the initramfs, of which first is the first series that boots it: the tests compiled, what they start, the repository's files, and a static busybox.
func image(file, busybox, filter, first string, only []suite) error {
	bin, err := os.MkdirTemp("", "vmtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	var plan strings.Builder
	if soak := os.Getenv("SIDECAR_INIT_SOAK"); soak != "" {
		fmt.Fprintf(&plan, "export SIDECAR_INIT_SOAK=%s\n", soak)
	}
	for _, s := range only {
		err := golang("test", "-c", "-trimpath", "-ldflags=-s -w", "-tags", s.tags, "-o", filepath.Join(bin, "tests", s.binary()), "./"+s.pkg)
		if err != nil {
			return err
		}
		// Most tests wait, for a grace or a backoff: with as many at a time as there are processors two thirds of these idle.
		for i, user := range slices.Concat(s.users, s.first) {
			if i >= len(s.users) {
				fmt.Fprintf(&plan, "[ $series != %s ] || ", first)
			}
			fmt.Fprintf(&plan, "tests %s %s %s -test.timeout=12m -test.parallel=4 %s %s\n", user, s.pkg, s.binary(), s.args, filter)
		}
	}
	tool := filepath.Join(bin, "tools")
	for _, err := range []error{
		golang("build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(tool, "test2json"), "cmd/test2json"),
		golang("build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(tool, "testdaemon"), "./internal/testproc/cmd/testdaemon"),
		command("make", "build", "BIN="+filepath.Join(tool, "sidecar-init")),
	} {
		if err != nil {
			return err
		}
	}

	var out bytes.Buffer
	a := newInitramfs(&out)
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "root", "var/tmp", "usr/bin"} {
		a.dir(dir)
	}
	// What init has as its standard files, before /dev is mounted.
	a.add("dev/console", unix.S_IFCHR|0o600, uint32(unix.Mkdev(5, 1)), "")
	a.add("dev/null", unix.S_IFCHR|0o666, uint32(unix.Mkdev(1, 3)), "")
	a.copy("bin/busybox", busybox)
	a.file("init", 0o755, initScript)
	a.file("plan", 0o644, plan.String())
	a.file("etc/passwd", 0o644, passwd)
	a.file("etc/group", 0o644, group)
	a.file("etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost\n")
	files, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate").Output()
	if err != nil {
		return fmt.Errorf("cannot list the repository's files: %w", err)
	}
	for name := range strings.SplitSeq(strings.Trim(string(files), "\x00"), "\x00") {
		if _, err := os.Lstat(name); err == nil { // else it was deleted since the last commit
			a.copy("src/"+name, name)
		}
	}
	for _, dir := range []string{"tests", "tools"} {
		names, err := filepath.Glob(filepath.Join(bin, dir, "*"))
		a.fail(err)
		for _, name := range names {
			a.copy(dir+"/"+filepath.Base(name), name)
		}
	}
	if err := a.close(); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// golang runs the go command for a machine in which there is no C library.
func golang(args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return output(cmd)
}

func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	return output(cmd)
}

func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
