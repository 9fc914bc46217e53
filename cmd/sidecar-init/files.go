package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/hosts"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/secrets"
)

// placeFiles puts the secrets and configs of the bundle where its daemons look for them, and the names of services into the file of hosts. What cannot be put there is told,
// and is exit code 78.
func (p *program) placeFiles(b *bundle.Bundle) error {
	names, err := hostsOf(b, false)
	if err == nil {
		err = secrets.Ensure(filesOf(b))
	}
	if err == nil {
		err = names.Write()
	}
	if err == nil {
		return nil
	}
	fmt.Fprintln(p.stderr, err) // as the problems of the file are
	return exitError(exitConfig)
}

// hostsOf is what has to be written for the names of services to be hosts. Only where the file says so, or has said it before, is
// anything looked at.
func hostsOf(b *bundle.Bundle, before bool) (hosts.Change, error) {
	if b.HostsAt == "" && !before {
		return hosts.Change{}, nil
	}
	c, err := hosts.File{Ours: os.Getpid() == 1}.Look(b.Hosts)
	if err != nil {
		err = errors.New(printable.Line(fmt.Sprintf("%s: hosts: %v", cmp.Or(b.HostsAt, firstFile(b)), err)))
	}
	return c, err
}
