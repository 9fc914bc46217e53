package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

func TestUpward(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), "@sidecar-init-test-upward"} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		fake := &testproc.Fake{Lives: map[string][]testproc.Life{
			"job": {{ExitAfter: testproc.AtOnce}},
		}}
		r, err := root.New(root.Config{
			Specs: []child.Spec{
				{Name: "job", Program: child.Program{Argv: []string{"job"}}}, {Name: "web", Program: child.Program{Argv: []string{"web"}}, Readiness: true}, {Name: "db", Program: child.Program{Argv: []string{"db"}}},
			},
			Spawner: fake,
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { _, err := r.Run(); ended <- err }()
		sent := make(chan error)
		go func() { sent <- Upward(address, r.Ref()) }()

		// All the others are, and web runs.
		reply := actor.NewReply[[]child.Status]()
		_ = r.Ref().Tell(root.Await{Reply: reply, Until: func(all []child.Status) bool {
			return all[0].State == child.StateExited && all[1].PID != 0 && all[2].State == child.StateRunning
		}})
		<-reply.C()
		select {
		case err := <-sent:
			t.Fatalf("web is not ready, and Upward returns %v", err)
		default:
		}
		_ = r.Ref().Tell(root.Fact{Name: "web", Msg: child.Ready{Gen: 1}})
		if err := <-sent; err != nil {
			t.Error(err)
		}
		buf := make([]byte, 100)
		n, err := l.Read(buf)
		if got, want := string(buf[:n]), "READY=1\n"; got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		_ = r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestUpwardFails(t *testing.T) {
	r, err := root.New(root.Config{Specs: []child.Spec{{Name: "web", Program: child.Program{Argv: []string{"web"}}}}, Spawner: &testproc.Fake{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Upward("vsock:2:1234", r.Ref()); err == nil {
		t.Error("not a unix socket: got nil")
	}
	ended := make(chan error)
	go func() { _, err := r.Run(); ended <- err }()
	if err := Upward(filepath.Join(t.TempDir(), "no", "such"), r.Ref()); err == nil || !os.IsNotExist(unwrap(err)) {
		t.Errorf("nobody listens: got %v", err)
	}
	_ = r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := Upward("@nobody", r.Ref()); err != nil {
		t.Errorf("the bundle has ended: got %v", err)
	}
}

// unwrap returns the innermost error.
func unwrap(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

func TestAllReady(t *testing.T) {
	for _, tt := range []struct {
		state child.State
		last  *child.Exit
		want  bool
	}{
		{state: child.StateWaiting},
		{state: child.StateStarting},
		{state: child.StateUnhealthy},
		{state: child.StateStopping},
		{state: child.StateBackoff, last: &child.Exit{Code: 1}},
		{state: child.StateGaveUp, last: &child.Exit{Code: 1}},
		{state: child.StateRunning, want: true},
		{state: child.StateReady, want: true},
		{state: child.StateStopped, want: true},
		{state: child.StateExited},
		{state: child.StateExited, last: &child.Exit{Code: 1}},
		{state: child.StateExited, last: &child.Exit{}, want: true},
	} {
		all := []child.Status{{State: child.StateReady}, {State: tt.state, Last: tt.last, Completed: tt.last != nil && !tt.last.Failed()}}
		if got := allReady(all); got != tt.want {
			t.Errorf("%s %v: got %t, want %t", tt.state, tt.last, got, tt.want)
		}
	}
}
