package fsm_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model/tenancy"
)

// forked is a machine that goes on from this one's state by itself.
func (m *machine) forked() *machine {
	return &machine{t: m.t, FSM: fsm.New(m.Store().Fork(m.snap())), index: m.index}
}

// TestFork checks, over random logs: a fork that applies what its original applies
// agrees with it, derived rows included; what one of them does alone, or a fork of
// the fork, the others do not see.
func TestFork(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		m.must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "other"}})
		some := func() (log [][]fsm.Command) {
			for range rapid.IntRange(1, 8).Draw(rt, "entries") {
				log = append(log, draw{rt}.entry())
			}
			return log
		}
		run := func(m *machine, log [][]fsm.Command) {
			for _, cmds := range log {
				m.applyCommands(cmds...)
			}
		}
		run(m, some())
		began, before := m.snap(), m.snap().Hash()
		first, second := m.forked(), m.forked()
		run(first, some())
		third := first.forked()
		run(third, some())
		if m.snap() != began || began.Hash() != before {
			rt.Fatal("what a fork did is seen in its original")
		}
		common := some()
		run(second, common)
		run(m, common)
		if m.snap().Hash() != second.snap().Hash() {
			rt.Fatal("a fork does not do what its original does")
		}
		alone := second.snap().Hash()
		run(m, some())
		for _, f := range []*machine{first, second, third, m} {
			checkState(rt, f.snap())
		}
		if second.snap().Hash() != alone || began.Hash() != before {
			rt.Fatal("what the original did is seen in a fork")
		}
	})
}
