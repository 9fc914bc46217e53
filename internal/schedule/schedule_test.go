package schedule

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := Zone(name)
	if err != nil {
		t.Skip(err)
	}
	return z
}

// TestClockChanges has the cases that people ask about, in New York, on Lord Howe Island (half an hour) and in São Paulo (midnight).
func TestClockChanges(t *testing.T) {
	for _, tt := range []struct{ expression, zone, after, want string }{
		{"30 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00", "2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"},
		{"0,30 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00", "2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00"},
		{"30 1 * * *", "America/New_York", "2026-10-31T12:00:00-04:00", "2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"},
		{"30 * * * *", "America/New_York", "2026-11-01T00:45:00-04:00", "2026-11-01T01:30:00-04:00 2026-11-01T01:30:00-05:00 2026-11-01T02:30:00-05:00"},
		{"30 * * * *", "America/New_York", "2026-03-08T01:00:00-05:00", "2026-03-08T01:30:00-05:00 2026-03-08T03:30:00-04:00"},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30", "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00+11:00", "2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30"},
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00 2018-11-05T00:00:00-02:00"},
		{"0 0 4 11 *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00 2019-11-04T00:00:00-03:00"},
		{"@daily", "Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00"}, // the 30th was skipped
		{"0 12 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T12:00:00Z"},
		{"0 0 * * 7", "UTC", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"0 0 13 * fri", "UTC", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z 2026-12-04T00:00:00Z 2026-12-11T00:00:00Z 2026-12-13T00:00:00Z"},
	} {
		s, err := Parse(tt.expression, zone(t, tt.zone))
		if err != nil {
			t.Error(err)
			continue
		}
		at, err := time.Parse(time.RFC3339, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range strings.Fields(tt.want) {
			at = s.Next(at)
			got = append(got, at.Format(time.RFC3339))
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s in %s after %s: got %s, want %s", tt.expression, tt.zone, tt.after, got, tt.want)
		}
	}
}

// A reading is a second reading of the expressions that TestWalk makes: of lists, ranges and steps of numbers.
type reading struct {
	minute, hour, dom, month, dow [60]bool
	either                        bool
	hourly                        bool
}

func read(expression string) *reading {
	f := strings.Fields(expression)
	r := &reading{either: f[2] != "*" && f[4] != "*", hourly: true}
	for i, of := range []struct {
		to        *[60]bool
		low, high int
	}{{&r.minute, 0, 59}, {&r.hour, 0, 23}, {&r.dom, 1, 31}, {&r.month, 1, 12}, {&r.dow, 0, 7}} {
		for item := range strings.SplitSeq(f[i], ",") {
			from, to, step := of.low, of.high, 1
			body, by, stepped := strings.Cut(item, "/")
			if stepped {
				fmt.Sscan(by, &step)
			}
			if body != "*" {
				a, b, ranged := strings.Cut(body, "-")
				fmt.Sscan(a, &from)
				if to = from; ranged {
					fmt.Sscan(b, &to)
				}
			}
			for v := from; v <= to; v += step {
				of.to[v] = true
			}
		}
	}
	r.dow[0] = r.dow[0] || r.dow[7]
	for h := range 24 {
		r.hourly = r.hourly && r.hour[h]
	}
	return r
}

func (r *reading) matches(shown time.Time) bool {
	if !r.minute[shown.Minute()] || !r.hour[shown.Hour()] || !r.month[shown.Month()] {
		return false
	}
	dom, dow := r.dom[shown.Day()], r.dow[shown.Weekday()]
	return dom && dow || r.either && (dom || dow)
}

// walk finds the first fire in (after, until] minute by minute.
func (r *reading) walk(zone *time.Location, after, until time.Time) time.Time {
	begin := after.Truncate(time.Minute).Add(-26 * time.Hour) // the clock has shown before what it shows twice
	seen := wall(begin.In(zone))
	for at := begin.Add(time.Minute); !at.After(until); at = at.Add(time.Minute) {
		shown := wall(at.In(zone))
		fires := (r.hourly || shown.After(seen)) && r.matches(shown)
		for skipped := seen.Add(time.Minute); !r.hourly && skipped.Before(shown); skipped = skipped.Add(time.Minute) {
			fires = fires || r.matches(skipped)
		}
		if shown.After(seen) {
			seen = shown
		}
		if fires && at.After(after) {
			return at
		}
	}
	return time.Time{}
}

// TestWalk compares random expressions in random zones, most of them near a change of the clock, with a walk over all minutes.
func TestWalk(t *testing.T) {
	zones := []string{
		"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Kolkata", "UTC", "Pacific/Apia",
		"Asia/Tehran", "America/St_Johns", "Africa/Cairo", "Asia/Gaza", "Pacific/Chatham", "America/Nuuk", "Antarctica/Troll", "Europe/Dublin",
	}
	rounds := 2000
	if os.Getenv("SIDECAR_INIT_SOAK") != "" {
		rounds = 1_000_000
	}
	if testing.Short() {
		rounds = 500
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	number := func(low, high int) int { return low + r.IntN(high-low+1) }
	random := func(low, high int, star int) string {
		if r.IntN(100) < star {
			return "*"
		}
		var items []string
		for range 1 + r.IntN(3) {
			switch a, b := number(low, high), number(low, high); r.IntN(4) {
			case 0:
				items = append(items, fmt.Sprintf("%d-%d", min(a, b), max(a, b)))
			case 1:
				items = append(items, fmt.Sprintf("%d-%d/%d", min(a, b), max(a, b), 1+r.IntN(max(1, max(a, b)-min(a, b)))))
			case 2:
				items = append(items, fmt.Sprintf("*/%d", 2+r.IntN(high-low-1)))
			default:
				items = append(items, fmt.Sprint(a))
			}
		}
		if items[0][0] == '*' { // POSIX does not say what a star in a list does to the other day
			items = items[:1]
		}
		for i := range items {
			if i > 0 && items[i][0] == '*' {
				items[i] = fmt.Sprint(low)
			}
		}
		return strings.Join(items, ",")
	}
	fired := 0
	for i := range rounds {
		z := zone(t, zones[r.IntN(len(zones))])
		e := strings.Join([]string{random(0, 59, 10), random(0, 23, 30), random(1, 31, 70), random(1, 12, 80), random(0, 7, 70)}, " ")
		at := time.Unix(1577836800+r.Int64N(18*365*86400), 0) // 2020 to 2037
		if _, end := at.In(z).ZoneBounds(); !end.IsZero() && r.IntN(4) > 0 {
			at = end.Add(time.Duration(r.Int64N(int64(8*time.Hour))) - 6*time.Hour)
		}
		s, err := Parse(e, z)
		if err != nil {
			if strings.Contains(err.Error(), "never fires") {
				continue
			}
			t.Fatalf("%s: %v", e, err)
		}
		until := at.Add(30 * time.Hour)
		want, got := read(e).walk(z, at, until), s.Next(at)
		if got.After(until) {
			got = time.Time{}
		}
		if !want.IsZero() {
			fired++
		}
		if !got.Equal(want) {
			t.Fatalf("seed %d, round %d: %q in %s after %s: got %s, the walk says %s", seed, i, e, z, at.In(z), got, want.In(z))
		}
	}
	if fired < rounds/4 {
		t.Errorf("only %d of %d fired in time: the test tests little", fired, rounds)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, e := range []string{
		"", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "*/60 * * * *", "? * * * *",
		"@reboot", "@every 5m", "@annually", "@midnight", "TZ=UTC 0 0 * * *", "CRON_TZ=UTC * * * * *", "0 0 L * *", "0 0 15W * *", "0 0 * * fri#3", "H * * * *",
		"+5 * * * *", "1,,2 * * * *", ",1 * * * *", "1- * * * *", "-1 * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "*-5 * * * *", "* * * foo *", "jan * * * *",
		"0 0 30 2 *", "0 0 31 4,6,9,11 *", "@", "1.5 * * * *", "0x1 * * * *", strings.Repeat("1,", 600) + "1 * * * *",
	} {
		if s, err := Parse(e, time.UTC); err == nil {
			t.Errorf("%q is taken, and fires at %s", e, s.Next(time.Now()))
		}
	}
}

func TestDue(t *testing.T) {
	every, err := Parse("* * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 26, 12, 0, 30, 0, time.UTC)
	for _, tt := range []struct {
		after  time.Duration
		onTime bool
		missed int
	}{
		{0, false, 0},
		{-time.Hour, false, 0},
		{29 * time.Second, false, 0},
		{30 * time.Second, true, 0},
		{89 * time.Second, true, 0}, // the fire is 59 s late
		{90 * time.Second, true, 1},
		{5 * time.Minute, true, 4},
		{TooLong, true, 1000},
		{TooLong + time.Second, false, 0},
	} {
		if onTime, missed := every.Due(from, from.Add(tt.after)); onTime != tt.onTime || missed != tt.missed {
			t.Errorf("after %v: got %v, %d, want %v, %d", tt.after, onTime, missed, tt.onTime, tt.missed)
		}
	}
	daily, _ := Parse("0 0 * * *", time.UTC)
	if onTime, missed := daily.Due(from, from.Add(37*time.Hour)); onTime || missed != 2 {
		t.Errorf("daily: got %v, %d", onTime, missed)
	}
}

func TestZone(t *testing.T) {
	if _, err := LocalZone(""); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"Local", "", "Mars/Phobos", "../../etc/passwd", "CET-1CEST"} {
		if z, err := Zone(name); err == nil {
			t.Errorf("%q is %s", name, z)
		}
	}
	zone(t, "Europe/Berlin")
	for _, tz := range []string{":Europe/Berlin", "Europe/Berlin", ":/usr/share/zoneinfo/Europe/Berlin"} {
		if z, err := LocalZone(tz); err != nil || z.String() != "Europe/Berlin" {
			t.Errorf("%q: %v, %v", tz, z, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range []string{"* * * * *", "0 0 29 2 *", "*/5 1-3,4 * jan-mar mon", "@daily", "5/10 * * * *", "0 22-2 * * fri-mon"} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, e string) {
		s, err := Parse(e, time.UTC)
		if err != nil {
			return
		}
		now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
		if next := s.Next(now); !next.After(now) {
			t.Errorf("%q after %s: %s", e, now, next)
		}
	})
}

// TestAllZones walks the hours around each change of the clock from 2020 to 2037, of every zone that has a file; of one in twenty, unless
// SIDECAR_INIT_SOAK is set.
func TestAllZones(t *testing.T) {
	table, err := os.ReadFile("/usr/share/zoneinfo/tzdata.zi")
	if err != nil {
		t.Skip(err)
	}
	changes, zones := 0, 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "Z" {
			continue
		}
		if zones++; zones%20 != 0 && os.Getenv("SIDECAR_INIT_SOAK") == "" {
			continue
		}
		z := zone(t, f[1])
		for at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2038; {
			_, end := at.In(z).ZoneBounds()
			if end.IsZero() {
				break
			}
			_, before := end.Add(-time.Second).Zone()
			_, after := end.Zone()
			if before != after {
				changes++
				for _, e := range []string{"30 * * * *", "*/20 0-5 * * *", "0 0 * * *", "45 1,2,23 * * *"} {
					s, err := Parse(e, z)
					if err != nil {
						t.Fatal(err)
					}
					r := read(e)
					for from, until := end.Add(-3*time.Hour), end.Add(27*time.Hour); ; {
						want, got := r.walk(z, from, until), s.Next(from)
						if got.After(until) {
							got = time.Time{}
						}
						if !got.Equal(want) {
							t.Fatalf("%q in %s after %s: got %s, the walk says %s", e, z, from.In(z), got, want.In(z))
						}
						if want.IsZero() || got.Sub(end) > 4*time.Hour {
							break
						}
						from = got
					}
				}
			}
			at = end
		}
	}
	if changes < 100 {
		t.Errorf("there were %d changes only", changes)
	}
	t.Logf("%d changes of the clock", changes)
}
