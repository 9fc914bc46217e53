package shim

import (
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
)

func TestRequest(t *testing.T) {
	score := -3
	for _, want := range []*request{
		{path: "/bin/true", argv: []string{"true"}},
		{path: "/bin/\xff", dir: "/\xfe", argv: []string{"", "a b", "\n"}, env: []string{"A=b", "C=\xff", "D="}},
		{
			path: "x", argv: []string{"x"}, env: []string{"A=b"}, OOMScoreAdj: &score, NoNewPrivileges: true, PIDVariable: "P",
			Rlimits:    []child.Rlimit{{Name: "nofile", Resource: 7, Soft: 1, Hard: -1}},
			Caps:       change{Add: 1 << 40, DropAll: true},
			Credential: &syscall.Credential{Uid: 1, Gid: 2, Groups: []uint32{3, 4}},
		},
	} {
		b, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b[sizeLen:])
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want.env == nil {
			want.env = []string{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestRequestRefused(t *testing.T) {
	for _, r := range []*request{
		{path: "a\x00", argv: []string{"a"}},
		{path: "a", argv: []string{"a\x00b"}},
		{path: "a", argv: []string{"a"}, env: []string{"A=\x00"}},
		{path: "a", argv: []string{strings.Repeat("x", maxRequest)}},
	} {
		if b, err := r.encode(); err == nil {
			t.Errorf("got %.40q", b)
		}
	}
	for _, b := range []string{"", "{}", "{}\x00", "{}\x00a\x00b\x00", "null\x00a\x00b\x00c\x00", `{"Argc":1}` + "\x00a\x00b\x00c", `{"Argc":2}` + "\x00a\x00b\x00c\x00"} {
		if r, err := decode([]byte(b)); err == nil {
			t.Errorf("%q: got %+v", b, r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"Argc":1}` + "\x00path\x00dir\x00argv0\x00A=b\x00"))
	f.Add([]byte("{}\x00"))
	f.Add([]byte(`{"Argc":-1}` + "\x00a\x00b\x00c\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err == nil && (len(r.argv) != r.Argc || r.Argc < 1) {
			t.Errorf("got %d arguments, want %d", len(r.argv), r.Argc)
		}
	})
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		report, want string
		transient    bool
	}{
		{report: "+"},
		{report: "", want: "its shim: it died"},
		{report: "+-2 execve", want: "no such file or directory"},
		{report: "-1 ulimit nofile 1:2", want: "ulimit nofile 1:2: operation not permitted"},
		{report: "-11 oom_score_adj 1", want: "oom_score_adj 1: resource temporarily unavailable", transient: true},
		{report: "-1 setuid", want: "cannot become its user: operation not permitted"},
		{report: "-0 in words", want: "in words"},
		{report: "-x", want: "its shim: -x"},
	} {
		err := readReport(strings.NewReader(tt.report))
		if got := text(err); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.report, got, tt.want)
		}
		if e, ok := err.(*child.StartError); ok && (e.Transient != tt.transient || e.Code != 126) {
			t.Errorf("%q: got %+v", tt.report, e)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestSet(t *testing.T) {
	got := set([]string{"PID=1", "PIDS=2", "A=b", "PID=3"}, "PID", "4")
	if want := []string{"PIDS=2", "A=b", "PID=4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
