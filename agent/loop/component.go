package loop

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
)

// Component is a control loop as a pure state machine: no goroutine, clock,
// dice or socket inside. The Runner, or the simulator, calls its methods one at
// a time, in this order: Reset, then any number of Observe and Step.
type Component interface {
	// Name is for logs and metrics: short, lower case.
	Name() string
	// Reads names the tables whose changes the component wants. Constant.
	Reads() []state.Table
	// Reset forgets everything and starts from snap. It is called when
	// leadership begins, and again when the feed lost its place.
	Reset(snap *state.Snapshot)
	// Observe takes committed changes in commit order, without gaps since Reset.
	Observe(changes []state.Change)
	// Step decides. snap is at least as new as all that was observed, and
	// everything the component proposed before has been observed when it was
	// applied. cmds are proposed as one call; the component must not count on
	// their success, but derive them again from what it observes. wake is when
	// to step again though nothing changed; zero means never.
	Step(now time.Time, snap *state.Snapshot) (cmds []fsm.Command, wake time.Time)
}

// Refused is implemented by components that want to know which of their
// commands were refused by the state machine, to not derive them again at once.
type Refused interface {
	// Refused is called after a proposal of which at least one outcome has an
	// error, before the next Observe. cmds and outcomes correspond.
	Refused(now time.Time, cmds []fsm.Command, outcomes []fsm.Outcome)
}

// Source is where snapshots and changes come from; *state.Store is one.
type Source interface {
	// Snapshot returns the newest state.
	Snapshot() *state.Snapshot
	// Subscribe returns a snapshot and the feed of all changes to the tables
	// after it.
	Subscribe(tables ...state.Table) (*state.Snapshot, *state.Subscription)
}

// Proposer is the part of consensus.Proposer the Runner needs.
type Proposer interface {
	Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error)
}

// Clock tells the time that components see.
type Clock interface{ Now() time.Time }
