package main

import (
	"os"

	"github.com/bot-bottle/sidecar-init/internal/setup"
)

// Main is the whole program, up to its exit code.
func Main() int {
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	if isClient(os.Args) {
		p.environ = setup.Client()
	} else {
		p.environ, p.warnings, p.exposed = setup.Process()
	}
	return p.run(os.Args[1:])
}
