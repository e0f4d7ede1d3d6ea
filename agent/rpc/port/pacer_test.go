package port

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestPacer: one at a time where there is one place; what has begun goes before
// what is new, and of that the newest first.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{free: 1}
		ctx := context.Background()
		if err := p.enter(ctx, false); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		wait := func(name string, begun bool) {
			go func() {
				if err := p.enter(ctx, begun); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				p.leave()
			}()
			synctest.Wait()
		}
		wait("old", false)
		wait("new", false)
		wait("first begun", true)
		wait("second begun", true)
		gone, cancel := context.WithCancel(ctx)
		left := make(chan error)
		go func() { left <- p.enter(gone, true) }()
		synctest.Wait()
		cancel()
		if err := <-left; err == nil {
			t.Error("who gave up got a place")
		}
		p.leave()
		synctest.Wait()
		if want := []string{"first begun", "second begun", "new", "old"}; !slices.Equal(order, want) {
			t.Errorf("in the order %v, want %v", order, want)
		}
		if p.free != 1 {
			t.Errorf("%d places are free at the end, want 1", p.free)
		}
	})
}

// TestPacedConn: a peer that takes its time takes nobody's place.
func TestPacedConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{free: 1}
		here, there := net.Pipe()
		defer there.Close()
		if err := p.enter(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		c := &pacedConn{Conn: here, pacer: p, ctx: t.Context(), holds: true}
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		if err := p.enter(t.Context(), false); err != nil {
			t.Fatal(err) // the place of the one that reads
		}
		if _, err := there.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-read:
			t.Fatalf("it went on without a place: %v", err)
		default:
		}
		p.leave()
		if err := <-read; err != nil || !c.holds {
			t.Errorf("with a place: %v, holds %v", err, c.holds)
		}
		c.pause()
		if p.free != 1 {
			t.Errorf("%d places are free at the end, want 1", p.free)
		}
	})
}
