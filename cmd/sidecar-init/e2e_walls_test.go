//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// hostileWord makes this binary a hostile daemon: one that reads what it can of all others, then ends whom it can.
const hostileWord = "sidecar-init-hostile"

// needle is what it looks for. No program has it but in its environment or memory.
var needle = regexp.MustCompile(`needle-[0-9a-f]{16}`)

const value = "0123456789abcdef"

// hostile attacks as "direct", or as "orphan" from a process that has left its parents.
func hostile(how string) {
	switch how {
	case "orphan", "middle":
		next := map[string]string{"orphan": "middle", "middle": "direct"}[how]
		p, err := os.StartProcess("/proc/self/exe", []string{"x", hostileWord, next}, &os.ProcAttr{
			Env: append(os.Environ(), fmt.Sprintf("SPARE=%d", os.Getpid())), Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
		if err != nil {
			fmt.Println("cannot:", err)
			return
		}
		if how == "orphan" {
			p.Wait()
			forever()
		}
		return
	}
	for spare := os.Getenv("SPARE"); spare != "" && os.Getppid() != 1; { // until nobody is between it and PID 1
		time.Sleep(time.Millisecond)
	}
	// Only in a place that was made for it.
	if line, _ := os.ReadFile("/proc/1/cmdline"); !bytes.HasPrefix(line, []byte("sidecar-init\x00run\x00")) {
		fmt.Println("cannot: this is not the test's namespace")
		return
	}
	var victims []int
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(name))
		if pid != os.Getpid() && strconv.Itoa(pid) != os.Getenv("SPARE") {
			victims = append(victims, pid)
		}
	}
	found := map[string]bool{}
	for _, pid := range victims {
		read(pid, found)
	}
	fmt.Printf("read: %s\n", strings.Join(slices.Sorted(maps.Keys(found)), " "))
	clear(found)
	_ = unix.Kill(-1, 0)
	for _, pid := range victims {
		found["signal 0"] = found["signal 0"] || unix.Kill(pid, 0) == nil
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			found["pidfd"] = found["pidfd"] || unix.PidfdSendSignal(fd, 0, nil, 0) == nil
			unix.Close(fd)
		}
		if pid != 1 {
			found["KILL"] = unix.Kill(pid, unix.SIGKILL) == nil || found["KILL"]
		}
	}
	found["TERM 1"] = unix.Kill(1, unix.SIGTERM) == nil
	maps.DeleteFunc(found, func(_ string, did bool) bool { return !did })
	fmt.Printf("moved: %s\n", strings.Join(slices.Sorted(maps.Keys(found)), " "))
	if os.Getenv("SPARE") == "" {
		forever()
	}
}

// forever is until somebody ends the process. (Go ends a program all of whose goroutines wait for each other.)
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// read notes by which ways something of a process can be had.
func read(pid int, found map[string]bool) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	files, _ := filepath.Glob(dir + "*")
	tasks, _ := filepath.Glob(dir + "task/*/[aem]*") // auxv, environ, maps: what they have of their own is the same
	text := make([]byte, 64<<10)
	for _, file := range append(files, tasks...) {
		name := filepath.Base(file)
		if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || name == "mem" {
			continue
		}
		f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		n, _ := f.Read(text)
		f.Close()
		if needle.Match(text[:n]) {
			found[name] = true
		}
		found[name] = found[name] || n > 0 && (name == "maps" || name == "auxv")
	}
	for _, link := range []string{"root", "cwd", "exe"} {
		if _, err := os.Readlink(dir + link); err == nil {
			found[link] = true
		}
	}
	if _, err := os.Stat(dir + "root/etc/passwd"); err == nil {
		found["root/"] = true
	}
	fds, _ := filepath.Glob(dir + "fd/*")
	for _, fd := range fds {
		if _, err := os.Readlink(fd); err == nil {
			found["fd"] = true
		}
	}
	if f, err := os.Open(dir + "mem"); err == nil {
		found["mem"] = true
		f.Close()
	}
	word := make([]byte, 8)
	local := unix.Iovec{Base: &word[0]}
	local.SetLen(len(word))
	_, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&word[0])), Len: len(word)}}, 0)
	found["process_vm_readv"] = found["process_vm_readv"] || err == nil || err == unix.EFAULT
	if err := unix.PtraceSeize(pid); err == nil {
		found["ptrace"] = true
	}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if got, err := unix.PidfdGetfd(fd, 1, 0); err == nil {
			found["pidfd_getfd"] = true
			unix.Close(got)
		}
		unix.Close(fd)
	}
	maps.DeleteFunc(found, func(_ string, did bool) bool { return !did })
}

// landlock skips a test where the kernel's Landlock is older than this version.
func landlock(t testing.TB, version int) {
	t.Helper()
	if abi := kernel.Landlock(); abi < version {
		t.Skipf("the kernel's Landlock has version %d, and this takes %d", abi, version)
	}
}

// TestHostileDaemon: a daemon of the same user finds nothing of what is private to another one, in that and in PID 1, and moves
// nobody, also from a process that has left its parents; without walls it does all of it.
func TestHostileDaemon(t *testing.T) {
	t.Parallel()
	landlock(t, minABI)
	for _, p := range []place{asRoot, asNobody} {
		for _, how := range []string{"direct", "orphan"} {
			for _, walls := range []string{"auto", "off"} {
				t.Run(p.name+"/"+how+"/"+walls, func(t *testing.T) {
					t.Parallel()
					p.require(t)
					testHostile(t, p, how, walls)
				})
			}
		}
	}
}

func testHostile(t *testing.T, p place, how, walls string) {
	s := start(t, call{
		place: p, stage: "docker", env: []string{"TOKEN_1=needle-" + value}, args: []string{"--grace-period", "2s"},
		bundle: "x-sidecar-init: { walls: \"" + walls + "\" }\n" + services(
			daemon("owner", "trap TERM { print bye; exit 0 }; print ready; block", `x-sidecar-init: { private_env: ["TOKEN_*"] }`),
			daemon("bystander", "trap TERM { print bye; exit 0 }; print ready; block", "cap_drop: [CHOWN]"),
			"  evil: { entrypoint: [/proc/self/exe, "+hostileWord+", "+how+"], depends_on: { bystander: { condition: service_started }, owner: { condition: service_started } } }\n",
		),
	})
	s.expect("[owner] ready", "[bystander] ready")
	read := s.match(`\[evil\] read: (.*)`)[0]
	if walls != "off" && kernel.Landlock() < scopeABI { // it ends the bundle, and perhaps itself before it has told
		if read != "" {
			t.Errorf("it reads %s", read)
		}
		s.match("sidecar-init: warning: behind a wall everybody can still be signalled.*")
		s.wait()
		return
	}
	moved := s.match(`\[evil\] moved: (.*)`)[0]
	if walls == "off" {
		for _, want := range []string{"environ", "mem", "fd", "maps", "root", "process_vm_readv"} {
			if !slices.Contains(strings.Fields(read), want) {
				t.Errorf("without walls it does not read %s, so this test proves nothing: %s", want, read)
			}
		}
		if moved != "KILL TERM 1 pidfd signal 0" {
			t.Errorf("without walls it does not move everybody, so this test proves nothing: %s", moved)
		}
		s.match("sidecar-init: warning: private variables: TOKEN_\\* of owner: by environment only: walls are off")
		return // PID 1 does not end by itself: it is being traced
	}
	s.expect("sidecar-init: walls around all 3 daemons")
	if read != "" {
		t.Errorf("it reads %s", read)
	}
	if moved != "" {
		t.Errorf("it moves %s", moved)
	}
	s.never("sidecar-init: warning.*")
	s.never(`sidecar-init: (owner|bystander) exited.*`)
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.expect("[owner] bye", "[bystander] bye")
}
