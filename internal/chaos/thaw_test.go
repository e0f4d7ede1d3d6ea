package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/internal/faults"
)

// TestThawedLeader: a leader's process is stopped, another one leads and takes a
// write. Reads that wait in the old one's sockets are answered the moment it goes
// on, before it has heard of the other: never from the past.
func TestThawedLeader(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 0)
	for round := range 2 {
		old := c.leader()
		if old == nil {
			t.Fatal("nobody leads")
		}
		other := c.others(old)[0]
		if _, err := old.API.Jobs().Register(context.Background(), c.register("r", 2*round+1), nil); err != nil {
			t.Fatal(err)
		}
		old.Freeze()
		c.Site.Await("another server takes a write", faults.Patience, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), callLimit)
			defer cancel()
			_, err := other.API.Jobs().Register(ctx, c.register("r", 2*round+2), nil)
			return err
		})
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() { readThawed(t, old, 2*round+2, i%2 == 0) })
		}
		time.Sleep(300 * time.Millisecond) // until the requests are in its sockets
		old.Thaw()
		wg.Wait()
		c.Site.Await("the old leader follows", faults.Patience, func() error {
			if l := c.leader(); l == nil || l == old {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

func readThawed(t *testing.T, a *faults.Agent, want int, consistent bool) {
	ctx, cancel := context.WithTimeout(context.Background(), faults.Patience)
	defer cancel()
	q := &api.Query{Params: map[string]string{}}
	if consistent {
		q.Params["consistent"] = ""
	}
	job, _, err := a.API.Jobs().Get(ctx, "r", q)
	if err == nil && job.Meta["value"] != fmt.Sprint(want) {
		t.Errorf("consistent %v: read value %s, %d had been written before the read began", consistent, job.Meta["value"], want)
	}
}
