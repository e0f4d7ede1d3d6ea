package pilot

import (
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/steppe-project/steppe/model"
)

// One dead of three keeps its vote, also when autopilot's own view is of a time in
// which there were two: a new leader has one of its earlier term.
func TestDeadVoterOfThreeStays(t *testing.T) {
	three := func() int { return 3 }
	p := &promoter{pilot: &Autopilot{}, voters: three}
	dead := &autopilot.Server{ID: "b", NodeStatus: autopilot.NodeFailed, NodeType: autopilot.NodeVoter}
	for _, seen := range [][]raft.ServerID{nil, {"a"}, {"a", "c"}, {"a", "b", "c"}} {
		got := p.FilterFailedServerRemovals(&autopilot.Config{Ext: &model.AutopilotConfiguration{}}, &autopilot.State{Voters: seen},
			&autopilot.FailedServers{FailedVoters: []*autopilot.Server{dead}})
		if len(got.FailedVoters) > 0 {
			t.Errorf("with %d voters seen the dead one of three is given up", len(seen))
		}
	}
}

func TestDeadVotersWorthRemoving(t *testing.T) {
	for _, tt := range []struct {
		voters, dead int
		want         bool
	}{{1, 0, false}, {3, 0, false}, {3, 1, false}, {3, 2, false}, {5, 3, false}, {4, 1, true}, {5, 1, false}, {5, 2, true}, {6, 1, true}, {7, 2, true}} {
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
