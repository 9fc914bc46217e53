// Package sampler reads from /proc how much CPU time and memory daemons use.
//
// Nothing is read until somebody asks. One pass over /proc serves all daemons. A daemon's figures include its whole session, so also
// what a shell has started for it.
package sampler

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Usage is what the processes of a session use.
type Usage struct {
	CPU time.Duration // of the living, and of those that they have waited for
	RSS int64         // resident memory in bytes; what processes share is counted for each
}

// fresh is how long a pass over /proc serves: many may ask at the same time.
const fresh = 200 * time.Millisecond

// A Sampler reads /proc. The zero Sampler is ready for use.
type Sampler struct {
	mu   sync.Mutex
	at   time.Time
	last map[int]Usage
}

// Sample returns the usage of each session, by its ID, which is the PID of the daemon that leads it; and of what left
// its session, by process group. It is at most 200 ms old, and not to be changed.
func (s *Sampler) Sample() map[int]Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.last == nil || now.Sub(s.at) > fresh {
		s.last = read("/proc", perThread())
		s.at = time.Now()
	}
	return s.last
}

// Self returns the usage of this process alone.
func Self() Usage {
	p, _ := readProcess("/proc/self", make([]byte, 1024), perThread())
	return p.usage
}

// perThread reports whether the kernel counts resident pages for each thread: before Linux 6.2 (commit f1a7941243c1) up to 64
// of them are not in what it tells of a process, which for a small one is all.
func perThread() bool {
	var name syscall.Utsname
	if syscall.Uname(&name) != nil {
		return false
	}
	var release []byte
	for _, c := range name.Release {
		release = append(release, byte(c))
	}
	return before62(string(release))
}

func before62(release string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return n == 2 && (major < 6 || major == 6 && minor < 2)
}

// readProcess reads what a process uses. With walk its resident size is had from its page tables, which takes longer; where
// those are not ours to see, since the process is another user's, there is what the kernel counts.
func readProcess(dir string, buf []byte, walk bool) (process, bool) {
	p, ok := parse(readFile(dir+"/stat", buf))
	if ok && walk && p.session != 0 {
		if _, rest, found := bytes.Cut(readFile(dir+"/smaps_rollup", buf), []byte("\nRss:")); found {
			kB, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), space)
			p.usage.RSS = number(kB) << 10
		}
	}
	return p, ok
}

// read adds up what all processes use.
func read(root string, walk bool) map[int]Usage {
	all := map[int]Usage{}
	dir, err := os.Open(root)
	if err != nil {
		return all
	}
	defer dir.Close()
	buf := make([]byte, 1024)
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if name[0] < '0' || name[0] > '9' {
				continue
			}
			p, ok := readProcess(root+"/"+name, buf, walk)
			if !ok || p.session == 0 { // it has just ended, or belongs to the kernel or another namespace
				continue
			}
			all[p.session] = all[p.session].plus(p.usage)
			if p.group != p.session {
				all[p.group] = all[p.group].plus(p.usage)
			}
		}
		if err != nil {
			return all
		}
	}
}

func (u Usage) plus(v Usage) Usage { return Usage{CPU: u.CPU + v.CPU, RSS: u.RSS + v.RSS} }

// readFile reads what a file has, as far as buf goes. It makes no os.File: with many processes those would be most of the
// garbage of this program.
func readFile(name string, buf []byte) []byte {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

type process struct {
	group, session int
	usage          Usage
}

// tick is the unit of times in /proc: USER_HZ is 100 wherever Linux runs Go programs.
const tick = time.Second / 100

// parse reads /proc/PID/stat, as proc_pid_stat(5) has it. The name of the program, in parentheses, can have anything in
// it, so the fields are counted from the last parenthesis.
func parse(stat []byte) (p process, ok bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return process{}, false
	}
	rest := stat[end+1:]
	for field := 3; ; field++ { // the number of the first one after the name
		rest = bytes.TrimLeft(rest, " ")
		var word []byte
		if word, rest, ok = bytes.Cut(rest, space); !ok {
			return process{}, false
		}
		switch field {
		case 5:
			p.group = int(number(word))
		case 6:
			p.session = int(number(word))
		case 14, 15, 16, 17:
			p.usage.CPU += time.Duration(number(word)) * tick
		case 24:
			p.usage.RSS = number(word) * int64(os.Getpagesize())
			return p, true
		}
	}
}

var space = []byte(" ")

// number is a decimal number; what is none, or a negative one, is 0.
func number(word []byte) (n int64) {
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
