package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/netresearch/go-cron"
)

// A Schedule is a crontab expression in a time zone.
type Schedule struct {
	spec   *cron.SpecSchedule // in UTC
	zone   *time.Location
	hourly bool // every hour of the day
}

// searchYears is how far Next looks: 29 February on a given day of the week comes after 40 years at the latest (2096 to 2136).
const searchYears = 41

// What reads expressions, made when there is one: every start of the program, and of each shim, would pay for it.
var (
	parser = sync.OnceValue(func() cron.Parser {
		return cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom).
			WithMaxSearchYears(searchYears)
	})
	field = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(\*|[0-9]+|[A-Za-z]{3})(-([0-9]+|[A-Za-z]{3}))?(/[0-9]+)?$`)
	})
	macros = []string{"@hourly", "@daily", "@weekly", "@monthly", "@yearly"}
)

// everyHour are the bits of the 24 hours.
const everyHour = 1<<24 - 1

// Parse reads a crontab expression: five fields with numbers, names, lists, ranges and steps, or @hourly, @daily, @weekly, @monthly
// or @yearly. 0 and 7 are Sunday; where neither the day of the month nor that of the week is a star, either matches (POSIX, crontab).
// The error says what is wrong with it, or that it never fires.
func Parse(expression string, zone *time.Location) (*Schedule, error) {
	if err := grammar(expression); err != nil {
		return nil, err
	}
	parsed, err := parser().Parse(expression)
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("%q is not a crontab expression", expression)
	}
	spec.Location = time.UTC
	s := &Schedule{spec: spec, zone: zone, hourly: spec.Hour&everyHour == everyHour}
	if spec.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("never fires: there is no such day")
	}
	return s, nil
}

// grammar refuses what the library has beyond a crontab, and what it lets pass.
func grammar(expression string) error {
	fields := strings.Fields(expression)
	switch {
	case strings.HasPrefix(expression, "@"):
		for _, macro := range macros {
			if expression == macro {
				return nil
			}
		}
		return fmt.Errorf("must be one of %s, or have five fields", strings.Join(macros, ", "))
	case len(fields) == 6:
		return errors.New("has six fields: there are no seconds; the five are minute, hour, day of month, month, day of week")
	case len(fields) != 5:
		return errors.New("must have five fields: minute, hour, day of month, month, day of week")
	}
	for _, f := range fields {
		for item := range strings.SplitSeq(f, ",") {
			if !field().MatchString(item) || strings.HasPrefix(item, "*-") {
				return fmt.Errorf("cannot have %q: a field is a list of *, numbers, names and ranges, each with a step or without", item)
			}
		}
	}
	return nil
}

// Beyond reports what a crontab expression has that docker compose does not take: names, or a macro; empty if nothing.
func Beyond(expression string) string {
	switch {
	case strings.HasPrefix(expression, "@"):
		return expression
	case strings.ContainsFunc(expression, func(r rune) bool { return r >= 'A' }):
		return "names of months or days"
	}
	return ""
}

// Next is the first instant after that one at which it fires; the zero Time if there is none within 41 years.
func (s *Schedule) Next(after time.Time) time.Time {
	t := after.In(s.zone)
	from := wall(t) // what is looked for is shown later than this
	for first := true; ; first = false {
		change, end := t.ZoneBounds() // in between the zone's offset is one; not at all bounds it changes (go1.26: at those of years)
		shown := wall(t)
		if !first {
			change = t
			from = shown.Add(-time.Nanosecond) // what is shown at the very change counts
		}
		if !s.hourly && !change.IsZero() {
			if old := wall(change.Add(-time.Nanosecond)); !first || old.After(from) {
				from = old // the clock before the change has shown all up to there, and nothing after it
			}
		}
		next := s.spec.Next(from)
		switch at := instant(next, t); {
		case next.IsZero():
			return next
		case next.Before(shown): // the change has skipped it
			return t
		case end.IsZero() || at.Before(end):
			return at
		}
		t = end.In(s.zone)
	}
}

// wall is what a clock shows, as if it were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is when a clock shows that, by the offset of the zone at another instant.
func instant(shown, by time.Time) time.Time {
	_, offset := by.Zone()
	return shown.Add(-time.Duration(offset) * time.Second).In(by.Location())
}

// Bounds for what was due while nobody could act.
const (
	// OnTime is how late a fire may be and is not missed: an expression has no finer grain.
	OnTime = time.Minute
	// TooLong: a clock that jumps further was wrong before, so nothing was due.
	TooLong = 366 * 24 * time.Hour
	// maxMissed is how many missed fires are counted.
	maxMissed = 1000
)

// Due says what fires in (from, now]: whether one is on time, and how many are too late (1000 stands for as many or more). A clock that
// was set back, or forward by more than TooLong, makes nothing due.
func (s *Schedule) Due(from, now time.Time) (onTime bool, missed int) {
	from, now = from.Round(0), now.Round(0) // else they would be compared by the monotonic clock, which nobody sets
	if !now.After(from) || now.Sub(from) > TooLong {
		return false, 0
	}
	late := now.Add(-OnTime)
	for t := s.Next(from); !t.IsZero() && !t.After(late) && missed < maxMissed; t = s.Next(t) {
		missed++
	}
	if late.Before(from) {
		late = from
	}
	next := s.Next(late)
	return !next.IsZero() && !next.After(now), missed
}

// ErrClockSet says that the wall clock was set.
var ErrClockSet = errors.New("the clock was set")
