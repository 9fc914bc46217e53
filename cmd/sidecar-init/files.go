package main

import (
	"fmt"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/files"
)

// placeFiles puts the secrets and configs of the bundle where its daemons look for them. What cannot be put there is told,
// and is exit code 78.
func (p *program) placeFiles(b *bundle.Bundle) error {
	err := files.Ensure(filesOf(b))
	if err == nil {
		return nil
	}
	fmt.Fprintln(p.stderr, err) // as the problems of the file are
	return exitError(exitConfig)
}
