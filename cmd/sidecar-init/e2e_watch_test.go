//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// trapping is a service that says when it starts, and when it gets SIGHUP; watch is an item of its watch.
func trapping(name string, watch ...string) string {
	return fmt.Sprintf(`  %s:
    command: [sh, -c, 'trap "echo hangup" HUP; trap "kill $$!; exit 0" TERM; echo up; while :; do sleep 1000 & wait $$!; done']
    x-sidecar-init: { watch: [%s] }
`, name, strings.Join(watch, ", "))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// swap puts files into dir as kubelet's atomic writer does: a new directory, to which the link ..data is moved.
func swap(t *testing.T, dir string, version int, files map[string]string) {
	t.Helper()
	try := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	name := func(version int) string { return fmt.Sprintf("..v%d", version) }
	try(os.Mkdir(filepath.Join(dir, name(version)), 0o755))
	for file, text := range files {
		write(t, filepath.Join(dir, name(version), file), text)
		if version == 0 {
			try(os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)))
		}
	}
	try(os.Symlink(name(version), filepath.Join(dir, "..data_tmp")))
	try(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if version > 0 {
		try(os.RemoveAll(filepath.Join(dir, name(version-1))))
	}
}

// watched waits until the supervisor has an inotify instance, and returns how many it has.
func watched(t *testing.T, s *supervisor) (n int) {
	t.Helper()
	eventually(t, "there is a watch", func() bool {
		n = 0
		places := false
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", s.cmd.Process.Pid))
		for _, file := range files {
			info, _ := os.ReadFile(file)
			fd, _ := os.Readlink(strings.Replace(file, "fdinfo", "fd", 1))
			if strings.HasPrefix(fd, "anon_inode:inotify") {
				n++
			}
			places = places || strings.Contains(string(info), "inotify wd:")
		}
		return places
	})
	time.Sleep(time.Second) // the look after the first, which closes the gap between look and watch
	return n
}

// descriptors counts those of the supervisor.
func descriptors(t *testing.T, s *supervisor) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestWatchAutoReload(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	dir := openDir(t)
	bundle := func(i int) map[string]string {
		return map[string]string{"compose.yaml": "x-sidecar-init: { reload: auto }\n" + services(
			trapping("a"), fmt.Sprintf("    stop_grace_period: %ds\n", i+1))}
	}
	swap(t, dir, 0, bundle(0))
	s := start(t, call{args: []string{"run", "-f", filepath.Join(dir, "compose.yaml")}})
	if got := watched(t, s); got != 1 {
		t.Errorf("got %d inotify instances, want 1", got)
	}
	before := descriptors(t, s)
	const times = 100
	for i := 1; i <= times; i++ {
		swap(t, dir, i, bundle(i))
		s.match("sidecar-init: reloaded: .* 1 updated, 0 unchanged")
	}
	eventually(t, "no descriptor is left", func() bool { return descriptors(t, s) <= before })
	if got := s.count("sidecar-init: reloading .*"); got != times {
		t.Errorf("got %d reloads, want %d", got, times)
	}
	write(t, filepath.Join(dir, ".env"), "UNUSED=1\n")
	s.match("sidecar-init: reloaded: .*1 unchanged")
	swap(t, dir, times+1, map[string]string{"compose.yaml": "services: nonsense\n"})
	s.match("sidecar-init: reload refused: .*; nothing was changed")
	swap(t, dir, times+2, bundle(times+2))
	s.match("sidecar-init: reloaded: .* 1 updated, 0 unchanged")
	s.signal(15)
	s.exit(0)
}

func TestWatchActions(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	dir := openDir(t)
	file := filepath.Join(dir, "file")
	write(t, file, "0")
	late := filepath.Join(dir, "not/yet")
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	s, path := controlled(t, call{bundle: services(
		trapping("a", "{ path: "+file+" }"),
		trapping("b", "{ path: "+file+", action: signal, signal: SIGHUP }", "{ path: "+file+", action: exec, exec: [sh, -c, 'echo failing; exit 3'] }"),
		trapping("c", "{ path: "+file+", action: reload }"),
		trapping("d", "{ path: "+late+", action: signal, signal: HUP }"),
		trapping("e", "{ path: "+filepath.Join(dir, "loop")+" }"),
		trapping("f", "{ path: "+file+" }"),
	)})
	c := client.New(path)
	s.expect("[a] up", "[b] up", "[c] up", "[d] up", "[e] up", "[f] up")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Stop(ctx, "f"); err != nil {
		t.Fatal(err)
	}
	s.match("sidecar-init: .*" + regexp.QuoteMeta(late) + " does not exist; it is waited for")
	s.match("sidecar-init: cannot look at .*loop.*")
	watched(t, s)

	now := time.Now()
	if err := os.Chtimes(file, now, now); err != nil {
		t.Fatal(err)
	}
	write(t, file, "0") // the same
	time.Sleep(time.Second)
	s.never("sidecar-init: .* changed; .*")

	changed := regexp.QuoteMeta(file) + " changed; "
	write(t, file, "1")
	s.match("sidecar-init: a: " + changed + "restarting")
	s.expect("[a] up")
	s.match("sidecar-init: b: " + changed + "sending SIGHUP")
	s.expect("[b] hangup")
	s.match("sidecar-init: b: " + changed + "executing sh -c .*")
	s.match("sidecar-init: b: sh -c .* failed: .*3.*failing.*")
	s.match("sidecar-init: c: " + changed + "reloading")
	s.match("sidecar-init: reloaded: .* 6 unchanged")
	s.match("sidecar-init: f: " + changed + "nothing to do, since it is stopped")

	if err := os.Mkdir(filepath.Dir(late), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, late, "1")
	s.expect("[d] hangup")

	before := s.count("sidecar-init: a: " + changed + "restarting")
	for i := range 1000 {
		write(t, file, strconv.Itoa(i+2))
	}
	s.match("sidecar-init: a: " + changed + "restarting")
	time.Sleep(2 * time.Second)
	if got := s.count("sidecar-init: a: "+changed+"restarting") - before; got > 2 {
		t.Errorf("1000 writes: got %d restarts, want at most 2", got)
	}
	s.signal(15)
	s.exit(0)
}

func TestWatchSuspended(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	file := filepath.Join(openDir(t), "file")
	write(t, file, "")
	s, path := controlled(t, call{bundle: "x-sidecar-init: { transient: {} }\n" + services(trapping("a", "{ path: "+file+", debounce: 10ms }"))})
	s.expect("[a] up")
	watched(t, s)
	restarting := regexp.QuoteMeta("sidecar-init: a: " + file + " changed; restarting")
	for i := range maxWatched {
		write(t, file, strconv.Itoa(i))
		s.match(restarting)
		s.expect("[a] up")
	}
	write(t, file, "one more")
	s.match("sidecar-init: a: .* has changed more than 5 times in 1m0s; its watch is suspended until the next reload")
	if _, err := client.New(path).Add(context.Background(), "dev", client.Transient{Command: []string{"testdaemon", "block"}}); err != nil { // which is no reload
		t.Fatal(err)
	}
	write(t, file, "and another")
	time.Sleep(time.Second)
	if got := s.count(restarting); got != maxWatched {
		t.Errorf("got %d restarts, want %d", got, maxWatched)
	}
	c := client.New(path)
	if _, err := c.Reload(context.Background(), client.ReloadOptions{}); err != nil {
		t.Fatal(err)
	}
	write(t, file, "after the reload")
	s.match(restarting)
	s.signal(15)
	s.exit(0)
}

// TestWatchHangs: what a watch executes is killed after its time, and at the end of the bundle.
func TestWatchHangs(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	file := filepath.Join(openDir(t), "file")
	write(t, file, "")
	s := start(t, call{bundle: services(trapping("a", "{ path: "+file+", action: exec, exec: [sleep, '1000'] }"))})
	s.expect("[a] up")
	watched(t, s)
	write(t, file, "1")
	s.expect("sidecar-init: a: " + file + " changed; executing sleep 1000")
	s.expect("sidecar-init: a: sleep 1000 has taken longer than 30s, and was killed")
	write(t, file, "2")
	s.expect("sidecar-init: a: " + file + " changed; executing sleep 1000")
	at := s.signal(15)
	s.exit(0)
	if took := s.at.Sub(at); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestWatchTooMany(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	dir := openDir(t)
	for i := range 100_001 {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	s := start(t, call{bundle: services(trapping("a", "{ path: "+dir+" }"))})
	s.match("sidecar-init: cannot look at " + regexp.QuoteMeta(dir) + ": .*")
	time.Sleep(2 * time.Second)
	if got := s.count("sidecar-init: cannot look at .*"); got != 1 {
		t.Errorf("got %d lines, want 1", got)
	}
	s.signal(15)
	s.exit(0)
}

// TestWatchIdle: who waits for changes does not wake up.
func TestWatchIdle(t *testing.T) {
	asRoot.require(t)
	// Not where other tests make files all the time: the directories above are watched too, since they can be replaced.
	dir, err := os.MkdirTemp("/var", "sidecar-init-idle")
	if err != nil {
		t.Skip("only root can make a directory in /var: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "file")
	write(t, file, "")
	s := start(t, call{program: shipped(), bundle: services(trapping("a", "{ path: "+file+" }"))})
	s.expect("[a] up")
	watched(t, s)
	time.Sleep(2 * time.Second) // what the start has put off
	switches := func() (n int) {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.cmd.Process.Pid))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			for _, m := range regexp.MustCompile(`ctxt_switches:\s*(\d+)`).FindAllStringSubmatch(string(text), -1) {
				i, _ := strconv.Atoi(m[1])
				n += i
			}
		}
		return n
	}
	again(t, func() error {
		before := switches()
		time.Sleep(2 * time.Second)
		if got := switches() - before; got > 4 {
			return fmt.Errorf("%d context switches in 2 s", got)
		}
		return nil
	})
	s.signal(15)
	s.exit(0)
}

// TestReloadReplaced: a file that was mounted by itself, and replaced outside, would be read as it was for ever.
func TestReloadReplaced(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	outside, inside := filepath.Join(openDir(t), "compose.yaml"), filepath.Join(openDir(t), "compose.yaml")
	text := services(trapping("a"))
	write(t, outside, text)
	write(t, inside, "")
	path := filepath.Join(openDir(t), "s")
	s := start(t, call{
		args: []string{"run", "-f", inside}, env: []string{"SIDECAR_INIT_CONTROL=" + path},
		stage: "bind " + outside + " " + inside,
	})
	s.expect("[a] up")
	write(t, outside+".new", text+trapping("b"))
	if err := os.Rename(outside+".new", outside); err != nil {
		t.Fatal(err)
	}
	c := client.New(path)
	want := inside + " was replaced outside of the container; mount its directory"
	if _, err := c.Reload(context.Background(), client.ReloadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	s.expect("sidecar-init: reload refused: " + want + "; nothing was changed")
	s.signal(15)
	s.exit(0)
}
