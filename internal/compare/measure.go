//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A bench measures.
type bench struct {
	*options
	dir   string // for what is needed meanwhile
	child string // the daemon's program

	wanted *regexp.Regexp
	group  *memoryGroup // in which supervisors start, if any
}

// A row is one thing that was measured, of each peer.
type row struct {
	title  string
	unit   string            // of the figures
	more   bool              // is better
	plot   string            // the name of the plot, if there is one
	values map[string]string // what the page says, by the peer's name
	nums   map[string]float64
}

// A test is how to measure something of one peer: a figure, and a remark about it.
type test struct {
	row
	only func(*peer) bool
	run  func(*peer) (value float64, remark string, err error)
	once bool // it is no matter of time
	fmt  string
}

func everyone(*peer) bool    { return true }
func several(p *peer) bool   { return p.many }
func filtering(p *peer) bool { return p.filters }

func (b *bench) measure(all []*peer) (rows []row, err error) {
	// It takes the memory controller, of either version, as root has it outside of a container.
	charges := false
	if g, err := newMemoryGroup(); err == nil {
		g.close()
		charges = true
	}
	charged := func(p *peer) bool { return p.many && charges }
	tests := []test{
		{row: row{title: "Start of 5 daemons, to the first's first instruction", unit: "ms", plot: "start"}, only: several, run: b.starts(5, false), fmt: "%.1f"},
		{row: row{title: "Start of 5 daemons, to the last's first instruction", unit: "ms"}, only: several, run: b.starts(5, true), fmt: "%.1f"},
		{row: row{title: "Start of 100 daemons, to the first's first instruction", unit: "ms"}, only: several, run: b.starts(100, false), fmt: "%.1f"},
		{row: row{title: "Start of 100 daemons, to the last's first instruction", unit: "ms"}, only: several, run: b.starts(100, true), fmt: "%.1f"},
		{row: row{title: "SIGKILL of a daemon that has lived for 1.2 s, to the next life's first instruction", unit: "ms", plot: "restart"}, only: several, run: b.restart, fmt: "%.1f"},
		{row: row{title: "SIGHUP by the operator, to the daemon's handler", unit: "ms", plot: "signal"}, only: everyone, run: b.signal, fmt: "%.2f"},
		{row: row{title: "Stop of 5 daemons that end at once", unit: "ms"}, only: several, run: b.stop, fmt: "%.1f"},
		{row: row{title: "Private memory of all its processes, with 5 daemons", unit: "kB", plot: "memory"}, only: several, run: b.memory(5, (*usage).ofPrivate), fmt: "%.0f"},
		{row: row{title: "Private memory of all its processes, with 100 daemons", unit: "kB"}, only: several, run: b.memory(100, (*usage).ofPrivate), fmt: "%.0f"},
		{row: row{title: "PSS of all its processes, with 5 daemons", unit: "kB"}, only: several, run: b.memory(5, (*usage).ofPSS), fmt: "%.0f"},
		{row: row{title: "RSS of all its processes, with 5 daemons", unit: "kB"}, only: several, run: b.memory(5, (*usage).ofRSS), fmt: "%.0f"},
		{row: row{title: "What a container with 5 daemons is charged for: `memory.current` less `inactive_file`", unit: "kB"}, only: charged, run: b.charge(5), fmt: "%.0f"},
		{row: row{title: "Throughput of the log, lines of 100 B by a write each, 1 daemon, of `cat`'s", unit: "×", more: true, plot: "log"}, only: filtering, run: b.throughput(1), fmt: "%.2f"},
		{row: row{title: "Throughput of the log, 5 daemons at once, of 5 `cat`s'", unit: "×", more: true}, only: filtering, run: b.throughput(5), fmt: "%.2f"},
		{row: row{title: "Lines lost of 2,000, and the unfinished one, when a daemon exits", unit: "lines"}, only: everyone, run: b.lost("exit"), fmt: "%.0f"},
		{row: row{title: "The same, when it is killed", unit: "lines"}, only: everyone, run: b.lost("kill"), fmt: "%.0f"},
		{row: row{title: "Torn lines of 2,000, of 6,000 B, by 5 daemons at once", unit: "lines"}, only: several, run: b.torn, fmt: "%.0f"},
		{row: row{title: fmt.Sprintf("Zombies a second after %d orphans have ended", b.orphans), unit: "processes"}, only: everyone, run: b.zombies, fmt: "%.0f", once: true},
		{row: row{title: "Its stop, when nobody reads the log and a daemon writes without end", unit: "ms"}, only: everyone, run: b.deaf, fmt: "%.0f", once: true},
	}
	for _, t := range tests {
		if !b.wanted.MatchString(t.title) {
			continue
		}
		fmt.Fprintln(os.Stderr, t.title)
		got := map[string][]float64{}
		t.values, t.nums = map[string]string{}, map[string]float64{}
		remarks := map[string]string{}
		times := b.times
		if t.once {
			times = min(times, 3)
		}
		for range times {
			for _, p := range all {
				if !t.only(p) {
					continue
				}
				v, remark, err := t.run(p)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", t.title, p.name, err)
				}
				got[p.name] = append(got[p.name], v)
				if remark != "" {
					remarks[p.name] = remark
				}
			}
		}
		for _, p := range all {
			t.values[p.name] = "–"
			if t.only(p) {
				t.nums[p.name] = median(got[p.name])
				t.values[p.name] = fmt.Sprintf(t.fmt, t.nums[p.name])
				if remarks[p.name] != "" {
					t.values[p.name] += " (" + remarks[p.name] + ")"
				}
			}
		}
		rows = append(rows, t.row)
	}
	return rows, nil
}

// rest lets the machine come to rest: what is measured then begins with all asleep.
func rest(d time.Duration) { <-time.After(d) }

// saying are n daemons that say what happens to them.
func (b *bench) saying(n int) func(socket string) []daemon {
	return func(socket string) (all []daemon) {
		for i := range n {
			name := "d" + strconv.Itoa(i)
			all = append(all, daemon{name, []string{b.child, "say", socket, name}})
		}
		return all
	}
}

// running starts n daemons that say so, and waits until they run.
func (b *bench) running(p *peer, n int) (*trial, []saying, error) {
	t, err := b.start(p, b.saying(n))
	if err != nil {
		return nil, nil, err
	}
	t.discard()
	all, err := t.await(n, "start")
	if err != nil {
		t.close()
		return nil, nil, err
	}
	return t, all, nil
}

func (b *bench) starts(n int, last bool) func(*peer) (float64, string, error) {
	return func(p *peer) (float64, string, error) {
		t, all, err := b.running(p, n)
		if err != nil {
			return 0, "", err
		}
		defer t.close()
		at := all[0].at
		for _, s := range all {
			if last {
				at = max(at, s.at)
			} else {
				at = min(at, s.at)
			}
		}
		return milliseconds(t.begun, at), "", nil
	}
}

func (b *bench) restart(p *peer) (float64, string, error) {
	t, all, err := b.running(p, 1)
	if err != nil {
		return 0, "", err
	}
	defer t.close()
	rest(1200 * time.Millisecond) // s6 and runit delay the restart of what has lived for less than a second
	at := now()
	if err := unix.Kill(all[0].pid, unix.SIGKILL); err != nil {
		return 0, "", err
	}
	again, err := t.await(1, "start")
	if err != nil {
		return 0, "", err
	}
	return milliseconds(at, again[0].at), "", nil
}

func (b *bench) signal(p *peer) (float64, string, error) {
	t, _, err := b.running(p, 1)
	if err != nil {
		return 0, "", err
	}
	defer t.close()
	rest(50 * time.Millisecond) // all are asleep, as they would be
	at := now()
	if p.hup == nil {
		err = t.cmd.Process.Signal(unix.SIGHUP)
	} else {
		argv := p.hup(t.dir, "d0")
		err = exec.Command(argv[0], argv[1:]...).Run()
	}
	if err != nil {
		return 0, "", err
	}
	got, err := t.await(1, "hup")
	if err != nil {
		return 0, "", err
	}
	return milliseconds(at, got[0].at), "", nil
}

func (b *bench) stop(p *peer) (float64, string, error) {
	t, _, err := b.running(p, 5)
	if err != nil {
		return 0, "", err
	}
	defer t.close()
	at := now()
	if err := t.cmd.Process.Signal(p.stop); err != nil {
		return 0, "", err
	}
	end, ok := t.end(patience)
	if !ok {
		return 0, "", fmt.Errorf("it has not ended after %v", patience)
	}
	told := 0
	for told < 5 {
		_ = t.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		var buf [256]byte
		if n, _, err := t.conn.ReadFromUnix(buf[:]); err != nil {
			break
		} else if bytes.HasPrefix(buf[:n], []byte("term ")) {
			told++
		}
	}
	remark := ""
	if told < 5 {
		remark = fmt.Sprintf("%d of 5 got SIGTERM", told)
	}
	return milliseconds(at, end), remark, nil
}

// resting is long enough for what a supervisor does after the start: ours gives back memory after a second.
const resting = 1500 * time.Millisecond

func (b *bench) memory(n int, of func(*usage) float64) func(*peer) (float64, string, error) {
	return func(p *peer) (float64, string, error) {
		t, _, err := b.running(p, n)
		if err != nil {
			return 0, "", err
		}
		defer t.close()
		rest(resting)
		own := t.memory(b.child)
		remark := ""
		if own.processes > 1 {
			remark = fmt.Sprintf("%d processes", own.processes)
		}
		return of(own), remark, nil
	}
}

// charge is of the whole container, the daemons too, which are the same for all.
func (b *bench) charge(n int) func(*peer) (float64, string, error) {
	return func(p *peer) (float64, string, error) {
		g, err := newMemoryGroup()
		if err != nil {
			return 0, "", err
		}
		defer g.close()
		b.group = g
		t, _, err := b.running(p, n)
		b.group = nil
		if err != nil {
			return 0, "", err
		}
		defer t.close()
		rest(resting)
		kb, err := g.charge()
		return kb, "", err
	}
}

// throughput compares with a program that does nothing but hand on, one for each daemon, at the same time of the day.
func (b *bench) throughput(n int) func(*peer) (float64, string, error) {
	return func(p *peer) (float64, string, error) {
		argv := []string{b.child, "lines", strconv.Itoa(b.lines / n), "100"}
		var all []daemon
		for i := range n {
			all = append(all, daemon{"d" + strconv.Itoa(i), argv})
		}
		cat := &peer{name: "cat", setup: func(string, []daemon) ([]string, error) {
			command := "for i in"
			for i := range n {
				command += " " + strconv.Itoa(i)
			}
			return []string{"/bin/sh", "-c", command + `; do "$@" | cat & done; wait`, "sh", argv[0], argv[1], argv[2], argv[3]}, nil
		}}
		ours, err := b.lineRate(p, all)
		if err != nil {
			return 0, "", err
		}
		theirs, err := b.lineRate(cat, all)
		return ours / theirs, "", err
	}
}

// lineRate is how many lines of daemons come out in a second.
func (b *bench) lineRate(p *peer, all []daemon) (float64, error) {
	t, err := b.start(p, func(string) []daemon { return all })
	if err != nil {
		return 0, err
	}
	defer t.close()
	var first int64
	seen := 0
	want := b.lines / len(all) * len(all)
	_ = t.output.SetReadDeadline(time.Now().Add(patience))
	end := []byte("x>\n")
	var kept int // bytes of the last read that can be the beginning of an end
	for buf := make([]byte, 1<<16); seen < want; {
		n, err := t.output.Read(buf[kept:])
		if err != nil {
			return 0, fmt.Errorf("after %d of %d lines: %w", seen, want, err)
		}
		b := buf[:kept+n]
		if ends := bytes.Count(b, end); ends > 0 {
			if first == 0 {
				first = now()
			}
			seen += ends
		}
		kept = copy(buf, b[max(0, len(b)-len(end)+1):])
	}
	return float64(seen) / (milliseconds(first, now()) / 1000), nil
}

func (b *bench) lost(how string) func(*peer) (float64, string, error) {
	return func(p *peer) (float64, string, error) {
		const lines = 2000
		t, err := b.start(p, func(socket string) []daemon {
			return []daemon{{"d0", []string{b.child, "end", filepath.Join(filepath.Dir(socket), "first"), strconv.Itoa(lines), how}}}
		})
		if err != nil {
			return 0, "", err
		}
		defer t.close()
		seen, unfinished := 0, false
		// It is over when nothing has come for a while, since some go on with the next life.
		for r := bufio.NewReader(t.output); ; {
			_ = t.output.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			if seen == 0 {
				_ = t.output.SetReadDeadline(time.Now().Add(5 * time.Second))
			}
			line, err := r.ReadBytes('\n')
			if bytes.HasSuffix(line, []byte("x>\n")) {
				seen++
			}
			unfinished = unfinished || bytes.Contains(line, []byte("<unfinished>"))
			if err != nil {
				break
			}
		}
		lost := lines - seen
		if !unfinished {
			lost++
		}
		return float64(lost), "", nil
	}
}

func (b *bench) torn(p *peer) (float64, string, error) {
	const n, lines, size = 5, 400, 6000
	t, err := b.start(p, func(string) (all []daemon) {
		for i := range n {
			all = append(all, daemon{"d" + strconv.Itoa(i), []string{b.child, "lines", strconv.Itoa(lines), strconv.Itoa(size)}})
		}
		return all
	})
	if err != nil {
		return 0, "", err
	}
	defer t.close()
	whole := 0
	for r := bufio.NewReaderSize(t.output, 1<<16); whole < n*lines; {
		_ = t.output.SetReadDeadline(time.Now().Add(2 * time.Second))
		line, err := r.ReadBytes('\n')
		if i := bytes.IndexByte(line, '<'); i >= 0 && len(line)-i == size && bytes.Count(line, []byte("<")) == 1 && bytes.HasSuffix(line, []byte("x>\n")) {
			whole++
		}
		if err != nil {
			break
		}
	}
	return float64(n*lines - whole), "", nil
}

func (b *bench) zombies(p *peer) (float64, string, error) {
	t, err := b.start(p, func(socket string) []daemon {
		return []daemon{{"d0", []string{b.child, "orphans", socket, "d0", strconv.Itoa(b.orphans)}}}
	})
	if err != nil {
		return 0, "", err
	}
	defer t.close()
	t.discard()
	if _, err := t.await(1, "done"); err != nil {
		return 0, "", err
	}
	rest(time.Second)
	return float64(t.zombies()), "", nil
}

func (b *bench) deaf(p *peer) (float64, string, error) {
	t, err := b.start(p, func(string) []daemon { return []daemon{{"d0", []string{b.child, "flood"}}} })
	if err != nil {
		return 0, "", err
	}
	defer t.close()
	rest(2 * time.Second) // the pipe is full
	at := now()
	if err := t.cmd.Process.Signal(p.stop); err != nil {
		return 0, "", err
	}
	const most = 15 * time.Second
	end, ok := t.end(most)
	if !ok {
		return float64(most.Milliseconds()), "it had not ended then", nil
	}
	return milliseconds(at, end), "", nil
}
