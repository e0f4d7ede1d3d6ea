package features

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// lone is a leader without a log.
type lone struct {
	*fsm.FSM
	index uint64
}

func (l *lone) Propose(_ context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	l.index++
	return l.Apply(fsm.Entry{Index: l.index, Term: 1, Time: int64(l.index), Commands: cmds}), nil
}
func (l *lone) ReadIndex(context.Context) (uint64, error) { return l.index, nil }
func (l *lone) Leadership() consensus.Leadership          { return consensus.Leadership{Self: true} }

// TestTend: what holds an activation up, one after the other, and that it takes the
// stabilization time without a break.
func TestTend(t *testing.T) {
	l := &lone{FSM: fsm.New(state.New()), index: 10}
	set := func(stabilization time.Duration) {
		t.Helper()
		cmd, err := fsm.NewCommand(&fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{ServerStabilizationTime: stabilization}})
		if err == nil {
			_, err = l.Propose(t.Context(), cmd)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	healthy := true
	servers := []feature.Server{
		{ID: "a", Name: "a", Understands: feature.Newest, Status: "alive", Member: true},
		{ID: "b", Name: "b", Understands: feature.Base, Status: "failed"},
	}
	d := New(Config{
		Understands: feature.Newest, Store: l.Store(), Host: l, Servers: func() []feature.Server { return servers },
		Healthy: func() bool { return healthy }, Logger: slog.New(slog.DiscardHandler),
	})
	look := func(what string, want feature.Level) {
		t.Helper()
		d.Tend(t.Context())
		if got := l.Store().Snapshot().FeatureLevel(); got != want {
			t.Fatalf("%s: level %d, want %d", what, got, want)
		}
	}
	set(0)
	look("a failed old server", feature.Base)
	servers[1].Status = "left"
	servers[0].Holds = true
	look("held by an operator", feature.Base)
	servers[0].Holds, healthy = false, false
	look("not all are well", feature.Base)
	healthy = true
	set(time.Hour)
	look("not for long enough", feature.Base)
	d.since = d.since.Add(-2 * time.Hour)
	d.last = d.last.Add(-time.Hour)
	look("another server led meanwhile", feature.Base)
	d.since = d.since.Add(-2 * time.Hour)
	look("long enough", feature.Newest)
	index := l.index
	look("there is nothing more", feature.Newest)
	if l.index != index {
		t.Error("something was proposed")
	}
	// By hand it is said that there is nothing to do.
	if out, err := d.activate(t.Context(), &msg.FeatureActivateRequest{}); err != nil || out.Level != int(feature.Newest) {
		t.Errorf("%+v %v", out, err)
	}
}
