package bundle

import (
	"math"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// parseSize reads a number of bytes as Compose does: a number that may have a fraction, and a unit in either case, with or
// without a space: b, k, kb, kib and so on up to p, all of them powers of 1024.
func parseSize(s string) (size int64, ok bool) {
	end := strings.LastIndexAny(s, "0123456789") + 1
	number, unit := s[:end], strings.ToLower(strings.TrimPrefix(s[end:], " "))
	factor := 1.0
	if unit != "" {
		if i := strings.IndexByte("kmgtp", unit[0]); i >= 0 {
			factor = math.Pow(1024, float64(i+1))
			unit = strings.TrimPrefix(unit[1:], "i")
		}
		unit = strings.TrimPrefix(unit, "b")
	}
	if unit != "" || number == "" || strings.Trim(number, "0123456789.") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(number, 64)
	if v *= factor; err != nil || v >= math.MaxInt64 {
		return 0, false
	}
	return int64(v), true
}

// size reads a number of bytes between low and high, which has is how they are written.
func (r *reader) size(n *compose.Node, what string, low, high int64, has string) int64 {
	size, ok := int64(0), false
	switch n.Kind {
	case compose.Text, compose.Number:
		size, ok = parseSize(n.Text)
	}
	switch {
	case !ok:
		r.want(n, what, `a size, such as "64kb" or "1mb"`)
	case size < low || size > high:
		r.probs.Bad(n, "%s must be %s", what, has)
	default:
		return size
	}
	return low
}
