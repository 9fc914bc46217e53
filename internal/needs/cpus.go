package needs

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// Processors returns a problem for each cpuset that names a processor which the machine does not have, where that can be seen; see
// Documentation/admin-guide/cputopology.rst of the kernel. The kernel would take the others of the list in silence, and refuse a list of
// such processors alone when the daemon starts.
func Processors(daemons []bundle.Daemon) []bundle.Problem { return processors("/", daemons) }

func processors(root string, daemons []bundle.Daemon) (missing []bundle.Problem) {
	text, err := os.ReadFile(filepath.Join(root, "sys/devices/system/cpu/online"))
	online := strings.TrimSpace(string(text))
	if err != nil || online == "" {
		return nil
	}
	for i := range daemons {
		for _, c := range daemons[i].CPUs {
			if among(online, c) {
				continue
			}
			p := daemons[i].CPUsAt
			p.Message = "cpuset: there is no processor " + strconv.Itoa(c) + " here, where there are " + online
			if !slices.Contains(missing, p) { // of another replica
				missing = append(missing, p)
			}
			break
		}
	}
	return missing
}

// among reports whether a processor is in a list such as 0-3,5.
func among(list string, cpu int) bool {
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err1 := strconv.Atoi(low)
		last, err2 := strconv.Atoi(high)
		if err1 == nil && err2 == nil && first <= cpu && cpu <= last {
			return true
		}
	}
	return false
}
