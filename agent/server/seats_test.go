package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// pilotSettings are short, and bear with a slow machine.
var pilotSettings = model.AutopilotConfiguration{
	CleanupDeadServers: true, LastContactThreshold: 5 * time.Second, MaxTrailingLogs: 250, ServerStabilizationTime: 300 * time.Millisecond,
}

// set replaces autopilot's settings through c.
func (c *cluster) set(change func(*model.AutopilotConfiguration)) error {
	conf := pilotSettings
	if change != nil {
		change(&conf)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := msg.AutopilotSet.Call(ctx, c.call, &msg.AutopilotConfigRequest{Config: conf})
	return err
}

// voters are the ids of the members that vote, as c has them.
func (c *cluster) voters() (ids []string, members int) {
	list, _ := c.host.Servers()
	for _, m := range list {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return ids, len(list)
}

// awaitVoters waits until these vote, of so many members.
func (c *cluster) awaitVoters(what string, members int, want ...*cluster) {
	c.t.Helper()
	var ids []string
	for _, w := range want {
		ids = append(ids, w.id)
	}
	slices.Sort(ids)
	c.until(what, func() bool {
		got, of := c.voters()
		return slices.Equal(got, ids) && of == members
	})
}

// awaitLevel waits until all are at a feature level.
func awaitLevel(want feature.Level, all ...*cluster) {
	for _, c := range all {
		c.t.Helper()
		c.until("feature level", func() bool { return c.store.Snapshot().FeatureLevel() == want })
	}
}

func newest(m *gossip.Meta) { m.Level = int(feature.Newest) }

func TestZoneFailover(t *testing.T) {
	all := startMany(t, 3, server.Config{})
	for i, c := range all {
		c.tell(newest)
		c.tell(func(m *gossip.Meta) { m.Zone = string(rune('a' + i)) })
	}
	lead := leader(all)
	// Clean-up would remove the failed one once it has lost its vote.
	zones := func(a *model.AutopilotConfiguration) { a.EnableRedundancyZones, a.CleanupDeadServers = true, false }
	if err := lead.set(zones); model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), "needs feature level 2") {
		t.Fatalf("zones at the base level: %v", err)
	}
	if err := lead.set(nil); err != nil {
		t.Fatal(err)
	}
	awaitLevel(feature.Newest, all...)
	if err := lead.set(zones); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c *cluster) bool { return c != lead })
	victim := all[i]
	standby := launch(t, lead.region, server.Config{Region: model.DefaultRegion})
	standby.tell(newest)
	standby.tell(func(m *gossip.Meta) { m.Zone = string(rune('a' + i)) })
	lead.awaitVoters("standby", 4, all...)
	health := func() *msg.ServersHealthResponse {
		out, err := msg.AutopilotHealth.Call(context.Background(), lead.call, &msg.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	lead.until("health of four", func() bool { h := health(); return h.Healthy && h.Optimistic == 2 && len(h.Zones) == 3 })
	if got, _ := lead.voters(); slices.Contains(got, standby.id) {
		t.Fatal("the standby votes")
	}
	victim.stop()
	lead.region.fail(victim.id, true)
	rest := slices.DeleteFunc(slices.Clone(all), func(c *cluster) bool { return c == victim })
	lead.awaitVoters("standby in the failed one's place", 4, append(rest, standby)...)

	// It is back: the one that took its place keeps it.
	back := launchIn(t, lead.region, server.Config{ID: victim.id, Region: model.DefaultRegion}, victim.dir)
	back.tell(newest)
	back.tell(func(m *gossip.Meta) { m.Zone = string(rune('a' + i)) })
	lead.until("health of four", func() bool { return health().Healthy })
	lead.awaitVoters("it as a standby", 4, append(rest, standby)...)
}

func TestUpgradeMigration(t *testing.T) {
	old := startMany(t, 3, server.Config{})
	for _, c := range old {
		c.tell(func(m *gossip.Meta) { m.Build = "1.0.0" })
	}
	lead := leader(old)
	if err := lead.set(nil); err != nil {
		t.Fatal(err)
	}
	var next []*cluster
	add := func() {
		id := ident.New()
		lead.region.set(gossip.Member{ID: id}) // not seen as a server yet
		c := launchIn(t, lead.region, server.Config{ID: id, Region: model.DefaultRegion}, t.TempDir())
		c.tell(func(m *gossip.Meta) { m.Build = "1.1.0" })
		next = append(next, c)
	}
	upgrade := func() *msg.UpgradeHealth {
		for _, c := range append(slices.Clone(old), next...) {
			if c.host.Leadership().Self {
				out, err := msg.AutopilotHealth.Call(context.Background(), c.call, &msg.StatusRequest{})
				if err == nil {
					return out.Upgrade
				}
			}
		}
		return nil
	}
	add()
	add()
	lead.until("waiting for a third", func() bool {
		u := upgrade()
		return u != nil && u.Status == "await-new-voters" && len(u.All.TargetNonVoters) == 2
	})
	time.Sleep(10 * pilotSettings.ServerStabilizationTime) // longer than a promotion takes
	lead.awaitVoters("vote of the new ones", 5, old...)
	add()
	next[0].awaitVoters("new servers in the places of the old", 6, next...)
	if leader(next) == nil {
		next[0].until("a new leader", func() bool { return leader(next) != nil })
	}
	next[0].until("the end of it", func() bool { u := upgrade(); return u != nil && u.Status == "await-server-removal" })
}

// TestNonVoter: a server that shall not vote follows, and counts for no quorum; one
// that becomes such a server loses its vote.
func TestNonVoter(t *testing.T) {
	all := startMany(t, 3, server.Config{})
	lead := leader(all)
	if err := lead.set(nil); err != nil {
		t.Fatal(err)
	}
	reader := launchIn(t, lead.region, server.Config{Region: model.DefaultRegion}, t.TempDir())
	reader.tell(func(m *gossip.Meta) { m.NonVoter = true })
	lead.awaitVoters("reader", 4, all...)
	reader.until("the state", func() bool { return reader.store.Snapshot().AutopilotConfig().ModifyIndex > 1 })
	time.Sleep(10 * pilotSettings.ServerStabilizationTime)
	lead.awaitVoters("vote of the reader", 4, all...)
	lead.tell(func(m *gossip.Meta) { m.NonVoter = true })
	rest := slices.DeleteFunc(slices.Clone(all), func(c *cluster) bool { return c == lead })
	rest[0].awaitVoters("hand-over of the leader that shall not vote", 4, rest...)
}

// TestDeadServersAreRemoved: where it lets more of the living fail.
func TestDeadServersAreRemoved(t *testing.T) {
	all := startMany(t, 4, server.Config{})
	lead := leader(all)
	if err := lead.set(nil); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c *cluster) bool { return c != lead })
	all[i].stop()
	lead.region.fail(all[i].id, true)
	lead.awaitVoters("removal", 3, slices.Delete(slices.Clone(all), i, i+1)...)
}

// TestMixedLevels: beside a server that knows no levels the cluster stays as it was,
// whoever asks; when that one is renewed the level is activated, and an older binary
// gets no further on such data, nor into the cluster.
func TestMixedLevels(t *testing.T) {
	r := &region{members: map[string]gossip.Member{}}
	var all []*cluster
	var peers []consensus.Peer
	for i := range 3 {
		cfg := server.Config{Region: model.DefaultRegion}
		if i == 0 {
			cfg.Understands = feature.Base
		}
		c := launch(t, r, cfg)
		if i > 0 {
			c.tell(newest)
		}
		all = append(all, c)
		peers = append(peers, consensus.Peer{ID: c.id, Addr: c.addr, Expect: 3})
	}
	for _, c := range all {
		if _, err := c.host.Bootstrap(peers); err != nil {
			t.Fatal(err)
		}
	}
	all[0].until("a leader", func() bool { return leader(all) != nil })
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if leader(all) == all[0] {
		if err := all[0].host.TransferLeadership(ctx, all[1].id); err != nil {
			t.Fatal(err)
		}
		all[0].until("a new leader", func() bool { return leader(all[1:]) != nil })
	}
	lead := leader(all)
	if err := lead.set(nil); err != nil {
		t.Fatal(err)
	}
	_, err := msg.FeatureActivate.Call(ctx, lead.call, &msg.FeatureActivateRequest{})
	if model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), fmt.Sprintf("understands level 1, not %d", feature.Newest)) {
		t.Errorf("activated beside an old server: %v", err)
	}
	time.Sleep(15 * pilotSettings.ServerStabilizationTime) // longer than an activation takes
	awaitLevel(feature.Base, all...)
	all[0].sameState(all)

	// The old one is renewed.
	all[0].stop()
	all[0] = launchIn(t, r, server.Config{ID: all[0].id, Region: model.DefaultRegion}, all[0].dir)
	all[0].tell(newest)
	awaitLevel(feature.Newest, all...)
	all[0].sameState(all)
	out, err := msg.Features.Call(ctx, lead.call, &msg.StatusRequest{})
	if err != nil || out.Active != int(feature.Newest) || out.Possible != out.Active || len(out.Servers) != 3 || out.ActivatedAt == 0 {
		t.Errorf("%+v %v", out, err)
	}
	for level, want := range map[int]string{
		0: "", int(feature.Newest): "", 1: "never taken back", 99: fmt.Sprintf("understands up to %d", feature.Newest), -3: "not a level",
	} {
		_, err := msg.FeatureActivate.Call(ctx, lead.call, &msg.FeatureActivateRequest{Level: level})
		if want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("level %d: %v, want %q", level, err, want)
		}
	}

	// An older binary that joins is not added.
	old := launch(t, r, server.Config{Region: model.DefaultRegion, Understands: feature.Base})
	time.Sleep(10 * pilotSettings.ServerStabilizationTime)
	if _, members := lead.voters(); members != 3 {
		t.Errorf("%d members, an old binary is among them", members)
	}
	old.stop()

	// Nor does it start on the data.
	if _, err := all[1].host.SaveSnapshot(ctx, io.Discard); err != nil {
		t.Fatal(err)
	}
	all[1].stop()
	_, err = consensus.Open(consensus.Config{
		ID: all[1].id, Addr: all[1].addr, Dir: all[1].dir, Machine: fsm.NewAt(state.New(), feature.Base), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("it is of feature level %d, and this binary understands up to 1: upgrade this server", feature.Newest)) {
		t.Errorf("an older binary starts: %v", err)
	}
}

// sameState waits until all stand at one index, and compares.
func (c *cluster) sameState(all []*cluster) {
	c.t.Helper()
	c.until("the same state", func() bool {
		want := all[0].store.Snapshot()
		for _, o := range all[1:] {
			if snap := o.store.Snapshot(); snap.Index() != want.Index() || snap.Hash() != want.Hash() {
				return false
			}
		}
		return true
	})
}
