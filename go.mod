module github.com/bot-bottle/sidecar-init

go 1.26.0

require golang.org/x/sys v0.49.0

require (
	github.com/compose-spec/compose-go/v2 v2.16.2 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
)
