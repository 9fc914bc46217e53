package mailbox_test

import (
	"errors"
	"fmt"

	"github.com/bot-bottle/sidecar-init/mailbox"
)

// The receiver waits for a token and takes all that is queued. At its end it seals the mailbox, and answers for what it
// has not received.
func Example() {
	box := mailbox.New[string](2)
	_ = box.Send("first")
	_ = box.Send("second")
	if err := box.Offer("third"); errors.Is(err, mailbox.ErrFull) {
		fmt.Println("busy")
	}

	var batch []string
	<-box.Wake()
	batch = box.Drain(batch)
	fmt.Println(batch)

	_ = box.Send("late")
	fmt.Println("refused:", box.Close())
	fmt.Println(box.Send("too late"))
	// Output:
	// busy
	// [first second]
	// refused: [late]
	// mailbox: closed
}
