package bundle

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func BenchmarkBuiltin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Builtin(Options{Env: os.Environ()}); err != nil {
			b.Fatal(err)
		}
	}
}

// fifty is a file of 50 services that use most keys.
func fifty() string {
	var out strings.Builder
	out.WriteString("x-env: &env {LEVEL: info, ZONE: \"${ZONE:-eu}\"}\nservices:\n")
	for i := range 50 {
		fmt.Fprintf(&out, `  service-%d:
    image: example/service:${TAG:-latest}
    command: [/usr/bin/service, --port, "%d", --zone, "${ZONE:-eu}"]
    environment:
      <<: *env
      NUMBER: %d
      URL: http://127.0.0.1:%d/
    restart: on-failure
    stop_grace_period: 3s
    healthcheck: {test: [CMD, /probe], interval: 5s}
    x-sidecar-init: {backoff: {initial: 1s, max: 10s}, private_env: ["TOKEN_%d_*"]}
`, i, 8000+i, i, 8000+i, i)
		if i > 0 {
			fmt.Fprintf(&out, "    depends_on: {service-%d: {condition: service_healthy}}\n", i/2)
		}
	}
	return out.String()
}

func BenchmarkFifty(b *testing.B) {
	path := write(b, map[string]string{"fifty.yaml": fifty()})
	o := Options{Files: []string{path("fifty.yaml")}, Env: os.Environ()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := loadFiles(o); err != nil {
			b.Fatal(err)
		}
	}
}
