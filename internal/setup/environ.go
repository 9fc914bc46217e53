package setup

import "os"

// clearEnviron empties os.Environ, so that nothing that is private to a daemon reaches a process by accident. What stays
// is where the Go libraries look for certificates; they ask nobody else. Proxies do not: their URLs have passwords.
//
// With GODEBUG, which is meant for daemons written in Go, those of its settings go that can be changed at run time.
func clearEnviron() {
	kept := map[string]string{}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(name); ok {
			kept[name] = v
		}
	}
	os.Clearenv()
	for name, v := range kept {
		_ = os.Setenv(name, v) // the name and the value were fine before
	}
}
