package bundle

import (
	"reflect"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// TestParseSize: sizes are what compose-go makes of them.
func TestParseSize(t *testing.T) {
	for _, text := range []string{
		"0", "1", "16384", "16k", "16K", "16kb", "16KB", "16KiB", "16 kb", "1.5m", "0.5g", "2t", "1p", "1b", "1B", "10 B", "1ib",
		"", "k", "kb", " 1", "1  k", "1kk", "1bk", ".5k", "1..5", "1.2.3", "0x10", "1kbb", "1 ", "10 apples",
	} {
		var want types.UnitBytes
		err := want.DecodeMapstructure(text)
		got, ok := parseSize(text)
		if ok != (err == nil) || ok && got != int64(want) {
			t.Errorf("%q: got %d, %t, want %d, %v", text, got, ok, want, err)
		}
	}
	for _, text := range []string{"-1", "+1", "1e3", "9999999p"} { // it takes these, but nobody means them
		if got, ok := parseSize(text); ok {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

// TestLogOptions: what the file does not say is not the same as 0.
func TestLogOptions(t *testing.T) {
	some, never := 1500*time.Millisecond, time.Duration(0)
	for _, tt := range []struct {
		yaml string
		want LogOptions
	}{
		{`{}`, LogOptions{}},
		{`{hold: 1.5s, max_line: 64kb}`, LogOptions{Hold: &some, MaxLine: 64 << 10}},
		{`{hold: 0, max_line: 2048}`, LogOptions{Hold: &never, MaxLine: 2 << 10}},
		{`{hold: 0s}`, LogOptions{Hold: &never}},
	} {
		b, err := loadText(t, "services: {a: {command: [x]}}\nx-sidecar-init: {log: "+tt.yaml+"}", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b.Log, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.yaml, b.Log, tt.want)
		}
	}
}
