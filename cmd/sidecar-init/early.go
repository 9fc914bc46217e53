package main

import (
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// beforehand acts on signals while nothing runs yet. To read a file can take for ever (a FIFO, a server that hangs), so what
// ends a bundle then calls end, which does not return. The others are kept; handOver returns them, and nobody acts any more.
func beforehand(signals <-chan os.Signal, end func(syscall.Signal)) (handOver func() []syscall.Signal) {
	var kept []syscall.Signal
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // until handOver
		defer close(stopped)
		for {
			select {
			case s := <-signals:
				if sig := s.(syscall.Signal); endsBundle(sig) {
					end(sig)
				} else if !slices.Contains(kept, sig) {
					kept = append(kept, sig)
				}
			case <-stop:
				return
			}
		}
	}()
	return func() []syscall.Signal {
		close(stop)
		<-stopped
		return kept
	}
}

// endsBundle reports whether a signal ends every bundle.
func endsBundle(sig syscall.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT
}

// endEarly ends the program at a signal that came before anything ran.
func endEarly(logger *log.Log, sig syscall.Signal) {
	logger.Printf("%s", message(child.Event{Kind: root.EventShutdown, Signal: sig}, true))
	logger.Printf("exit 0")
	logger.Close(time.Now().Add(logTime))
	os.Exit(0)
}
