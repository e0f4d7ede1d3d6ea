package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/agent/consensus/space"
	"github.com/steppe-project/steppe/model"
)

// Bootstrapped reports whether this server has a configuration: it belongs to a
// cluster. Gossip tells it to the others.
func (h *Host) Bootstrapped() bool {
	return len(h.raft.GetConfiguration().Configuration().Servers) > 0
}

// Bootstrap founds the cluster when it is this server's turn. peers are all
// servers that gossip knows, this one included; call it whenever they change.
//
//   - A server that belongs to a cluster, or sees one that does, founds nothing:
//     the leader will add it.
//   - Servers that expect different numbers found nothing (CodeConflict).
//   - When as many are seen as expected, the one with the lowest id founds the
//     cluster of the lowest so many ids; the others get the configuration from
//     it. One founder means that differing views cannot found two clusters.
//
// founded is true when this call founded the cluster.
func (h *Host) Bootstrap(peers []Peer) (founded bool, err error) {
	if h.Bootstrapped() {
		return false, nil
	}
	founders, err := chooseFounders(h.cfg.ID, peers)
	if err != nil || len(founders) == 0 || founders[0].ID != h.cfg.ID {
		return false, err
	}
	conf := raft.Configuration{}
	for _, p := range founders {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Addr), Suffrage: raft.Voter})
	}
	err = h.bootstrap(conf)
	if errors.Is(err, raft.ErrCantBootstrap) {
		return false, nil // it got a configuration meanwhile
	}
	if err != nil {
		return false, model.Errorf(model.CodeUnavailable, "found the cluster: %w", err)
	}
	h.cfg.Logger.Info("founded the cluster", "servers", len(founders))
	// Nobody else can lead before this server does: no need to wait for a
	// timeout.
	h.transport.callElection(h.cfg.ID, h.cfg.Addr)
	return true, nil
}

// bootstrap founds the cluster. It gives up when this server cannot go on, or its
// disk is full: raft's future then does not come.
func (h *Host) bootstrap(conf raft.Configuration) error {
	done := make(chan error, 1)
	f := h.raft.BootstrapCluster(conf)
	go func() { done <- f.Error() }() // when it never comes, the process is ending
	timer := time.NewTimer(membershipTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-h.dead:
		return errShutdown
	case <-timer.C:
		if why := h.store.trouble.Why(); why != nil {
			return *why
		}
		return fmt.Errorf("no answer for %s", membershipTimeout)
	}
}

// chooseFounders returns the servers of the cluster to found, lowest id first,
// or none while it cannot be founded.
func chooseFounders(self string, peers []Peer) ([]Peer, error) {
	var candidates []Peer
	expect := 0
	for _, p := range peers {
		if p.ID == self {
			expect = p.Expect
		}
	}
	if expect == 0 {
		return nil, nil
	}
	for _, p := range peers {
		switch {
		case p.Bootstrapped:
			return nil, nil
		case p.NonVoter || p.Expect == 0:
			continue
		case p.Expect != expect:
			return nil, disagreement(peers)
		}
		candidates = append(candidates, p)
	}
	if len(candidates) < expect {
		return nil, nil
	}
	slices.SortFunc(candidates, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return candidates[:expect], nil
}

func disagreement(peers []Peer) error {
	var said []string
	for _, p := range peers {
		if p.Expect != 0 {
			said = append(said, fmt.Sprintf("%s expects %d", p.Addr, p.Expect))
		}
	}
	slices.Sort(said)
	return model.Errorf(model.CodeConflict,
		"the servers disagree on bootstrap_expect (%s): no cluster is founded until all say the same", strings.Join(said, ", "))
}

// Servers lists the raft configuration, by id, and its index.
func (h *Host) Servers() ([]Server, uint64) {
	f := h.raft.GetConfiguration()
	_, leader := h.raft.LeaderWithID()
	var out []Server
	for _, s := range f.Configuration().Servers {
		out = append(out, Server{ID: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter, Leader: s.ID == leader})
	}
	slices.SortFunc(out, func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	return out, f.Index()
}

// AddServer makes a server a member, or changes its address or vote. A former
// member at the same address is removed: it came back with an empty data
// directory. Only the leader can (CodeNotLeader).
func (h *Host) AddServer(ctx context.Context, id, addr string, voter bool) error {
	for _, s := range h.raft.GetConfiguration().Configuration().Servers {
		switch {
		case string(s.ID) == id && string(s.Address) == addr && (s.Suffrage == raft.Voter) == voter:
			return nil
		case string(s.ID) != id && string(s.Address) == addr:
			if err := h.RemoveServer(ctx, string(s.ID)); err != nil {
				return err
			}
		}
	}
	var f raft.IndexFuture
	if voter {
		f = h.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, timeoutOf(ctx))
	} else {
		f = h.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, timeoutOf(ctx))
	}
	return explainChange("add server "+id, h.await(f))
}

// RemoveServer removes a member; one that is none is CodeNotFound. Only the
// leader can (CodeNotLeader).
func (h *Host) RemoveServer(ctx context.Context, id string) error {
	servers, _ := h.Servers()
	if !slices.ContainsFunc(servers, func(s Server) bool { return s.ID == id }) {
		return model.Errorf(model.CodeNotFound, "no server with id %q in the raft configuration", id)
	}
	return explainChange("remove server "+id, h.await(h.raft.RemoveServer(raft.ServerID(id), 0, timeoutOf(ctx))))
}

// TransferLeadership gives the leadership to the voter id, or to the most
// current one when id is "". It returns when this server no longer leads.
func (h *Host) TransferLeadership(ctx context.Context, id string) error {
	if h.raft.State() != raft.Leader {
		return errNotLeader
	}
	var f raft.Future
	h.lease.forbid(h.raft.CurrentTerm())
	if id == "" {
		f = h.raft.LeadershipTransfer()
	} else {
		servers, _ := h.Servers()
		i := slices.IndexFunc(servers, func(s Server) bool { return s.ID == id && s.Voter })
		if i < 0 {
			return model.Errorf(model.CodeNotFound, "no voting server with id %q in the raft configuration", id)
		}
		f = h.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(servers[i].Addr))
	}
	if err := h.await(f); err != nil {
		return explainChange("transfer leadership", err)
	}
	for {
		now := h.Leadership()
		if !now.Self {
			return nil
		}
		select {
		case <-now.Changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Leave prepares this server's graceful end: a leader with other voters hands
// over, so that the cluster is without a leader for a moment only, and the new
// leader removes this server when gossip says that it left. It is not an error
// when there is nobody to hand over to.
func (h *Host) Leave(ctx context.Context) error {
	if h.raft.State() != raft.Leader || len(h.voters()) < 2 {
		return nil
	}
	err := h.TransferLeadership(ctx, "")
	if model.CodeOf(err) == model.CodeNotLeader {
		return nil
	}
	return err
}

// Steering is raft as autopilot changes its servers. Its transfers of leadership
// void the lease.
type Steering struct {
	*raft.Raft
	host *Host
	// Log is where the raft libraries' words go.
	Log hclog.Logger
}

// Steering returns it.
func (h *Host) Steering() Steering { return Steering{h.raft, h, h.logger} }

// LeadershipTransferToServer hands over to a voter.
func (s Steering) LeadershipTransferToServer(id raft.ServerID, addr raft.ServerAddress) raft.Future {
	s.host.lease.forbid(s.CurrentTerm())
	return s.Raft.LeadershipTransferToServer(id, addr)
}

// Stats is a server's place in the log.
type Stats struct {
	// State is "Leader", "Follower", "Candidate" or "Shutdown".
	State string
	Term  uint64
	// LastIndex and LastTerm are of the last entry in the log, CommitIndex of
	// the last known committed one, AppliedIndex of the last command applied.
	LastIndex    uint64
	LastTerm     uint64
	CommitIndex  uint64
	AppliedIndex uint64
	// LastContact is the time since the leader was heard; zero on the leader,
	// negative when never.
	LastContact time.Duration
	// Snapshot is the index of the last snapshot.
	Snapshot uint64
	// Disk says what ails its disk, "" when nothing does.
	Disk string
}

// Stats returns this server's place in the log.
func (h *Host) Stats() Stats {
	raw := h.raft.Stats()
	s := Stats{
		State: raw["state"], Term: h.raft.CurrentTerm(), LastIndex: h.raft.LastIndex(), LastTerm: parseUint(raw["last_log_term"]),
		CommitIndex: h.raft.CommitIndex(), AppliedIndex: h.adapter.applied.Load(), Snapshot: parseUint(raw["last_snapshot_index"]),
	}
	if st := h.Space(); st.Level != space.Ample {
		s.Disk = st.Text()
	}
	if s.State != raft.Leader.String() {
		s.LastContact = -1
		if last := h.raft.LastContact(); !last.IsZero() {
			s.LastContact = time.Since(last)
		}
	}
	return s
}

// RaftStats returns raft's own figures, for people.
func (h *Host) RaftStats() map[string]string { return h.raft.Stats() }

// timeoutOf is how long a change of the server set may wait to begin.
func timeoutOf(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(time.Until(d), time.Millisecond)
	}
	return membershipTimeout
}

func parseUint(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0 // raft has no such entry yet
	}
	return n
}
