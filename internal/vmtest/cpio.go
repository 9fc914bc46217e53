//go:build linux

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An initramfs is written in the format newc, which the kernel unpacks: Documentation/driver-api/early-userspace/buffer-format.rst.
// All files are root's. The first error is kept, and nothing is written after it.
type initramfs struct {
	w     io.Writer
	inode int
	err   error
	dirs  map[string]bool // those that are in it
}

func newInitramfs(w io.Writer) *initramfs { return &initramfs{w: w, dirs: map[string]bool{".": true}} }

// add writes an entry, after the directories that it is in. mode is that of stat(2).
func (a *initramfs) add(name string, mode, device uint32, data string) {
	if dir := filepath.Dir(name); !a.dirs[dir] {
		a.dir(dir)
	}
	a.entry(name, mode, device, data)
}

func (a *initramfs) dir(name string) {
	if !a.dirs[name] {
		a.dirs[name] = true
		a.add(name, unix.S_IFDIR|0o755, 0, "")
	}
}

func (a *initramfs) file(name string, mode uint32, data string) {
	a.add(name, unix.S_IFREG|mode, 0, data)
}

// copy adds a file of this machine, with its mode.
func (a *initramfs) copy(name, from string) {
	info, err := os.Lstat(from)
	switch {
	case err != nil:
		a.fail(err)
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		a.fail(err)
		a.add(name, unix.S_IFLNK|0o777, 0, target)
	default:
		data, err := os.ReadFile(from)
		a.fail(err)
		a.file(name, uint32(info.Mode().Perm()), string(data))
	}
}

// close writes the end.
func (a *initramfs) close() error {
	a.entry("TRAILER!!!", 0, 0, "")
	return a.err
}

func (a *initramfs) entry(name string, mode, device uint32, data string) {
	a.inode++
	links := 1
	const mtime, uid, gid, check = 0, 0, 0, 0
	var head strings.Builder
	head.WriteString("070701")
	for _, field := range []any{
		a.inode, mode, uid, gid, links, mtime, len(data), 0, 0,
		unix.Major(uint64(device)), unix.Minor(uint64(device)), len(name) + 1, check,
	} {
		fmt.Fprintf(&head, "%08x", field)
	}
	a.write(head.String() + name + "\x00")
	a.write(data)
}

// write pads what it writes to a multiple of four bytes.
func (a *initramfs) write(s string) {
	if a.err == nil {
		_, a.err = io.WriteString(a.w, s+strings.Repeat("\x00", -len(s)&3))
	}
}

func (a *initramfs) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}
