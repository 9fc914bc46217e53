// Command notices prints the licences and notices of all that is linked into sidecar-init: they must go with each copy of
// the binary. It reads them from the module cache and from Go's own directory.
//
//	go run ./internal/notices TAGS >THIRD_PARTY_NOTICES
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

func main() {
	tags := strings.Join(os.Args[1:], ",")
	text, err := notices("github.com/bot-bottle/sidecar-init/cmd/sidecar-init", tags)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot make the notices:", err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(text)
}

// notices is the text for the program that is this package, built for Linux with these tags.
func notices(program, tags string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("What is linked into sidecar-init, and the terms of each: the Go standard library, and these modules.\n")
	goroot, err := golang("env", "GOROOT")
	if err != nil {
		return nil, err
	}
	if err := add(&b, "The Go standard library", strings.TrimSpace(goroot)); err != nil {
		return nil, err
	}
	list, err := golang("list", "-deps", "-tags", tags, "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", program)
	if err != nil {
		return nil, err
	}
	modules := strings.Split(strings.TrimSpace(list), "\n")
	slices.Sort(modules)
	for _, m := range slices.Compact(modules) {
		if name, dir, ok := strings.Cut(m, "\t"); ok {
			if err := add(&b, name, dir); err != nil {
				return nil, err
			}
		}
	}
	return b.Bytes(), nil
}

// add adds what a module has of licences and notices in its first directory.
func add(b *bytes.Buffer, name, dir string) error {
	found := false
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			found = true
			text = bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
			fmt.Fprintf(b, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), name, filepath.Base(file), text)
		}
	}
	if !found {
		return fmt.Errorf("%s has no file LICENSE in %s", name, dir)
	}
	return nil
}

// golang runs the go command, which built this program, for Linux.
func golang(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+runtime.GOARCH, "CGO_ENABLED=0")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("go %s: %s", args[0], exit.Stderr)
	}
	return string(out), err
}
