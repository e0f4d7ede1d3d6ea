// Package operator holds the verbs for those who run the cluster.
package operator

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// RaftList is "operator raft list-peers".
var RaftList = &base.Command{
	Name: "operator raft list-peers", Synopsis: "List the servers of the raft configuration",
	Long:    "These are the servers that replicate the state, whether they can be reached or not.",
	Example: "steppe operator raft list-peers",
	New:     func() base.Runner { return &raftList{} },
}

type raftList struct {
	base.DataOptions
	stale bool
}

func (r *raftList) Flags(fs *flag.FlagSet) {
	r.DataFlags(fs)
	fs.BoolVar(&r.stale, "stale", false, "Any server may answer, also without a leader.")
}

func (r *raftList) Run(ctx context.Context, o *base.IO, _ []string) error {
	servers, err := o.Client.Cluster().RaftConfiguration(ctx, &api.Query{Stale: r.stale})
	if err != nil {
		return err
	}
	if done, err := o.Data(r.DataOptions, servers); done {
		return err
	}
	var rows [][]string
	for _, s := range servers {
		state := "follower"
		if s.Leader {
			state = "leader"
		}
		rows = append(rows, []string{s.Node, s.ID, s.Address, state, base.YesNo(s.Voter), s.RaftProtocol})
	}
	o.Table([]string{"Node", "ID", "Address", "State", "Voter", "RaftProtocol"}, rows)
	return nil
}

// peer names a raft server.
type peer struct{ id, address string }

func (p *peer) Flags(fs *flag.FlagSet) {
	fs.StringVar(&p.id, "peer-id", "", "The server's `id`.")
	fs.StringVar(&p.address, "peer-address", "", "The server's RPC `address`.")
}

// RaftRemove is "operator raft remove-peer".
var RaftRemove = &base.Command{
	Name: "operator raft remove-peer", Synopsis: "Remove a server that will not come back from the raft configuration",
	Long:    "Takes -peer-id or -peer-address, as list-peers prints them. Autopilot does this by itself unless it is told not to.",
	Example: "steppe operator raft remove-peer -peer-address 10.0.0.3:4647",
	New:     func() base.Runner { return &raftRemove{} },
}

type raftRemove struct{ peer }

func (r *raftRemove) Run(ctx context.Context, o *base.IO, _ []string) error {
	if (r.id == "") == (r.address == "") {
		return model.Errorf(model.CodeInvalid, "give either -peer-id or -peer-address")
	}
	if err := o.Client.Cluster().RemovePeer(ctx, r.id, r.address); err != nil {
		return err
	}
	o.Say("Removed raft server %s%s", base.Clean(r.id), base.Clean(r.address))
	return nil
}

// RaftTransfer is "operator raft transfer-leadership".
var RaftTransfer = &base.Command{
	Name: "operator raft transfer-leadership", Synopsis: "Hand leadership to another server",
	Long:    "Takes -peer-id or -peer-address, as list-peers prints them; without either, the best suited server takes over.",
	Example: "steppe operator raft transfer-leadership -peer-address 10.0.0.2:4647",
	New:     func() base.Runner { return &raftTransfer{} },
}

type raftTransfer struct{ peer }

func (r *raftTransfer) Run(ctx context.Context, o *base.IO, _ []string) error {
	if r.id != "" && r.address != "" {
		return model.Errorf(model.CodeInvalid, "give either -peer-id or -peer-address")
	}
	if err := o.Client.Cluster().TransferLeadership(ctx, r.id, r.address); err != nil {
		return err
	}
	o.Say("Leadership was handed over")
	return nil
}
