package report

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

func update(id, status string) *model.AllocUpdate {
	return &model.AllocUpdate{ID: id, ClientStatus: status}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, ctx, begin := New(), t.Context(), time.Now()
		q.Put(update("a", "running"), true)
		seq, got, err := q.Next(ctx)
		if err != nil || len(got) != 1 || time.Since(begin) != 0 {
			t.Fatalf("first change not at once: %v %v %v", got, err, time.Since(begin))
		}
		q.Put(update("b", "running"), true)
		q.Put(update("c", "running"), true)
		q.Put(update("c", "complete"), true)
		_, got, _ = q.Next(ctx)
		if len(got) != 2 || got[1].ClientStatus != "complete" || time.Since(begin) != Gather {
			t.Fatalf("not gathered: %v after %v", got, time.Since(begin))
		}
		if known := q.Acked(seq); len(known) != 1 || known[0].ID != "a" {
			t.Fatalf("acked %v", known)
		}
		q.Put(update("d", "running"), false)
		begin = time.Now()
		if _, got, _ = q.Next(ctx); len(got) != 1 || time.Since(begin) != Linger {
			t.Fatalf("history not lingering: %v after %v", got, time.Since(begin))
		}
		q.Reset()
		if _, got, _ = q.Next(ctx); len(got) != 3 {
			t.Fatalf("after reset: %v", got)
		}
	})
}

func TestInFlightBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New()
		for range maxInFlight {
			q.Put(update("a", "running"), true)
			if _, got, err := q.Next(t.Context()); err != nil || len(got) != 1 {
				t.Fatal(got, err)
			}
		}
		q.Put(update("a", "complete"), true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, _, err := q.Next(ctx); err == nil {
			t.Fatal("too many reports in flight")
		}
		q.Acked(q.seq - maxInFlight + 1)
		if _, got, err := q.Next(t.Context()); err != nil || got[0].ClientStatus != "complete" {
			t.Fatal(got, err)
		}
	})
}

// TestOrder: what is handed out later is newer, again and again, in a new run of the
// agent, and whatever the servers know already.
func TestOrder(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return at }
	var last uint64
	newer := func(q *Queue, what string) {
		t.Helper()
		seq, updates := q.take()
		if len(updates) != 1 || updates[0].Order != seq || seq <= last {
			t.Errorf("%s: %d after %d, %v", what, seq, last, updates)
		}
		last = seq
	}
	q := NewAt(clock)
	put := update("a", "running")
	for _, what := range []string{"first", "second"} {
		q.Put(put, true)
		newer(q, what)
	}
	q.Reset()
	newer(q, "in another session")
	if put.Order != 0 {
		t.Error("what was put is changed")
	}
	at = at.Add(time.Second)
	q = NewAt(clock)
	q.Put(put, true)
	newer(q, "of another run")
	at = at.Add(-time.Hour)
	q = NewAt(clock)
	q.Beyond(last)
	q.Beyond(1)
	q.Put(put, true)
	newer(q, "with the clock set back")
}

// TestNothingLost: whatever is put, sent, lost and acknowledged, in the end the
// servers know the newest status of every allocation.
func TestNothingLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := New()
		newest, server := map[string]string{}, map[string]string{}
		flight := map[uint64][]*model.AllocUpdate{}
		var sent []uint64
		confirm := func(seq uint64) {
			for _, u := range flight[seq] {
				server[u.ID] = u.ClientStatus
			}
			q.Acked(seq)
			delete(flight, seq)
		}
		for i, op := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 60).Draw(rt, "ops") {
			switch {
			case op < 5:
				id, status := string(rune('a'+op)), string(rune('A'+i))
				newest[id] = status
				q.Put(update(id, status), op%2 == 0)
			case op < 7 && len(q.inFlight) < maxInFlight:
				if seq, updates := q.take(); len(updates) > 0 {
					flight[seq], sent = updates, append(sent, seq)
				}
			case op == 7 && len(sent) > 0: // confirmations come in order
				confirm(sent[0])
				sent = sent[1:]
			case op == 8:
				q.Reset()
				sent, flight = nil, map[uint64][]*model.AllocUpdate{}
			}
		}
		q.Reset()
		seq, updates := q.take()
		flight[seq] = updates
		confirm(seq)
		for id, want := range newest {
			if server[id] != want {
				rt.Fatalf("%s: servers know %q, newest is %q", id, server[id], want)
			}
		}
		if q.Unconfirmed() != 0 {
			rt.Fatalf("%d unconfirmed", q.Unconfirmed())
		}
	})
}
