package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/top"
)

// ctrlZ is the key that stops a program.
const ctrlZ = '\x1a'

// topSignals are those that top takes.
var topSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT}

// topTime is the time between two looks of top.
const topTime = time.Second

func (p *program) topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the daemons and a log full-screen, and control them",
		Long: `Watch the daemons full-screen, with their resource usage over time and the log of the selected one. Keys restart, stop and start
it, or send it a signal, after a question. ? shows them.`,
		Args: cobra.NoArgs,
	}
	c := p.newCaller(cmd)
	cmd.ValidArgsFunction = nil
	cmd.RunE = func(*cobra.Command, []string) error {
		if name, _ := p.getenv("TERM"); name == "dumb" || !term.IsTerminal(int(p.stdout.Fd())) || !term.IsTerminal(int(p.stdin.Fd())) {
			return usagef("top needs a terminal (docker exec -it); without one there is status --watch")
		}
		to, ctx, cancel, err := c.connect()
		if err != nil {
			return err
		}
		defer cancel()
		daemons, err := to.Daemons(ctx) // so that what is wrong is said before the screen is taken
		if err != nil {
			return c.failed(err)
		}
		s := &screen{program: p, to: to}
		s.model.Update(daemons, time.Now())
		if err := s.run(ctx); err != nil {
			return c.failed(err)
		}
		return nil
	}
	return cmd
}

// A screen is the terminal while top has it.
type screen struct {
	*program
	to    *client.Client
	model top.Model
	was   *term.State // of the terminal
	last  []string    // what is on it
}

// What comes to the loop of a screen, beside signals.
type (
	look struct {
		daemons []client.Daemon
		err     error
	}
	logLine struct{ daemon, line string }
)

// take takes the terminal, and release gives it back as it was.
func (s *screen) take() (err error) {
	if s.was, err = term.MakeRaw(int(s.stdin.Fd())); err != nil {
		return err
	}
	_, err = s.stdout.WriteString("\x1b[?1049h\x1b[?25l\x1b[?7l")
	s.last = nil
	return err
}

func (s *screen) release() {
	_, _ = s.stdout.WriteString("\x1b[?7h\x1b[?25h\x1b[?1049l") // it may be gone
	_ = term.Restore(int(s.stdin.Fd()), s.was)
}

// run is top, from the first screen to the last. The error is that the supervisor is lost.
func (s *screen) run(ctx context.Context) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, topSignals...)
	defer signal.Stop(signals)
	if err := s.take(); err != nil {
		return err
	}
	defer s.release() // also in a panic

	keys := make(chan rune)
	go s.read(keys) // ends with the program
	looks, lines, notes := make(chan look), make(chan logLine, 64), make(chan string, 1)
	go s.poll(ctx, looks)
	followed, unfollow := "", func() {}
	defer func() { unfollow() }()
	for {
		if daemon := s.model.Chosen(); daemon != followed {
			unfollow()
			followed, unfollow = daemon, s.follow(ctx, daemon, lines)
		}
		s.draw()
		select {
		case l := <-looks:
			if l.err != nil {
				return l.err
			}
			s.model.Update(l.daemons, time.Now())
		case l := <-lines:
			s.model.Line(l.daemon, l.line)
			for range len(lines) { // a flood is one screen
				l := <-lines
				s.model.Line(l.daemon, l.line)
			}
		case text := <-notes:
			s.model.Note(text)
		case key, ok := <-keys:
			if !ok {
				return nil // the terminal is gone
			}
			if key == ctrlZ {
				_ = unix.Kill(os.Getpid(), unix.SIGTSTP) // a raw terminal sends none
				continue
			}
			a := s.model.Key(key)
			if a.Kind == top.Quit {
				return nil
			}
			if a.Kind != top.Nothing {
				go s.act(ctx, a, notes)
			}
		case sig := <-signals:
			switch sig {
			case syscall.SIGWINCH, syscall.SIGCONT:
				s.last = nil
			case syscall.SIGTSTP:
				if sid, err := unix.Getsid(0); err != nil || sid == os.Getpid() {
					continue // as under docker exec -it: nobody could let it go on
				}
				s.release()
				signal.Stop(signals) // what has come until now is of the time before
				again := make(chan os.Signal, 1)
				signal.Notify(again, syscall.SIGCONT)
				_ = unix.Kill(os.Getpid(), unix.SIGSTOP) // which stops all threads, if not at once this one
				<-again
				signal.Stop(again)
				signal.Notify(signals, topSignals...)
				if err := s.take(); err != nil {
					return err
				}
			default:
				return nil
			}
		}
	}
}

// poll looks at the daemons once a second.
func (s *screen) poll(ctx context.Context, looks chan<- look) {
	for ctx.Err() == nil {
		<-time.After(topTime)
		daemons, err := s.to.Daemons(ctx)
		select {
		case looks <- look{daemons, err}:
		case <-ctx.Done():
		}
	}
}

// follow reads the log of a daemon until stop is called.
func (s *screen) follow(ctx context.Context, daemon string, lines chan<- logLine) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	if daemon != "" {
		go s.tail(ctx, daemon, lines)
	}
	return stop
}

// tail hands on the log of a daemon. The stream can end before the supervisor, as when the daemon was removed and added again: then it
// goes on with what is new.
func (s *screen) tail(ctx context.Context, daemon string, lines chan<- logLine) {
	for o := (client.LogOptions{Lines: 100, Follow: true}); ctx.Err() == nil; o = (client.LogOptions{Lines: client.NoLines, Follow: true}) {
		s.tailOnce(ctx, daemon, o, lines)
		select {
		case <-time.After(topTime):
		case <-ctx.Done():
		}
	}
}

func (s *screen) tailOnce(ctx context.Context, daemon string, o client.LogOptions, lines chan<- logLine) {
	for l, err := range s.to.Logs(ctx, o, daemon) {
		if err != nil {
			return // the next look tells
		}
		text := string(l.Raw())
		if l.Lost > 0 {
			text = fmt.Sprintf("%d lines are missing here", l.Lost)
		}
		select {
		case lines <- logLine{daemon, text}:
		case <-ctx.Done():
			return
		}
	}
}

// act does what was asked for.
func (s *screen) act(ctx context.Context, a top.Action, notes chan<- string) {
	var err error
	switch a.Kind {
	case top.Restart:
		_, err = s.to.Restart(ctx, a.Daemon)
	case top.Stop:
		_, err = s.to.Stop(ctx, a.Daemon)
	case top.Start:
		_, err = s.to.Start(ctx, a.Daemon)
	case top.Signal:
		_, err = s.to.Signal(ctx, a.Daemon, a.Signal)
	}
	text := string(a.Kind) + " " + a.Daemon + ": done"
	if err != nil {
		text = err.Error()
	}
	select {
	case notes <- text:
	case <-ctx.Done():
	}
}

// draw brings the terminal up to date, in one write, with the lines that differ.
func (s *screen) draw() {
	width, height, err := term.GetSize(int(s.stdout.Fd()))
	if err != nil || width < 1 || height < 1 {
		width, height = 80, 24
	}
	lines := s.model.View(width, height, s.colours())
	var b strings.Builder
	for i, line := range lines {
		if i >= len(s.last) || s.last[i] != line {
			fmt.Fprintf(&b, "\x1b[%d;1H\x1b[2K%s", i+1, line)
		}
	}
	if s.last == nil {
		_, _ = s.stdout.WriteString("\x1b[2J" + b.String())
	} else if b.Len() > 0 {
		_, _ = s.stdout.WriteString(b.String())
	}
	s.last = slices.Clone(lines)
}

// read reads keys.
func (s *screen) read(keys chan<- rune) {
	defer close(keys)
	buf := make([]byte, 64)
	r := bufio.NewReader(s.stdin)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		for _, key := range parseKeys(buf[:n]) {
			keys <- key
		}
	}
}

// parseKeys are the keys in what a terminal has sent at once.
func parseKeys(b []byte) (keys []rune) {
	for len(b) > 0 {
		switch {
		case len(b) >= 3 && b[0] == '\x1b' && (b[1] == '[' || b[1] == 'O'):
			end := 2
			for end < len(b)-1 && (b[end] < '@' || b[end] > '~') {
				end++
			}
			switch b[end] {
			case 'A':
				keys = append(keys, top.Up)
			case 'B':
				keys = append(keys, top.Down)
			}
			b = b[end+1:]
		default:
			r, n := utf8.DecodeRune(b)
			keys = append(keys, r)
			b = b[n:]
		}
	}
	return keys
}
