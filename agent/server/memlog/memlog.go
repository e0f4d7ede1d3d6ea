// Package memlog is a log of one server in memory: a Proposer that applies at
// once. It is for tests of what proposes.
//
// Contract: commands are applied in the order of the calls, one entry a call;
// Fail makes the next calls fail without applying anything.
//
// Example:
//
//	log := memlog.New()
//	log.Must(&fsm.RegisterNode{Node: node})
//	job := log.Store.Snapshot().Job("default", "web")
package memlog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
)

// Log is the log with its state machine.
type Log struct {
	// Store is what the entries make.
	Store *state.Store
	// Now stamps entries.
	Now func() time.Time

	mu      sync.Mutex
	machine *fsm.FSM
	index   uint64
	fail    error
	entries []fsm.Entry
}

// New makes an empty log whose clock stands still.
func New() *Log {
	store := state.New()
	at := time.Unix(1_700_000_000, 0)
	return &Log{
		Store: store, Now: func() time.Time { return at }, machine: fsm.New(store), index: store.Snapshot().Index(),
	}
}

// Propose applies the commands as one entry.
func (l *Log) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.fail != nil {
		return nil, l.fail
	}
	l.index++
	e := fsm.Entry{Index: l.index, Term: 1, Time: l.Now().UnixNano(), Commands: cmds}
	l.entries = append(l.entries, e)
	return l.machine.Apply(e), nil
}

// Must applies one command that cannot be refused.
func (l *Log) Must(body fsm.Body) fsm.Outcome {
	cmd, err := fsm.NewCommand(body)
	if err != nil {
		panic(fmt.Sprintf("memlog: %v", err))
	}
	outcomes, err := l.Propose(context.Background(), cmd)
	if err == nil {
		err = outcomes[0].Err
	}
	if err != nil {
		panic(fmt.Sprintf("memlog: command %d: %v", body.Kind(), err))
	}
	return outcomes[0]
}

// Fail has proposals and ReadIndex fail with err, nil none.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// Entries are all entries applied.
func (l *Log) Entries() []fsm.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]fsm.Entry(nil), l.entries...)
}

// ReadIndex returns the newest index; nothing can be newer.
func (l *Log) ReadIndex(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Store.Snapshot().Index(), l.fail
}

// Leadership says that this server leads.
func (l *Log) Leadership() consensus.Leadership { return consensus.Leadership{Self: true, Term: 1} }

// LastContact is zero: this server leads.
func (l *Log) LastContact() time.Duration { return 0 }
