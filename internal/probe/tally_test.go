package probe

import "testing"

// TestTally: a failure does not count if time stood still in it, unless it always does.
func TestTally(t *testing.T) {
	for _, tt := range []struct {
		name    string
		retries int
		checks  string // of each: + success, - failure, ? failure, and time stood still
		want    int    // which one makes it unhealthy; 0 is none
	}{
		{"one failure", 1, "-", 1},
		{"three", 3, "--+---", 6},
		{"and no more than once", 1, "--", 1},
		{"frozen once", 1, "?", 0},
		{"and again, after something else", 1, "??+???+?", 0},
		{"really sick", 1, "?-", 2},
		{"frozen is no success", 3, "--?-", 4},
		{"the machine is too busy", 2, "?????", 5},
		{"frozen now and then", 3, "???-???-???-", 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			count, got := tally{retries: tt.retries, starting: true}, 0
			for i, c := range tt.checks {
				switch {
				case c == '+':
					count.success()
				case count.failure(c == '?'):
					if got != 0 {
						t.Errorf("unhealthy twice, by check %d and %d", got, i+1)
					}
					got = i + 1
				}
			}
			if got != tt.want {
				t.Errorf("unhealthy by check %d, want %d", got, tt.want)
			}
		})
	}
}
