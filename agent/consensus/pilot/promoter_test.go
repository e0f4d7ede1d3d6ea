package pilot

import (
	"slices"
	"testing"
)

func TestDeadVotersWorthRemoving(t *testing.T) {
	for _, tt := range []struct {
		voters, dead int
		want         bool
	}{{1, 0, false}, {3, 0, false}, {3, 1, false}, {4, 1, true}, {5, 1, false}, {5, 2, true}, {6, 1, true}, {7, 2, true}} {
		if got := worthRemoving(tt.voters, tt.dead); got != tt.want {
			t.Errorf("%d voters, %d dead: %v", tt.voters, tt.dead, got)
		}
	}
}

// Of a zone that is lost one server stays a member, whatever clean-up would do.
func TestLostZonesAreRemembered(t *testing.T) {
	servers := []KnownServer{
		{ID: "a1", Zone: "a", Status: "failed"}, {ID: "a2", Zone: "a", Status: "alive"},
		{ID: "b2", Zone: "b", Status: "failed"}, {ID: "b1", Zone: "b", Status: "failed"},
		{ID: "c1", Zone: "c", Status: "left"}, {ID: "d1", Zone: "d", Status: "failed"},
		{ID: "x", Status: "failed"}, {ID: "e1", Zone: "e", Status: "failed", NonVoter: true},
	}
	got := lastOfZones(servers, func(id string) bool { return id != "d1" })
	if !slices.Equal(got, []string{"b1"}) {
		t.Errorf("kept %v", got)
	}
}
