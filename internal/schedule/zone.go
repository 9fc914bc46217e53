package schedule

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// ErrNoZones says that there are no files of time zones. They are not in the program: they change several times a year.
var ErrNoZones = errors.New("there are no files of time zones here: install tzdata in the image, or copy /usr/share/zoneinfo into it")

// The places where Go's package time looks, and the variable that adds one.
var zoneDirs = []string{os.Getenv("ZONEINFO"), "/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"}

// Zone finds the IANA time zone of that name, such as Europe/Berlin; UTC needs no file. The error is ErrNoZones where there are none.
func Zone(name string) (*time.Location, error) {
	switch {
	case name == "UTC":
		return time.UTC, nil
	case name == "" || name == "Local":
		return nil, fmt.Errorf("unknown time zone %q: it must be an IANA name, such as Europe/Berlin", name)
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		return zone, nil
	}
	if !slices.ContainsFunc(zoneDirs, func(dir string) bool {
		_, err := os.Stat(dir)
		return dir != "" && err == nil
	}) {
		return nil, ErrNoZones
	}
	return nil, fmt.Errorf("unknown time zone %q: it must be an IANA name, such as Europe/Berlin", name)
}

// LocalZone finds the zone that the variable TZ names; UTC where it has no value. Of what POSIX allows in it only a name is taken, with
// or without a colon in front.
func LocalZone(tz string) (*time.Location, error) {
	name := strings.TrimPrefix(tz, ":")
	if name == "" {
		return time.UTC, nil
	}
	if file, ok := strings.CutPrefix(name, "/usr/share/zoneinfo/"); ok {
		name = file
	}
	return Zone(name)
}
