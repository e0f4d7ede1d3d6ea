// Package forecast answers what would happen: it has production's admission,
// scheduler and state machine act on a fork of the live state.
//
//	live state ──Fork──► World ──Propose──► fsm        nothing is written to the log
//	                       └───Decide────► scheduler
//
// Contract and invariants:
//
//   - Nothing that happens in a World is seen outside of it.
//   - There is no second implementation: what is predicted comes from the code that
//     would do it, on the state as it is.
//   - A World belongs to one goroutine. Its clock stands unless it is set.
//
// Example:
//
//	w, err := forecast.NewSource(store).World(ctx, now)
//	defer w.Close()
//	out, err := admit.New(admit.Config{Store: w.Store, Proposer: w, ...}).JobRegister(ctx, request)
//	plan, err := w.Decide(ctx, out.EvalID)
package forecast

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched"
)

// World is a fork of the state with all that acts on it. It implements the
// Proposer that writes need.
type World struct {
	// Store is the fork.
	Store *state.Store

	now     time.Time
	machine *fsm.FSM
	view    *fleet.View
	leave   func()
}

// newWorld forks a store as a basis shows it. The clock stands at now.
func newWorld(store *state.Store, basis *fleet.Basis, now time.Time) *World {
	fork := store.Fork(basis.Snapshot)
	return &World{Store: fork, now: now, machine: fsm.NewAt(fork, fork.Understands()), view: fleet.NewOn(fork, basis)}
}

// Close ends the world.
func (w *World) Close() {
	w.view.Close()
	w.leave()
}

// Now is the world's time.
func (w *World) Now() time.Time { return w.now }

// Set sets the world's clock; it does not go back.
func (w *World) Set(now time.Time) {
	if now.After(w.now) {
		w.now = now
	}
}

// Basis is what decisions in this world are made on.
func (w *World) Basis(ctx context.Context) (*fleet.Basis, error) { return w.view.At(ctx, 0) }

// ReadIndex is the index of the newest entry: nobody else writes.
func (w *World) ReadIndex(context.Context) (uint64, error) { return w.Store.Snapshot().Index(), nil }

// Propose applies the commands as one entry.
func (w *World) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.machine.Apply(fsm.Entry{
		Index: w.Store.Snapshot().Index() + 1, Term: 1, Time: w.now.UnixNano(), Commands: cmds,
	}), nil
}

// Decide has the scheduler decide on an evaluation, with what it does to each group
// counted. The plan is not applied.
func (w *World) Decide(ctx context.Context, evalID string) (*model.Plan, error) {
	basis, err := w.view.At(ctx, 0)
	if err != nil {
		return nil, err
	}
	eval := basis.Eval(evalID)
	if eval == nil {
		return nil, model.Errorf(model.CodeInternal, "evaluation %s is not there", evalID)
	}
	annotated := *eval
	annotated.AnnotatePlan = true
	return sched.Process(basis, &annotated, basis.Env(eval, w.now)).Plan, nil
}
