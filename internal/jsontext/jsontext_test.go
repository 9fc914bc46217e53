package jsontext_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/jsontext"
)

// FuzzAppend: a string is what encoding/json takes it for, and is told to be valid where it is.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{"", "listening on :80", "<a href=\"x\">\\ \x00\x1f\x7f\u2028 &\r\n\t", "a\xff\xfe\xe2\x82\xed\xa0\x80 \uFFFD"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		var got, want string
		b, _ := json.Marshal(string(s))
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		b, valid := jsontext.Append([]byte(nil), s)
		if err := json.Unmarshal(b, &got); err != nil || got != want || valid != utf8.Valid(s) {
			t.Errorf("got %q, valid %t, %v, want %q", got, valid, err, want)
		}
		if n := jsontext.Plain(s); n != len(s) && jsontext.Plain(s[n:]) != 0 {
			t.Errorf("%q: %d bytes are plain, and the next one too", s, n)
		}
	})
}
