// Package operator answers what operators ask of the cluster itself: its
// servers, its settings, its snapshots.
//
// Contract and invariants:
//
//   - Settings are replaced as a whole; with CAS only if nobody was faster.
//   - A snapshot is an archive with checksums; a restore checks all of it before
//     anything is replaced.
//   - Who leads and who the peers are, every server answers from its own view.
//
// Example:
//
//	operator.New(operator.Config{Store: store, Host: host, ...}).Register(server)
package operator

import (
	"context"
	"encoding/hex"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/consensus/pilot"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Config is what Desk needs. All fields are required.
type Config struct {
	// ID is this server's.
	ID    string
	Store *state.Store
	Host  *consensus.Host
	// Members is gossip's view.
	Members func() []gossip.Member
	// Federated are the servers of other regions.
	Federated func() []gossip.Member
	// Reach is the way to an agent of the region, Caller that to this server's own
	// handlers and by them to other regions.
	Reach  func(m gossip.Member) rpc.Caller
	Caller rpc.Caller
	// Health is autopilot's; empty on a server that does not lead.
	Health func() pilot.Health
	Region string
}

// Desk holds the handlers.
type Desk struct {
	cfg Config
	// hashing has a token while the state is being hashed: that reads everything,
	// and one reader at a time is enough.
	hashing chan struct{}
}

// New makes the handlers.
func New(cfg Config) *Desk { return &Desk{cfg: cfg, hashing: make(chan struct{}, 1)} }

// Register adds the handlers to srv.
func (d *Desk) Register(srv *rpc.Server) {
	rpc.Handle(srv, msg.StatusLeader, d.leader)
	rpc.Handle(srv, msg.StatusPeers, d.peers)
	rpc.Handle(srv, msg.StatusRegions, d.regions)
	rpc.Handle(srv, msg.StatusMembers, d.members)
	rpc.Handle(srv, msg.Keyring, d.keyring)
	rpc.Handle(srv, msg.RaftStats, d.raftStats)
	rpc.Handle(srv, msg.StateHash, d.stateHash)
	rpc.Handle(srv, msg.RaftConfiguration, d.raftConfiguration)
	rpc.Handle(srv, msg.RaftRemovePeer, d.raftRemovePeer)
	rpc.Handle(srv, msg.RaftTransfer, d.raftTransfer)
	rpc.Handle(srv, msg.SchedulerSet, d.schedulerSet)
	rpc.Handle(srv, msg.BrakeRelease, d.brakeRelease)
	rpc.Handle(srv, msg.AutopilotSet, d.autopilotSet)
	rpc.Handle(srv, msg.AutopilotHealth, d.autopilotHealth)
	rpc.HandleStream(srv, msg.SnapshotSave, d.snapshotSave)
	rpc.HandleStream(srv, msg.SnapshotRestore, d.snapshotRestore)
}

// meta is the meta data of an answer that comes from no table.
func (d *Desk) meta() msg.QueryMeta {
	lead := d.cfg.Host.Leadership()
	return msg.QueryMeta{Index: max(d.cfg.Store.Snapshot().Index(), 1), KnownLeader: lead.Self || lead.Addr != ""}
}

func (d *Desk) leader(context.Context, *msg.StatusRequest) (*msg.StringResponse, error) {
	return &msg.StringResponse{QueryMeta: d.meta(), Value: d.cfg.Host.Leadership().Addr}, nil
}

func (d *Desk) peers(context.Context, *msg.StatusRequest) (*msg.StringsResponse, error) {
	servers, _ := d.cfg.Host.Servers()
	resp := &msg.StringsResponse{QueryMeta: d.meta(), Values: make([]string, 0, len(servers))}
	for _, s := range servers {
		resp.Values = append(resp.Values, s.Addr)
	}
	return resp, nil
}

func (d *Desk) raftStats(context.Context, *msg.Empty) (*msg.RaftStatsResponse, error) {
	s := d.cfg.Host.Stats()
	return &msg.RaftStatsResponse{
		State: s.State, Term: s.Term, LastIndex: s.LastIndex, LastTerm: s.LastTerm, CommitIndex: s.CommitIndex,
		AppliedIndex: s.AppliedIndex, LastContact: s.LastContact, Snapshot: s.Snapshot, Disk: s.Disk,
	}, nil
}

// stateHash answers for this server's own state, whether it leads or not.
func (d *Desk) stateHash(ctx context.Context, _ *msg.StatusRequest) (*msg.StateHashResponse, error) {
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	snap := d.cfg.Store.Snapshot()
	hash := snap.Hash()
	return &msg.StateHashResponse{ServerID: d.cfg.ID, Index: snap.Index(), Hash: hex.EncodeToString(hash[:])}, nil
}

func (d *Desk) raftConfiguration(context.Context, *msg.StatusRequest) (*msg.RaftConfigurationResponse, error) {
	servers, index := d.cfg.Host.Servers()
	names := d.names()
	resp := &msg.RaftConfigurationResponse{QueryMeta: d.meta(), Index: index}
	for _, s := range servers {
		name := names[s.ID]
		if name == "" {
			name = "(unknown)"
		}
		resp.Servers = append(resp.Servers, &msg.RaftServer{
			ID: s.ID, Node: name, Address: s.Addr, Leader: s.Leader, Voter: s.Voter, RaftProtocol: "3",
		})
	}
	return resp, nil
}

// names are the servers' names as members, "<name>.<region>".
func (d *Desk) names() map[string]string {
	names := make(map[string]string)
	for _, m := range d.cfg.Members() {
		if m.Meta.Server {
			names[m.ID] = m.Meta.Name + "." + m.Meta.Region
		}
	}
	return names
}

// raftRemovePeer removes a server from the raft configuration, by id or address.
func (d *Desk) raftRemovePeer(ctx context.Context, r *msg.RaftPeerRequest) (*msg.WriteMeta, error) {
	id, err := d.peer(r)
	if err != nil {
		return nil, err
	}
	if err := d.cfg.Host.RemoveServer(ctx, id); err != nil {
		return nil, err
	}
	return d.written(), nil
}

// raftTransfer hands leadership to another server.
func (d *Desk) raftTransfer(ctx context.Context, r *msg.RaftPeerRequest) (*msg.WriteMeta, error) {
	id := ""
	if r.ID != "" || r.Address != "" {
		var err error
		if id, err = d.peer(r); err != nil {
			return nil, err
		}
	}
	if err := d.cfg.Host.TransferLeadership(ctx, id); err != nil {
		return nil, err
	}
	return d.written(), nil
}

// peer finds the server that a request names.
func (d *Desk) peer(r *msg.RaftPeerRequest) (string, error) {
	if (r.ID == "") == (r.Address == "") {
		return "", model.Errorf(model.CodeInvalid, "must specify either the id or the address of a peer")
	}
	servers, _ := d.cfg.Host.Servers()
	for _, s := range servers {
		if s.ID == r.ID && r.ID != "" || s.Addr == r.Address && r.Address != "" {
			return s.ID, nil
		}
	}
	return "", model.Errorf(model.CodeNotFound, "id or address %q was not found in the raft configuration", r.ID+r.Address)
}

func (d *Desk) written() *msg.WriteMeta { return &msg.WriteMeta{Index: d.cfg.Store.Snapshot().Index()} }

func (d *Desk) schedulerSet(ctx context.Context, r *msg.SchedulerConfigRequest) (*msg.CASResponse, error) {
	config := r.Config
	if config.SchedulerAlgorithm == "" {
		config.SchedulerAlgorithm = model.AlgorithmBinpack
	}
	if a := config.SchedulerAlgorithm; a != model.AlgorithmBinpack && a != model.AlgorithmSpread {
		return nil, model.Errorf(model.CodeInvalid, "invalid scheduler algorithm: %q; use %q or %q", a,
			model.AlgorithmBinpack, model.AlgorithmSpread)
	}
	if err := checkMassLoss(config.MassLoss); err != nil {
		return nil, err
	}
	return d.set(ctx, r.RequestID, &fsm.SchedulerConfig{Config: &config, CAS: r.CAS, Index: r.Config.ModifyIndex})
}

// set proposes a setting.
func (d *Desk) set(ctx context.Context, requestID string, body fsm.Body) (*msg.CASResponse, error) {
	cmd, err := fsm.NewCommand(body)
	if err != nil {
		return nil, err
	}
	cmd.RequestID = requestID
	outcomes, err := d.cfg.Host.Propose(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if err := outcomes[0].Err; err != nil {
		return nil, err
	}
	resp := &msg.CASResponse{WriteMeta: msg.WriteMeta{Index: outcomes[0].Index}}
	if result, ok := outcomes[0].Value.(*fsm.ConfigResult); ok {
		resp.Updated = result.Updated
	}
	return resp, nil
}
