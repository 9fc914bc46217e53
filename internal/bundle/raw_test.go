package bundle

import (
	"bufio"
	"io"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// registerRaw gives compose-go the format that docker compose adds to it: KEY=VALUE lines, nothing interpreted.
var registerRaw = sync.OnceFunc(func() {
	dotenv.RegisterFormat("raw", func(r io.Reader, _ string, vars map[string]string, lookup func(string) (string, bool)) error {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			line := strings.TrimLeft(lines.Text(), " \t")
			key, value, found := strings.Cut(line, "=")
			if line == "" || line[0] == '#' {
				continue
			}
			if !found {
				if value, found = lookup(key); !found {
					continue
				}
			}
			vars[key] = value
		}
		return nil
	})
})
