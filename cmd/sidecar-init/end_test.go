package main

import (
	"testing"
	"time"
)

func TestLogDeadline(t *testing.T) {
	deadline := time.Now()
	for _, tt := range []struct {
		name      string
		now, want time.Duration // after the deadline
	}{
		{name: "all have ended at once", now: -8 * time.Second, want: 0},
		{name: "shortly before the deadline", now: -logTime / 4, want: logTime * 3 / 4},
		{name: "killed", now: 5 * time.Millisecond, want: 5*time.Millisecond + logTime},
		{name: "hard to kill", now: sweepEnds, want: logEnd},
	} {
		if got := logDeadline(deadline, deadline.Add(tt.now)).Sub(deadline); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	if exitAt <= logEnd || logEnd <= sweepEnds {
		t.Error("what comes last ends first")
	}
}
