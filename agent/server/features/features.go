// Package features brings the cluster to the feature level that all its servers
// understand, and tells how far that is.
//
// Contract and invariants:
//
//   - A level is activated only when every server of the raft configuration, and
//     every other that gossip takes for living or failed, understands it.
//   - By itself the leader activates one when that has been so, and all servers were
//     healthy, for the stabilization time of autopilot; not while a living server's
//     operator wants it done by hand.
//   - Levels are never taken back.
//
// Example:
//
//	desk := features.New(features.Config{Understands: feature.Newest, Store: store, Host: host, ...})
//	desk.Register(server)
//	pilot.Config{Tend: desk.Tend}
package features

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// proposeTimeout bounds an activation: it is tried again.
const proposeTimeout = 5 * time.Second

// maxGap is between two looks; after a longer one this server did not lead
// meanwhile, and what was so before does not count.
const maxGap = 15 * time.Second

// Config is what Desk needs. All fields are required.
type Config struct {
	// Understands is the newest level of this binary.
	Understands feature.Level
	Store       *state.Store
	Host        consensus.Proposer
	// Servers are those that gossip or raft know, this one included.
	Servers func() []feature.Server
	// Healthy is autopilot's word on all members.
	Healthy func() bool
	Logger  *slog.Logger
}

// Desk holds the handlers. Tend is called by one goroutine at a time.
type Desk struct {
	cfg   Config
	wants feature.Level // what could be activated, since when without a break
	since time.Time
	last  time.Time // look
	said  string    // why it is not, as the log has it
}

// New makes the handlers.
func New(cfg Config) *Desk { return &Desk{cfg: cfg} }

// Register adds the handlers to srv.
func (d *Desk) Register(srv *rpc.Server) {
	rpc.Handle(srv, msg.Features, d.features)
	rpc.Handle(srv, msg.FeatureActivate, d.activate)
}

// Tend activates what it is time for; the leader calls it every few seconds.
func (d *Desk) Tend(ctx context.Context) {
	snap := d.cfg.Store.Snapshot()
	now, servers := snap.FeatureLevel(), d.cfg.Servers()
	level, lacking := feature.Common(now, d.cfg.Understands, servers)
	if len(lacking) > 0 {
		d.say("a newer feature level waits for other servers", "reason", strings.Join(lacking, ", "))
	}
	held := feature.Held(servers)
	if level > now && len(held) > 0 {
		d.say("a feature level can be activated by hand: steppe operator feature activate", "level", int(level), "held_by", strings.Join(held, ", "))
	}
	gap := time.Since(d.last)
	d.last = time.Now()
	if level <= now || len(held) > 0 || !d.cfg.Healthy() {
		d.wants = 0
		return
	}
	if d.wants != level || gap > maxGap {
		d.wants, d.since = level, time.Now()
	}
	if time.Since(d.since) < snap.AutopilotConfig().ServerStabilizationTime {
		return
	}
	if _, err := d.propose(ctx, level); err != nil && ctx.Err() == nil {
		d.cfg.Logger.Warn("a feature level was not activated", "level", int(level), "error", err)
	}
}

// say logs what holds an activation up, once.
func (d *Desk) say(what string, args ...any) {
	if text := fmt.Sprint(append([]any{what}, args...)...); text != d.said {
		d.said = text
		d.cfg.Logger.Info(what, args...)
	}
}

func (d *Desk) propose(ctx context.Context, level feature.Level) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	cmd, err := fsm.NewCommand(&fsm.FeatureLevel{Level: level})
	if err != nil {
		return 0, err
	}
	out, err := d.cfg.Host.Propose(ctx, cmd)
	if err == nil {
		err = out[0].Err
	}
	if err != nil {
		return 0, err
	}
	d.cfg.Logger.Info("activated a feature level: older binaries can no longer be put back", "level", int(level))
	return out[0].Index, nil
}

// activate activates a level by hand.
func (d *Desk) activate(ctx context.Context, r *msg.FeatureActivateRequest) (*msg.FeatureActivateResponse, error) {
	now, servers := d.cfg.Store.Snapshot().FeatureLevel(), d.cfg.Servers()
	level := feature.Level(r.Level)
	switch {
	case level < 0:
		return nil, model.Errorf(model.CodeInvalid, "feature level %d is not a level; see steppe operator feature list", level)
	case level == 0 && now >= d.cfg.Understands:
		return &msg.FeatureActivateResponse{WriteMeta: msg.WriteMeta{Index: d.cfg.Store.Snapshot().Index()}, Level: int(now)}, nil
	case level == 0:
		if level, _ = feature.Common(now, d.cfg.Understands, servers); level <= now {
			level = d.cfg.Understands // the reason follows
		}
	case level == now:
		return &msg.FeatureActivateResponse{WriteMeta: msg.WriteMeta{Index: d.cfg.Store.Snapshot().Index()}, Level: int(now)}, nil
	}
	if err := feature.Check(level, now, d.cfg.Understands, servers); err != nil {
		return nil, model.Errorf(model.CodeConflict, "%w", err)
	}
	index, err := d.propose(ctx, level)
	if err != nil {
		return nil, err
	}
	return &msg.FeatureActivateResponse{WriteMeta: msg.WriteMeta{Index: index}, Level: int(level)}, nil
}

// features tells how this server sees it.
func (d *Desk) features(context.Context, *msg.StatusRequest) (*msg.FeaturesResponse, error) {
	snap, servers, lead := d.cfg.Store.Snapshot(), d.cfg.Servers(), d.cfg.Host.Leadership()
	out := &msg.FeaturesResponse{
		QueryMeta: msg.QueryMeta{Index: max(snap.Index(), 1), KnownLeader: lead.Self || lead.Addr != ""},
		Active:    int(snap.FeatureLevel()), Understands: int(d.cfg.Understands), Held: feature.Held(servers),
	}
	if active := snap.Feature(); active != nil {
		out.ActivatedAt = active.ActivatedAt
	}
	possible, lacking := feature.Common(snap.FeatureLevel(), d.cfg.Understands, servers)
	out.Possible, out.Lacking = int(possible), lacking
	for _, s := range servers {
		out.Servers = append(out.Servers, &msg.FeatureServer{
			ID: s.ID, Name: s.Name, Understands: int(s.Understands), Status: s.Status, Member: s.Member, Holds: s.Holds,
		})
	}
	return out, nil
}
