package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/mattn/go-shellwords"
	"github.com/xhit/go-str2duration/v2"
)

// vars is an environment in which things are replaced.
func vars(name string) (string, bool) {
	value, ok := map[string]string{
		"PATH": "/usr/bin:/bin", "HOME": "/root", "NAME": "world", "EMPTY": "", "NUM": "3", "YES": "true", "DURATION": "5s",
		"DOLLAR": "$x", "SPACES": "a  b", "QUOTES": "it's \"q\"", "EQUALS": "a=b", "LINES": "one\ntwo", "LIST": "[a, b]",
	}[name]
	return value, ok
}

// FuzzExpand: variables are replaced as compose-go replaces them, and what it refuses is refused.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{
		"$NAME", "${NAME}", "${NOPE:-a${NAME}b}c${NUM}", "${NOPE-x} } ${EMPTY:-y}", "${NAME:+a}${NOPE+b}", "${NOPE:?x${NAME}}", "$$$NAME$", "${", "${}",
		"${A:-{}}", "${A:-{b}c}d}", "${NOPE:-a\nb}", "$1 $", "${NAME:}", "${NAME!}", "${ſ}$K", "${NAME-${NOPE:?}}", "${NOPE:-}}", "${NAME:-x}${",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := expand(s, vars)
		want, refusal := template.SubstituteWithOptions(s, vars, template.WithoutLogging)
		var missing *template.MissingRequiredError
		switch {
		case (err == nil) != (refusal == nil):
			t.Errorf("%q: got %v, want %v", s, err, refusal)
		case err == nil && got != want:
			t.Errorf("%q: got %q, want %q", s, got, want)
		case errors.As(refusal, &missing):
			if ours, ok := err.(*missingError); !ok || ours.name != missing.Variable || ours.reason != missing.Reason {
				t.Errorf("%q: got %v, want %v", s, err, refusal)
			}
		}
	})
}

// FuzzDotenv: files of variables are read as compose-go reads them.
func FuzzDotenv(f *testing.F) {
	for _, name := range []string{".env", "env/one.env", "env/two.env", "env/crlf.env", "env/bom.env", "env/bad.env", "env/open.env", "env/required.env"} {
		data, err := os.ReadFile(filepath.Join("../bundle/testdata/corpus", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, s := range []string{"A=\"\\a\\0101\\018\\0\\c\\$x\\\\\"\nB='\\'x\\\\y'", "export A=1\nexport\tB=2\nexportC=3", "A\n", "A", "A = b # c", "=x", "a b=c", "A=\u00a0x", "A[0]=1\nx.y-z: 2", "#\n\n#x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, want := map[string]string{"BEFORE": "x"}, map[string]string{"BEFORE": "x"}
		err := ParseDotenv(s, got, vars, func(EnvEntry) {})
		refusal := theirDotenv(s, want, vars)
		if key, odd := want[""]; odd && err != nil && key != "" {
			return // a KEY without newline at the end: compose-go makes it the value of no name
		}
		if (err == nil) != (refusal == nil) {
			t.Errorf("%q: got %v, want %v", s, err, refusal)
		} else if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}

func theirDotenv(s string, vars map[string]string, look Lookup) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return dotenv.ParseWithFormat(strings.NewReader(s), "x", vars, dotenv.LookupFn(look), "")
}

// FuzzSplitWords: words are split as compose-go splits them, and what it refuses is refused; so is what it drops, and nothing else.
func FuzzSplitWords(f *testing.F) {
	for _, s := range []string{
		"a b", `a "b c" d\ e`, "a 'b' `c d` $(e f)", "", `"`, "a; b", `''"" x`, "$(a", "a\tb\nc", `\`, "ü 世", "\xff",
		`a\nb\tc "d\ne\t" 'f\n'`, `\n`, `\\n`, `$(a\n\)b)`, "`a\\n\\`b`", "`a 'b` c'", "`\"`", `$('a)`, "a)", ")(", "(a)", `$ (a)`, `\$(a)`, `"$"(a)`, `$""(a)`, "$$(a)",
		"$(a $(b))", "$(a (b))", "`(a) )`", `"(a)" '$(b'`, "a 2>b", "'2'>b", `a\;b "c;d" $(e;f) ` + "`g|h`", `a\`, `"a\"`, "$(a)b$(c)", `"" ""`, "a\rb", "a\\\nb", "#a #",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := SplitWords(s)
		parser := shellwords.NewParser()
		want, refusal := parser.Parse(s)
		_, operator := err.(operatorError)
		if drops := parser.Position >= 0 && refusal == nil; operator != drops {
			t.Errorf("%q: got %v; the library drops the end: %t", s, err, drops)
		}
		if !operator && (err == nil) != (refusal == nil) {
			t.Errorf("%q: got %v, want %v", s, err, refusal)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}

// FuzzParseDuration: durations are read as compose-go reads them.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"1s", "1m30s", "1.5h", "-2d", "+1w", "0", "", "1", ".5s", "1.s", "s", "9223372036854775807ns", "9223372036854775808ns", "0.3333333333333333333d", "1µs1μs1us", "15250w"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseDuration(s)
		want, err := str2duration.ParseDuration(s)
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%q: got %v, %v, want %v, %v", s, got, ok, want, err)
		}
	})
}

func TestParseDurationRange(t *testing.T) {
	for _, s := range []string{"106751d23h47m16s", "15250w1d23h47m16s"} {
		if d, ok := ParseDuration(s); !ok || d < 15250*7*24*time.Hour-1e18 {
			t.Errorf("%s: got %v, %v", s, d, ok)
		}
	}
}
