package main

import (
	"fmt"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/files"
)

// placeFiles puts the secrets and configs of the bundle where its daemons look for them. What cannot be put there is told,
// and is exit code 78.
func (p *program) placeFiles(b *bundle.Bundle) error {
	var all []files.File
	for i := range b.Daemons {
		for _, f := range b.Daemons[i].Files {
			all = append(all, files.File{Kind: f.Kind, Name: f.Name, Source: f.Source, Target: f.Target, At: f.At})
		}
	}
	err := files.Ensure(all)
	if err == nil {
		return nil
	}
	fmt.Fprintln(p.stderr, err) // as the problems of the file are
	return exitError(exitConfig)
}
