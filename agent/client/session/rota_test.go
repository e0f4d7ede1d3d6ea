package session

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model/lease"
)

// TestRota: whatever ends when, a server that is back is tried within a lease, as long
// as an attempt takes no time: when only one of many returns after an hour, its nodes
// come before they are missed.
func TestRota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "servers")]
		var r Rota
		now := time.Unix(1_700_000_000, 0)
		last := map[string]time.Time{}
		for _, addr := range all {
			last[addr] = now
		}
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			alive := slices.DeleteFunc(slices.Clone(all), func(string) bool { return rapid.Bool().Draw(t, "failed") })
			addr := r.Next(now, alive, all, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
			if addr == "" {
				t.Fatal("no server is named, though there are some")
			}
			last[addr] = now
			wait := r.Ended(now, addr, rapid.IntRange(0, 9).Draw(t, "stood") == 0, all)
			now = now.Add(wait + wait/2)
			for addr, at := range last {
				if silent := now.Sub(at); silent >= 2*lease.TTL {
					t.Fatalf("%s was not tried for %v", addr, silent)
				}
			}
		}
	})
}

// TestRotaOrder: gossip's word and bad experience count, and nobody is left out.
func TestRotaOrder(t *testing.T) {
	var r Rota
	now := time.Unix(1_700_000_000, 0)
	all, first := []string{"a", "b", "c"}, func(int) int { return 0 }
	if got := r.Next(now, nil, nil, first); got != "" {
		t.Errorf("%q without servers", got)
	}
	var got []string
	var waits []time.Duration
	for range 6 {
		addr := r.Next(now, []string{"c"}, all, first)
		got = append(got, addr)
		waits = append(waits, r.Ended(now, addr, false, all))
		now = now.Add(time.Second)
	}
	if want := []string{"c", "a", "b", "c", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("tried %v, want %v", got, want)
	}
	if waits[0] != PauseMin || waits[2] != PauseMin || waits[5] != 2*PauseMin {
		t.Errorf("waits %v: they grow from round to round", waits)
	}
	r = Rota{}
	r.Ended(now, "a", true, all)
	r.Ended(now, "b", true, all) // a was left a moment before
	if got := r.Next(now, all, all, first); got != "c" {
		t.Errorf("%s, want the one that was not left lately", got)
	}
}
