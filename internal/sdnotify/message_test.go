package sdnotify

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// show writes a message as the test table has it.
func show(m message) string {
	var words []string
	add := func(is bool, format string, a ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, a...))
		}
	}
	add(m.ready, "ready")
	add(m.reloading, "reloading")
	add(m.stopping, "stopping")
	add(m.barrier, "barrier")
	add(m.alive, "alive")
	add(m.trigger, "trigger")
	if m.status != nil {
		add(true, "status %q", *m.status)
	}
	if m.watchdog != nil {
		add(true, "watchdog %s", *m.watchdog)
	}
	add(m.extend != 0, "extend %s", m.extend)
	add(m.mainPID != 0, "pid %d", m.mainPID)
	return strings.Join(words, ", ")
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		bad      bool
	}{
		{in: "READY=1", want: "ready"},
		{in: "READY=1\n", want: "ready"},
		{in: "READY=1\x00", want: "ready"},
		{in: "READY=0", want: ""},
		{in: "READY=", want: ""},
		{in: "READY", want: ""},
		{in: "ready=1", want: ""},
		{in: " READY=1", want: ""},
		{in: "READY=1 ", want: ""},
		{in: "READY=0\nREADY=1", want: "ready"},
		{in: "READY=1\nSTATUS=Serving\nMAINPID=4711\n", want: `ready, status "Serving", pid 4711`},
		{in: "RELOADING=1\nMONOTONIC_USEC=12345", want: "reloading"},
		{in: "STOPPING=1", want: "stopping"},
		{in: "BARRIER=1", want: "barrier"},
		{in: "WATCHDOG=1", want: "alive"},
		{in: "WATCHDOG=trigger", want: "trigger"},
		{in: "WATCHDOG_USEC=1500000", want: "watchdog 1.5s"},
		{in: "WATCHDOG_USEC=0", want: "watchdog 0s"},
		{in: "WATCHDOG_USEC=-1", want: ""},
		{in: "WATCHDOG_USEC=18446744073709551615", want: "watchdog 2562047h47m16.854775s"},
		{in: "WATCHDOG_USEC=18446744073709551616", want: ""},
		{in: "EXTEND_TIMEOUT_USEC=10000000", want: "extend 10s"},
		{in: "EXTEND_TIMEOUT_USEC=18446744073709551615", want: "extend 2562047h47m16.854775s"},
		{in: "EXTEND_TIMEOUT_USEC=ten", want: ""},
		{in: "STATUS=a=b", want: `status "a=b"`},
		{in: "STATUS=", want: `status ""`},
		{in: "STATUS=one\nSTATUS=two", want: `status "two"`},
		{in: "STATUS=\x1b[31mred\t", want: `status "[31mred"`},
		{in: "STATUS=\xff\nREADY=1", want: "ready"},
		{in: "STATUS=" + strings.Repeat("ä", 300), want: fmt.Sprintf("status %q", strings.Repeat("ä", 98)+"…")},
		{in: "MAINPID=0", want: ""},
		{in: "MAINPID=-1", want: ""},
		{in: "MAINPID=99999999999", want: ""},
		{in: "FDSTORE=1\nFDNAME=x\nX_OWN=1\nERRNO=2\nEXIT_STATUS=1", want: ""},
		{in: "", want: ""},
		{in: "READY=1\x00X", bad: true},
		{in: "READY=1\x00\x00", bad: true},
		{in: "READY=1\n" + strings.Repeat("x", maxDatagram), bad: true},
	} {
		m, ok := parse([]byte(tt.in))
		if got := show(m); got != tt.want || ok == tt.bad {
			t.Errorf("%.60q: got %s, %t, want %s, %t", tt.in, got, ok, tt.want, !tt.bad)
		}
	}
}

// FuzzParse: any bytes give a message in which all is within bounds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"READY=1", "READY=1\nSTATUS=x\n", "WATCHDOG_USEC=18446744073709551615", "EXTEND_TIMEOUT_USEC=9223372036854775807",
		"STATUS=\xc3", "MAINPID=2147483648", "\x00", "=", "=\n=", "STATUS=\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parse(b)
		if !ok && show(m) != "" {
			t.Errorf("refused, and yet %s", show(m))
		}
		if s := m.status; s != nil && (len(*s) > printable.Max || !utf8.ValidString(*s) || strings.ContainsAny(*s, "\n\r\x00\x1b")) {
			t.Errorf("status: %q", *s)
		}
		if m.extend < 0 || m.watchdog != nil && *m.watchdog < 0 || m.mainPID < 0 {
			t.Errorf("out of bounds: %s", show(m))
		}
		// Lines can be taken one by one: no line changes what another means.
		if ok {
			var all message
			for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00"), "\n") {
				one, _ := parse([]byte(line))
				all.ready = all.ready || one.ready
				all.stopping = all.stopping || one.stopping
				all.barrier = all.barrier || one.barrier
			}
			if all.ready != m.ready || all.stopping != m.stopping || all.barrier != m.barrier {
				t.Errorf("got %s, line by line %s", show(m), show(all))
			}
		}
	})
}

func TestWatchdog(t *testing.T) {
	for _, tt := range []struct {
		env  []string
		want time.Duration
	}{
		{nil, 0},
		{[]string{"WATCHDOG_USEC=2000000"}, 2 * time.Second},
		{[]string{"WATCHDOG_USEC=2000000", "A=b", "WATCHDOG_USEC=1"}, time.Microsecond},
		{[]string{"WATCHDOG_USEC=two"}, 0},
		{[]string{"WATCHDOG_USEC="}, 0},
	} {
		if got := Watchdog(tt.env); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.env, got, tt.want)
		}
	}
}
