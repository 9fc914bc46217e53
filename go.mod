module github.com/bot-bottle/sidecar-init

go 1.26.0

require (
	golang.org/x/sync v0.3.0
	golang.org/x/sys v0.49.0
)
