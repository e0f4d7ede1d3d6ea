package lease

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

// clock is a machine's clock: off by something, and too fast or too slow.
type clock struct {
	offset time.Duration
	pace   float64
}

func (c clock) at(real time.Duration) time.Time {
	return time.Unix(1_700_000_000, 0).Add(c.offset + time.Duration(c.pace*float64(real)))
}

func drawClock(t *rapid.T, name string) clock {
	return clock{
		time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, name+" is off by")),
		1 + rapid.Float64Range(-MaxDrift, MaxDrift).Draw(t, name+" drifts by"),
	}
}

// TestFence: whatever the delays of renewals and of their confirmations, which of
// them are lost, and how the clocks run: whenever the leader's lease of a node is
// over, the node knows that its own is.
func TestFence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node, leader := drawClock(t, "node"), drawClock(t, "leader")
		ttl := time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Minute)).Draw(t, "ttl"))
		delay := rapid.Int64Range(0, int64(2*ttl))
		type word struct {
			seq  uint64
			ttl  time.Duration // 0: as at the session's start
			back time.Duration
		}
		var held Held
		held.Begin(ttl)
		var words []word
		var until time.Time // the leader's
		now, received := time.Duration(0), time.Duration(0)
		for seq := range uint64(rapid.IntRange(1, 12).Draw(t, "renewals")) {
			now += time.Duration(delay.Draw(t, "pause"))
			held.Sent(seq+1, node.at(now))
			if rapid.Float64().Draw(t, "lost") < 0.2 {
				continue
			}
			// Messages of a session stay in order.
			received = max(received, now+time.Duration(delay.Draw(t, "way there")))
			// Nodes come and go: how long leases last changes.
			said := Lasts(ttl, rapid.SampledFrom([]int{1, 2 * manyNodes}).Draw(t, "nodes"))
			if end := Until(leader.at(received), said); end.After(until) {
				until = end
			}
			if said == ttl && rapid.Bool().Draw(t, "says nothing") {
				said = 0
			}
			if rapid.Float64().Draw(t, "confirmation lost") < 0.8 {
				words = append(words, word{seq + 1, said, received + time.Duration(delay.Draw(t, "way back"))})
			}
		}
		for _, w := range words {
			held.Confirmed(w.seq, w.ttl)
		}
		if held.From().IsZero() {
			return
		}
		if rapid.Bool().Draw(t, "another session") {
			held.Begin(ttl * time.Duration(rapid.IntRange(1, 3).Draw(t, "of another server")))
		}
		// The earliest real time at which the leader's lease is over.
		over := received
		for leader.at(over).Before(until) {
			over += ttl / 64
		}
		if !held.Over(node.at(over)) {
			t.Fatalf("the leader may take the node down at %s, when the node counts %s of %s", over, held.Silent(node.at(over)), ttl)
		}
	})
}

// TestConfirmed: a confirmation counts from when its renewal was sent, covers
// those before it, and never takes anything back; one of another session is none.
func TestConfirmed(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var h Held
	if !h.Over(at(0)) || h.Silent(at(0)) != Never {
		t.Error("a lease that was never confirmed")
	}
	h.Begin(4 * time.Second)
	h.Sent(1, at(10))
	h.Sent(2, at(11))
	h.Sent(3, at(12))
	if !h.Confirmed(2, 0) || !h.From().Equal(at(11)) || h.Silent(at(20)) != 9*time.Second {
		t.Errorf("from %v", h.From())
	}
	if h.Over(at(14)) || !h.Over(at(15)) {
		t.Error("it lasts 3.5 s on the node")
	}
	if h.Confirmed(1, 0) || h.Confirmed(2, 0) {
		t.Error("an old confirmation extended the lease")
	}
	h.Begin(4 * time.Second)
	if h.Confirmed(3, 0) || !h.From().Equal(at(11)) {
		t.Error("a confirmation without its renewal extended the lease")
	}
	if h = Since(at(5), 0); h.Silent(at(3)) != 0 {
		t.Error("a clock that went back")
	}
	for seq := range uint64(1000) {
		h.Sent(seq, at(int(seq)))
	}
	if len(h.sent) > maxSent {
		t.Error("unconfirmed renewals pile up")
	}
}

// TestGroups: the servers wait longer than the node, by what stopping takes.
func TestGroups(t *testing.T) {
	g := &model.TaskGroup{Tasks: []*model.Task{
		{KillTimeout: 5 * time.Second, Leader: true}, {KillTimeout: 20 * time.Second},
		{KillTimeout: 2 * time.Second, Lifecycle: &model.TaskLifecycle{Sidecar: true}},
	}}
	if StopAfter(g) != 0 || GoneAfter(g) != 0 || StopAfter(nil) != 0 {
		t.Error("a group without a policy is stopped by its node")
	}
	g.StopAfterClientDisconnect = 64 * time.Second
	if s, gone := StopAfter(g), GoneAfter(g); s != 64*time.Second || gone != 64*time.Second+500*time.Millisecond+30*time.Second {
		t.Errorf("the old form: %v, %v", s, gone)
	}
	g.Disconnect = model.NewDisconnectStrategy()
	g.Disconnect.StopOnClientAfter = time.Second
	if s := StopAfter(g); s != TTL-Margin(TTL) {
		t.Errorf("a time below the lease: %v", s)
	}
}

// TestLasts: many nodes have longer leases, and a leader that is new waits for them
// when half of the nodes have gone meanwhile.
func TestLasts(t *testing.T) {
	if Lasts(TTL, manyNodes) != TTL || Lasts(TTL, manyNodes+1) != 2*TTL || Longest(TTL, manyNodes/2+1) != 2*TTL || Longest(TTL, 100) != TTL {
		t.Error("not what many nodes need")
	}
}

// TestInterval: however many sessions there are, two renewals fall within a lease.
func TestInterval(t *testing.T) {
	for _, c := range []struct {
		sessions int
		want     time.Duration
	}{{0, TTL / 3}, {1000, TTL / 3}, {5000, TTL / 2}} {
		if got := Interval(TTL, c.sessions); got != c.want {
			t.Errorf("%d sessions: every %v, want %v", c.sessions, got, c.want)
		}
	}
}
