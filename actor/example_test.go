package actor_test

import (
	"context"
	"fmt"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
)

// A counter is an actor with the count as its state, which no lock guards.
type counter struct {
	actor *actor.Actor[any]
	count int
}

type (
	add  struct{ n int }
	read struct{ reply actor.Reply[int] }
	quit struct{}
)

func (c *counter) Receive(m any) error {
	switch m := m.(type) {
	case add:
		c.count += m.n
	case read:
		m.reply.Send(c.count)
	case quit:
		return actor.ErrStop
	}
	return nil
}

func (c *counter) Timeout() error { return nil }
func (c *counter) Refuse(m any)   { fmt.Printf("refused: %T\n", m) }

// Tell is for what needs no answer, and Ask waits for one.
func ExampleAsk() {
	c := &counter{actor: actor.New[any](16)}
	done := make(chan error)
	go func() { done <- c.actor.Run(c) }()

	ref := c.actor.Ref()
	_ = ref.Tell(add{2})
	_ = ref.Tell(add{3})
	sum, err := actor.Ask(context.Background(), ref, func(r actor.Reply[int]) any { return read{r} })
	fmt.Println(sum, err)

	_ = ref.Tell(quit{})
	fmt.Println(<-done)
	// Output:
	// 5 <nil>
	// <nil>
}

// A message that comes after the one that ends the actor is refused.
func ExampleHandler() {
	c := &counter{actor: actor.New[any](16)}
	ref := c.actor.Ref()
	_ = ref.Tell(quit{})
	_ = ref.Tell(add{1})
	fmt.Println(c.actor.Run(c))
	fmt.Println(ref.Tell(add{1}))
	// Output:
	// refused: actor_test.add
	// <nil>
	// mailbox: closed
}

// An alarm rings once the snoozing has ended.
type alarm struct{ actor *actor.Actor[time.Duration] }

func (a *alarm) Receive(snooze time.Duration) error {
	a.actor.Arm(snooze) // instead of what was armed before
	return nil
}

func (a *alarm) Timeout() error {
	fmt.Println("ring")
	return actor.ErrStop
}

func (a *alarm) Refuse(time.Duration) {}

// An actor has one timer. What is armed later replaces what was armed before.
func ExampleActor_Arm() {
	a := &alarm{actor.New[time.Duration](16)}
	_ = a.actor.Ref().Tell(time.Hour)
	_ = a.actor.Ref().Tell(time.Millisecond)
	fmt.Println(a.actor.Run(a))
	// Output:
	// ring
	// <nil>
}
