//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bot-bottle/sidecar-init/internal/testreport"
)

// boot starts a machine, reads the events of its tests, and waits until it has turned itself off. The kernel's messages are
// left in a file, for whoever wants to know why it has not.
func (r *rig) boot(ctx context.Context, kernel, initrd, series string) (testreport.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	console := filepath.Join(r.dir, "console-"+series)
	cmd := exec.CommandContext(
		ctx, "qemu-system-x86_64",
		"-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "3072", "-nodefaults", "-no-reboot", "-display", "none",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 loglevel=4 panic=-1",
		"-serial", "file:"+console, "-serial", "stdio",
	)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return testreport.Summary{}, err
	}
	if err := cmd.Start(); err != nil {
		return testreport.Summary{}, fmt.Errorf("%w: apt-get install qemu-system-x86", err)
	}
	end := &ending{r: bufio.NewReader(out)}
	sum, readErr := testreport.Read(end, os.Stdout)
	err = errors.Join(readErr, cmd.Wait(), ctx.Err())
	if err == nil && !end.seen {
		err = errors.New("the machine ended before its plan did")
	}
	if err != nil {
		text, _ := os.ReadFile(console)
		err = fmt.Errorf("linux %s: %w; its last messages, in %s:\n%s", series, err, console, text[max(0, len(text)-2000):])
	}
	return sum, err
}

// endOfPlan is the line that init.sh writes last.
const endOfPlan = "end of the plan\n"

// An ending reads up to the end of the plan.
type ending struct {
	r    *bufio.Reader
	rest []byte
	seen bool
}

func (e *ending) Read(p []byte) (int, error) {
	for len(e.rest) == 0 {
		if e.seen {
			return 0, io.EOF
		}
		line, err := e.r.ReadBytes('\n')
		if e.seen = bytes.Equal(line, []byte(endOfPlan)); e.seen {
			_, err := io.Copy(io.Discard, e.r) // until it is off
			if err != nil {
				return 0, err
			}
			continue
		}
		if len(line) == 0 && err != nil {
			return 0, err
		}
		e.rest = line
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}
