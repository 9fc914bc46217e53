package log

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// FuzzPump holds that a pump writes and keeps what its splitter finds, however the data arrives, and whichever of its
// ways a line takes.
func FuzzPump(f *testing.F) {
	f.Add([]byte("abc\ndef\n\nghi"), uint16(5), uint16(1), uint8(0), false)
	f.Add([]byte("0123456789"), uint16(1000), uint16(3000), uint8(1), false)
	f.Add(bytes.Repeat([]byte("x\n"), 500), uint16(60000), uint16(60), uint8(0), true)
	f.Add([]byte("\x00\xff\"\\\n"), uint16(30000), uint16(10000), uint8(2), false)
	f.Fuzz(func(t *testing.T, data []byte, chunk, repeat uint16, look uint8, match bool) {
		data = bytes.Repeat(data, 1+int(repeat))
		data = data[:min(len(data), 200<<10)]
		o := []Options{{}, {Timestamps: true}, {Format: JSON}}[look%3]
		out, err := os.CreateTemp("", "log")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		os.Remove(out.Name())

		l := New(out, o)
		var matched []part
		s := l.Stream("web", StreamOptions{Ring: 2 << 20})
		if match {
			s.SetMatch(func(line []byte) bool {
				matched = append(matched, part{text: string(line)})
				return false
			})
		}
		p := newPump(s, nil, 0)
		b := l.block.get()
		for rest := data; len(rest) > 0; {
			n := min(1+int(chunk), len(rest), readSize)
			old := copy(b.in, p.begun)
			copy(b.in[old:], rest[:n])
			rest = rest[n:]
			lines, _ := p.lines(b, b.in[:old+n], old, 0, false)
			p.begun = append([]byte(nil), lines...)
		}
		l.block.put(b)
		p.end()

		want := splitAll(t, p.frame.splitter(), data, min(1+int(chunk), readSize))
		if match && len(matched) != len(want) {
			t.Errorf("matched %d lines, want %d", len(matched), len(want))
		}
		kept := s.Tail(-1)
		if len(kept) != len(want) {
			t.Fatalf("kept %d lines, want %d", len(kept), len(want))
		}
		for i, line := range kept {
			if string(line.Text) != want[i].text || line.Partial != want[i].partial {
				t.Fatalf("kept line %d: got %.100q, partial %t, want %.100q, %t", i, line.Text, line.Partial, want[i].text, want[i].partial)
			}
		}
		if got := s.Stats(); got.Lines != uint64(len(want)) || got.Dropped != 0 {
			t.Errorf("stats: got %+v, want %d lines", got, len(want))
		}

		out.Seek(0, io.SeekStart)
		written, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		var expected []byte
		for _, line := range want {
			expected = p.frame.line(expected, b.head, []byte(line.text), endingOf(line.partial))
		}
		if o != (Options{}) { // each chunk has its own time
			written = stampRE.ReplaceAll(written, []byte("TIME"))
			expected = stampRE.ReplaceAll(expected, []byte("TIME"))
		}
		if !bytes.Equal(written, expected) {
			t.Errorf("got %.200q, want %.200q", written, expected)
		}
	})
}
