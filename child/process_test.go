package child_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
)

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		exit   child.Exit
		text   string
		rc     int
		status int
		failed bool
	}{
		{child.Exit{}, "code 0", 0, 0, false},
		{child.Exit{Code: 3}, "code 3", 3, 3, true},
		{child.Exit{Code: 143}, "code 143", 143, 143, true},
		{child.Exit{Signal: syscall.SIGTERM}, "code -15 (SIGTERM)", -15, 143, true},
		{child.Exit{Signal: syscall.SIGKILL}, "code -9 (SIGKILL)", -9, 137, true},
		{child.Exit{Signal: syscall.SIGSEGV, Core: true}, "code -11 (SIGSEGV)", -11, 139, true},
		{child.Exit{Signal: 36}, "code -36 (SIGRTMIN+2)", -36, 164, true},
		{child.Exit{Err: fs.ErrPermission}, "code 0", 0, 0, true},
	} {
		if got := tt.exit.String(); got != tt.text {
			t.Errorf("%+v: got %q, want %q", tt.exit, got, tt.text)
		}
		if got := tt.exit.RC(); got != tt.rc {
			t.Errorf("%+v: got rc %d, want %d", tt.exit, got, tt.rc)
		}
		if got := tt.exit.Status(); got != tt.status {
			t.Errorf("%+v: got status %d, want %d", tt.exit, got, tt.status)
		}
		if got := tt.exit.Failed(); got != tt.failed {
			t.Errorf("%+v: got failed %v, want %v", tt.exit, got, tt.failed)
		}
	}
}

func TestSignalName(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{
		syscall.SIGHUP: "SIGHUP", syscall.SIGUSR1: "SIGUSR1", syscall.SIGWINCH: "SIGWINCH",
		33: "signal 33", 34: "SIGRTMIN", 35: "SIGRTMIN+1", 64: "SIGRTMIN+30", 65: "signal 65", 0: "signal 0",
	} {
		if got := child.SignalName(sig); got != want {
			t.Errorf("signal %d: got %q, want %q", int(sig), got, want)
		}
	}
}

func TestStates(t *testing.T) {
	for state, want := range map[child.State]struct{ alive, up, final bool }{
		child.StateWaiting:   {},
		child.StateStarting:  {alive: true},
		child.StateRunning:   {alive: true, up: true},
		child.StateReady:     {alive: true, up: true},
		child.StateUnhealthy: {alive: true},
		child.StateStopping:  {alive: true},
		child.StateBackoff:   {},
		child.StateExited:    {final: true},
		child.StateStopped:   {final: true},
		child.StateGaveUp:    {final: true},
	} {
		if state.Alive() != want.alive || state.Up() != want.up || state.Final() != want.final {
			t.Errorf("%s: got alive %v, up %v, final %v, want %+v", state, state.Alive(), state.Up(), state.Final(), want)
		}
	}
}

func TestStartError(t *testing.T) {
	err := error(&child.StartError{Reason: "/bin/web: permission denied", Code: 126, Err: fs.ErrPermission})
	if got, want := err.Error(), "/bin/web: permission denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v does not wrap its cause", err)
	}
}
