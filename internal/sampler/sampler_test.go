package sampler

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	page := int64(os.Getpagesize())
	dir := t.TempDir()
	for pid, stat := range map[string]string{
		// pid (name) state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime
		// priority nice threads itrealvalue starttime vsize rss rsslim
		"10": "10 (web) S 1 10 10 0 -1 4194560 10 0 0 0 100 3 4 5 20 0 1 0 100 1000000 7 18446744073709551615 1 1 0\n",
		"11": "11 (a) b) ) R 10 10 10 0 -1 4194560 10 0 0 0 1 2 0 0 20 0 1 0 100 1000000 3 18446744073709551615 1 1 0\n",
		"12": "12 (own group) S 10 12 10 0 -1 4194560 10 0 0 0 1 0 0 0 20 0 1 0 100 1000000 1 18446744073709551615 1 1 0\n",
		"20": "20 (other) S 1 20 20 0 -1 4194560 10 0 0 0 0 0 0 0 20 0 1 0 100 1000000 2 18446744073709551615 1 1 0\n",
		"2":  "2 (kthreadd) S 0 0 0 0 -1 4194560 10 0 0 0 9 9 0 0 20 0 1 0 100 0 9 18446744073709551615 0 0 0\n",
		"30": "", "31": "31 (gone", "self": "10 (web) S 1 10 10", "meminfo": "x",
	} {
		if err := os.MkdirAll(filepath.Join(dir, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, pid, "stat"), []byte(stat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := read(dir, false)
	want := map[int]Usage{
		10: {CPU: (100 + 3 + 4 + 5 + 1 + 2 + 1) * tick, RSS: 11 * page},
		12: {CPU: tick, RSS: page},
		20: {RSS: 2 * page},
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for id, u := range want {
		if got[id] != u {
			t.Errorf("%d: got %v, want %v", id, got[id], u)
		}
	}
	if got := read(filepath.Join(dir, "nothing"), false); len(got) != 0 {
		t.Errorf("without /proc: %v", got)
	}
}

// Where the kernel counts for each thread, the page tables are true, if they may be seen.
func TestReadWalks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10/stat": "10 (web) S 1 10 10 0 -1 4194560 10 0 0 0 0 0 0 0 20 0 1 0 100 1000000 2 18446744073709551615 1 1 0\n",
		"10/smaps_rollup": "5583eca3d000-7ffd7e4f2000 ---p 00000000 00:00 0                          [rollup]\n" +
			"Rss:                1724 kB\nPss:                 320 kB\n",
		"20/stat": "20 (other) S 1 20 20 0 -1 4194560 10 0 0 0 0 0 0 0 20 0 1 0 100 1000000 2 18446744073709551615 1 1 0\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	counted := 2 * int64(os.Getpagesize())
	for walk, want := range map[bool][2]int64{true: {1724 << 10, counted}, false: {counted, counted}} {
		got := read(dir, walk)
		if got := [2]int64{got[10].RSS, got[20].RSS}; got != want {
			t.Errorf("walk is %t: got %v, want %v", walk, got, want)
		}
	}
}

func TestBefore62(t *testing.T) {
	for release, want := range map[string]bool{
		"6.1.0-56-cloud-amd64": true, "5.14.0-427.el9.x86_64": true, "6.2.0\x00\x00": false, "6.12.117+deb12-cloud-amd64": false,
		"7.0": false, "": false, "Linux": false,
	} {
		if got := before62(release); got != want {
			t.Errorf("%q: got %t, want %t", release, got, want)
		}
	}
}

// TestSample measures a real session: a shell and what it has started.
func TestSample(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "while [ $((i+=1)) -lt 50000 ]; do :; done; echo; cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var s Sampler
	u := s.Sample()[cmd.Process.Pid]
	if u.CPU < tick || u.CPU > time.Minute || u.RSS < 100<<10 || u.RSS > 1<<30 {
		t.Errorf("got %+v", u)
	}
	in.Close()
	cmd.Wait()
	s.at = time.Now().Add(time.Minute) // a slow machine does not matter then
	if got := s.Sample()[cmd.Process.Pid]; got != u {
		t.Errorf("another one at once: %+v, want what there was, %+v", got, u)
	}
	s.at = time.Time{}
	if got := s.Sample()[cmd.Process.Pid]; got != (Usage{}) {
		t.Errorf("later: %+v, want nothing", got)
	}
	if self := Self(); self.RSS < 1<<20 || self.CPU > time.Hour {
		t.Errorf("this process: %+v", self)
	}
}
