package shim

import (
	"testing"

	"golang.org/x/sys/unix"
)

// of is the set of these capabilities.
func of(caps ...int) (s capSet) {
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

func TestNames(t *testing.T) {
	for name, number := range map[string]int{
		"CHOWN": unix.CAP_CHOWN, "KILL": unix.CAP_KILL, "SETPCAP": unix.CAP_SETPCAP, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
		"NET_RAW": unix.CAP_NET_RAW, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "MKNOD": unix.CAP_MKNOD,
		"SETFCAP": unix.CAP_SETFCAP, "SYSLOG": unix.CAP_SYSLOG, "AUDIT_READ": unix.CAP_AUDIT_READ, "BPF": unix.CAP_BPF,
		"CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	} {
		if capNames[number] != name {
			t.Errorf("capability %d: got %s, want %s", number, capNames[number], name)
		}
	}
	if len(capNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("got %d capabilities, want %d", len(capNames), unix.CAP_LAST_CAP+1)
	}
	set, all, err := parseCaps([]string{"CHOWN", "cap_net_raw", "ALL"})
	if err != nil || !all || set != of(unix.CAP_CHOWN, unix.CAP_NET_RAW) {
		t.Errorf("got %v, %t, %v", set, all, err)
	}
	if _, _, err := parseCaps([]string{"CHOWM"}); err == nil || err.Error() != `there is no capability "CHOWM"` {
		t.Errorf("got %v", err)
	}
	if got, want := (of(0, 13) | 1<<60).String(), "CHOWN, NET_RAW, capability 60"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestApply(t *testing.T) {
	const (
		chown = unix.CAP_CHOWN
		kill  = unix.CAP_KILL
		raw   = unix.CAP_NET_RAW
		bind  = unix.CAP_NET_BIND_SERVICE
	)
	container := privilege{bounding: of(chown, kill, raw), permitted: of(chown, kill, raw), root: true}
	user := privilege{bounding: of(chown, kill, raw)}
	ambient := privilege{bounding: of(chown, kill, raw), permitted: of(chown, kill), inheritable: of(chown, kill), ambient: of(chown, kill)}
	for _, tt := range []struct {
		name   string
		was    privilege
		change change
		root   bool
		want   privilege
		err    string
	}{
		{
			name: "drop one", was: container, change: change{Drop: of(raw)}, root: true,
			want: privilege{bounding: of(chown, kill), permitted: of(chown, kill), root: true},
		},
		{
			name: "drop what is not there", was: container, change: change{Drop: of(bind)}, root: true, want: container,
		},
		{name: "drop all", was: container, change: change{DropAll: true}, root: true, want: privilege{root: true}},
		{
			name: "drop all, add one", was: container, change: change{DropAll: true, Add: of(kill)}, root: true,
			want: privilege{bounding: of(kill), permitted: of(kill), root: true},
		},
		{
			name: "drop and add the same", was: container, change: change{Drop: of(kill), Add: of(kill)}, root: true, want: container,
		},
		{
			name: "add all, drop one", was: container, change: change{AddAll: true, Drop: of(kill)}, root: true,
			want: privilege{bounding: of(chown, raw), permitted: of(chown, raw), root: true},
		},
		{name: "add all, drop all", was: container, change: change{AddAll: true, DropAll: true}, root: true, want: container},
		{
			name: "add what is not there", was: container, change: change{Add: of(bind, kill)}, root: true,
			err: "cannot add capabilities that the supervisor does not have: NET_BIND_SERVICE",
		},
		{
			name: "another user", was: container, change: change{Drop: of(raw)},
			want: privilege{bounding: of(chown, kill)},
		},
		{
			name: "another user, add one", was: container, change: change{DropAll: true, Add: of(kill)},
			want: privilege{bounding: of(kill), permitted: of(kill), inheritable: of(kill), ambient: of(kill)},
		},
		{
			name: "another user, add all", was: container, change: change{AddAll: true},
			want: privilege{bounding: of(chown, kill, raw)},
		},
		{name: "without privileges", was: user, change: change{DropAll: true}, want: privilege{}},
		{
			name: "without privileges, add one", was: user, change: change{Add: of(kill)},
			err: "cannot add capabilities that the supervisor does not have: KILL",
		},
		{
			name: "ambient capabilities go on", was: ambient, change: change{Drop: of(kill)},
			want: privilege{bounding: of(chown), permitted: of(chown), inheritable: of(chown), ambient: of(chown)},
		},
	} {
		got, err := tt.change.apply(tt.was, tt.root)
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.err)
		}
	}
}
