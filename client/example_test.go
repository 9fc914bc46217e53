package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// The supervisor of the container that this program runs in.
func Example() {
	ctx := context.Background()
	daemons, err := client.New("").Daemons(ctx)
	if errors.Is(err, client.ErrNoSupervisor) {
		log.Fatal("nobody supervises us: ", err)
	}
	for _, d := range daemons {
		fmt.Println(d.Name, d.State, time.Duration(d.Uptime*float64(time.Second)))
	}
}

// Restart a daemon, and wait until it is ready, for ten seconds at most.
func ExampleClient_Restart() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := client.New("/run/sidecar-init.sock")
	if _, err := c.Restart(ctx, "api"); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Wait(ctx, client.Ready, "api"); err != nil {
		log.Fatal(err)
	}
}

// Look at what crashes.
func ExampleClient_Events() {
	for e, err := range client.New("").Events(context.Background(), true) {
		switch {
		case err != nil:
			log.Fatal(err)
		case e.Lost() > 0:
			fmt.Println("too slow for", e.Lost(), "events")
		case e.Type == client.EventExited && e.Data.Cause == client.CauseUnexpected:
			fmt.Println(e.Subject, "has crashed; its last words:", e.Data.Log)
		}
	}
}

// Follow the log of one daemon.
func ExampleClient_Logs() {
	options := client.LogOptions{Lines: 10, Follow: true}
	for line, err := range client.New("").Logs(context.Background(), options, "api") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", line.Raw())
	}
}

// Start a development server, wait until it answers, and end it with all that it has started.
func ExampleClient_Add() {
	c, ctx := client.New(""), context.Background()
	if _, err := c.Add(ctx, "dev", client.Transient{Command: []string{"npm", "run", "dev"}, WorkingDir: "/src", TTL: "10m"}); err != nil {
		log.Fatal(err)
	}
	for line, err := range c.Logs(ctx, client.LogOptions{Lines: client.NoLines, Follow: true}, "dev") {
		if err != nil {
			log.Fatal(err)
		}
		if strings.Contains(string(line.Raw()), "listening") {
			break
		}
	}
	if _, err := c.Remove(ctx, "dev"); err != nil {
		log.Fatal(err)
	}
}
