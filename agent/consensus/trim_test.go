package consensus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/fsm"
)

func TestTrim(t *testing.T) {
	for _, tt := range []struct {
		from, to, first uint64 // of the message's entries; of the log
		prev, left      uint64
	}{
		{5, 9, 0, 4, 5},  // an empty log
		{5, 9, 1, 4, 5},  // a log without a snapshot
		{5, 9, 5, 4, 5},  // just above the snapshot
		{5, 9, 7, 0, 3},  // a part is covered
		{5, 9, 10, 0, 0}, // all is
		{5, 9, 99, 0, 0},
		{5, 4, 7, 4, 0}, // a heartbeat
	} {
		req := &raft.AppendEntriesRequest{PrevLogEntry: tt.from - 1, PrevLogTerm: 1, LeaderCommitIndex: 3}
		for i := tt.from; i <= tt.to; i++ {
			req.Entries = append(req.Entries, &raft.Log{Index: i, Term: 1})
		}
		whole := len(req.Entries)
		got := trim(raft.RPC{Command: req}, tt.first).Command.(*raft.AppendEntriesRequest)
		if got.PrevLogEntry != tt.prev || uint64(len(got.Entries)) != tt.left || got.LeaderCommitIndex != 3 {
			t.Errorf("%+v: previous %d, %d entries", tt, got.PrevLogEntry, len(got.Entries))
		}
		if len(req.Entries) != whole {
			t.Error("the message itself was changed")
		}
	}
}

// TestBackedOffLeader: a follower whose log begins with a snapshot accepts what a
// leader sends that went back below it; with one entry left of it, and with none.
func TestBackedOffLeader(t *testing.T) {
	for _, left := range []uint64{1, 0} {
		t.Run(fmt.Sprint("left=", left), func(t *testing.T) { backedOff(t, left) })
	}
}

func backedOff(t *testing.T, left uint64) {
	members := startCluster(t, 3)
	leader := waitLeader(t, members...)
	for i := range 9 {
		if _, err := leader.Propose(context.Background(), fsm.Command{Kind: 1, Body: []byte(fmt.Sprint("entry ", i))}); err != nil {
			t.Fatal(err)
		}
	}
	follower := members[0]
	if follower == leader {
		follower = members[1]
	}
	waitFor(t, "the follower is current", func() bool { return len(follower.all()) == 9 })
	last := follower.raft.LastIndex()
	if err := errors.Join(follower.raft.Snapshot().Error(), follower.store.logs.DeleteRange(1, last-left)); err != nil {
		t.Fatal(err)
	}
	if begins, err := follower.store.begins(); begins != last+1-left || err != nil {
		t.Fatalf("the log begins at %d of %d, %v", begins, last, err)
	}
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader.id), Addr: []byte(leader.addr)},
		Term:      leader.raft.CurrentTerm(),
	}
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		if err := leader.store.logs.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		req.Entries = append(req.Entries, &l)
	}
	var resp raft.AppendEntriesResponse
	if err := leader.transport.wire.AppendEntries(raft.ServerID(follower.id), raft.ServerAddress(follower.addr), req, &resp); err != nil {
		t.Fatal(err)
	}
	if !resp.Success || resp.LastLog < last {
		t.Errorf("the answer is %+v", resp)
	}
}
