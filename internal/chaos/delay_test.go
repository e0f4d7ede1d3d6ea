package chaos

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/steppe-project/steppe/internal/faults"
)

// TestDelay: servers that are 60 to 80 ms from each other, one way, keep their
// leader, take writes, and read at every mode; and all is as before afterwards.
func TestDelay(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 0)
	leader := c.leader()
	if leader == nil {
		t.Fatal("nobody leads")
	}
	write := func(value int) time.Duration {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), faults.Patience)
		defer cancel()
		begin := time.Now()
		if _, err := c.others(leader)[0].API.Jobs().Register(ctx, c.register("r", value), nil); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	write(1)
	var undo []func()
	for _, a := range c.Servers {
		undo = append(undo, c.Site.Delay(a, 30*time.Millisecond, 10*time.Millisecond))
	}
	if took := write(2); took < 240*time.Millisecond {
		t.Errorf("a write through a follower took %v: it goes to the leader, from there to another server, and back: nothing is delayed", took)
	}
	for value := 3; value < 13; value++ {
		write(value)
	}
	if now := c.leader(); now != leader {
		t.Error("the leader has changed")
	}
	for _, mode := range []string{"", "consistent"} {
		readThawed(t, c.others(leader)[1], 12, mode != "")
	}
	for _, f := range undo {
		f()
	}
	c.Site.Await("writes are as fast as before", faults.Patience, func() error {
		if took := write(13); took > 200*time.Millisecond {
			return errSlow
		}
		return nil
	})
	c.SameState()
}

var errSlow = errors.New("they are not")
