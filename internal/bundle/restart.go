package bundle

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// ParseRestart reads a restart policy as Compose has it: no, on-failure, on-failure:N, always or unless-stopped.
func ParseRestart(s string) (child.RestartPolicy, error) {
	name, bound, bounded := strings.Cut(s, ":")
	restart := child.RestartPolicy{Policy: child.Policy(name)}
	policies := []string{"no", "on-failure", "always", "unless-stopped"}
	switch restart.Policy {
	case child.RestartNo, child.RestartAlways, child.RestartUnlessStopped:
		if bounded {
			return child.RestartPolicy{}, fmt.Errorf("must be %s without a number, not %q: only on-failure has one", name, s)
		}
	case child.RestartOnFailure:
		if !bounded {
			break
		}
		n, err := strconv.ParseUint(bound, 10, 31)
		if err != nil {
			return child.RestartPolicy{}, fmt.Errorf("must be on-failure:N with a whole number, not %q", s)
		}
		restart.Max = int(n)
	default:
		return child.RestartPolicy{}, fmt.Errorf("must be no, on-failure[:N], always or unless-stopped, not %q%s", s, compose.DidYouMean(s, policies))
	}
	return restart, nil
}

// FormatRestart is the policy as ParseRestart reads it.
func FormatRestart(r child.RestartPolicy) string {
	policy := string(orDefault(r.Policy, child.RestartNo))
	if r.Max > 0 {
		policy += ":" + strconv.Itoa(r.Max)
	}
	return policy
}
