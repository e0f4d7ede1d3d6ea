package consensus

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/model"
)

// TestTwin: who asks for a vote with the id of a server that gossip knows elsewhere
// gets none; everybody else is let through.
func TestTwin(t *testing.T) {
	tr := &transport{addrOf: func(id string) string { return map[string]string{"a": "10.0.0.1:4647"}[id] }}
	head := func(id, addr string) raft.RPCHeader { return raft.RPCHeader{ID: []byte(id), Addr: []byte(addr)} }
	for _, c := range []struct {
		name    string
		command any
		refused bool
	}{
		{"itself", &raft.RequestVoteRequest{RPCHeader: head("a", "10.0.0.1:4647")}, false},
		{"its twin", &raft.RequestVoteRequest{RPCHeader: head("a", "10.0.0.2:4647")}, true},
		{"its twin, asking first", &raft.RequestPreVoteRequest{RPCHeader: head("a", "10.0.0.2:4647")}, true},
		{"a server that gossip does not know", &raft.RequestVoteRequest{RPCHeader: head("b", "10.0.0.2:4647")}, false},
		{"no word on who asks", &raft.RequestVoteRequest{}, false},
		{"entries", &raft.AppendEntriesRequest{RPCHeader: head("a", "10.0.0.2:4647")}, false},
	} {
		if err := tr.twin(raft.RPC{Command: c.command}); (err != nil) != c.refused || err != nil && model.CodeOf(err) != model.CodeConflict {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	tr.addrOf = nil
	if err := tr.twin(raft.RPC{Command: &raft.RequestVoteRequest{RPCHeader: head("a", "10.0.0.2:4647")}}); err != nil {
		t.Errorf("without gossip: %v", err)
	}
}
