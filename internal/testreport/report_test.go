package testreport

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, events, want string
		passed, failed     int
		skips              string
	}{
		{
			name: "a package that passes shows its closing line alone",
			events: `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"-test.shuffle 1\n"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`,
			want: "ok  \tp\t0.1s\n", passed: 1,
		},
		{
			name: "a test that fails shows all",
			events: `{"Action":"output","Package":"p","Output":"-test.shuffle 1\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 1, want 2\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`,
			want:   "    a_test.go:3: got 1, want 2\n--- FAIL: TestA (0.00s)\n-test.shuffle 1\nFAIL\tp\t0.1s\n",
			failed: 1,
		},
		{
			name: "a skip keeps its reason",
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: no pid namespace: EPERM\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`,
			want: "ok  \tp\t0.1s\n", skips: "p TestA: a_test.go:3: no pid namespace: EPERM",
		},
		{
			name: "what does not compile is shown",
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: expected 'package'\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`,
			want: "p.go:1: expected 'package'\nFAIL\tp [build failed]\n",
		},
		{
			name: "a binary run by test2json",
			events: `{"Action":"output","Package":"6.1 root p","Output":"PASS\n"}
{"Action":"pass","Package":"6.1 root p","Elapsed":1.5}
{"Action":"output","Package":"6.1 nobody p","Output":"panic: x\n"}
{"Action":"output","Package":"6.1 nobody p","Output":"FAIL\n"}
{"Action":"fail","Package":"6.1 nobody p","Elapsed":2}
`,
			want: "PASS\t6.1 root p\t1.500s\npanic: x\nFAIL\t6.1 nobody p\t2.000s\n",
		},
		{
			name:   "what is no event passes through",
			events: "go: downloading something\nno newline at the end",
			want:   "go: downloading something\nno newline at the end",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			sum, err := Read(strings.NewReader(c.events), &out)
			if err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != c.want {
				t.Errorf("printed:\n%s\nwant:\n%s", got, c.want)
			}
			if sum.Passed != c.passed || sum.Failed != c.failed {
				t.Errorf("got %d passed and %d failed, want %d and %d", sum.Passed, sum.Failed, c.passed, c.failed)
			}
			var skips []string
			for _, s := range sum.Skips {
				skips = append(skips, s.String())
			}
			if got := strings.Join(skips, "\n"); got != c.skips {
				t.Errorf("skips: got %q, want %q", got, c.skips)
			}
		})
	}
}
