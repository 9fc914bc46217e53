// Package dockertest runs sidecar-init in containers of a real Docker Engine. It has only tests, behind the build tag
// docker; `make test-docker` runs them. They pull no image: all that they need is built FROM scratch.
package dockertest
