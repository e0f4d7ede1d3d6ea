package fleet

import (
	"slices"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// NewOn makes a view of a fork of a basis' snapshot: it begins with the basis' fleet
// instead of reading the whole state.
func NewOn(fork *state.Store, basis *Basis) *View {
	v := &View{store: fork, holds: make(map[string]hold)}
	v.snap, v.sub = fork.Subscribe(tables...)
	v.fleet = basis.fleet.Fork()
	return v
}

// AllNodes are all nodes, by id.
func (b *Basis) AllNodes() []*model.Node { return slices.Collect(b.Nodes(state.Range{})) }
