package fsm

import (
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// UpsertNodePool creates or changes a node pool. The built-in pools (default,
// all) cannot be changed: invalid. No value.
type UpsertNodePool struct{ Pool *model.NodePool }

// Kind is KindUpsertNodePool.
func (*UpsertNodePool) Kind() Kind { return KindUpsertNodePool }

func (c *UpsertNodePool) apply(x *tx) (result, error) {
	if c.Pool == nil || c.Pool.Name == "" {
		return nil, model.Errorf(model.CodeInvalid, "a node pool needs a name")
	}
	if builtinPool(c.Pool.Name) {
		return nil, model.Errorf(model.CodeInvalid, "modifying node pool %q is not allowed", c.Pool.Name)
	}
	next := *c.Pool
	next.CreateIndex, next.ModifyIndex = x.index, x.index
	if now := x.NodePool(next.Name); now != nil {
		next.CreateIndex = now.CreateIndex
	}
	x.Put(&next)
	return nil, nil
}

func builtinPool(name string) bool { return name == model.DefaultNodePool || name == model.AllNodePool }

// DeleteNodePool removes an empty node pool. Fails with not_found, invalid for
// a built-in one, and conflict while nodes or live jobs are in it, or
// namespaces have it as default. No value.
type DeleteNodePool struct{ Name string }

// Kind is KindDeleteNodePool.
func (*DeleteNodePool) Kind() Kind { return KindDeleteNodePool }

func (c *DeleteNodePool) apply(x *tx) (result, error) {
	if builtinPool(c.Name) {
		return nil, model.Errorf(model.CodeInvalid, "deleting node pool %q is not allowed", c.Name)
	}
	now := x.NodePool(c.Name)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "node pool %q not found", c.Name)
	}
	for n := range x.NodesByPool(c.Name) {
		return nil, model.Errorf(model.CodeConflict, "node pool %q has nodes, such as %s", c.Name, n.ID)
	}
	for j := range x.Jobs(state.Range{}) {
		if j.NodePool == c.Name && j.Status != model.JobStatusDead {
			return nil, model.Errorf(model.CodeConflict, "node pool %q has non-terminal jobs, such as %q in namespace %q", c.Name, j.ID, j.Namespace)
		}
	}
	for n := range x.Namespaces(state.Range{}) {
		if n.Pool() == c.Name {
			return nil, model.Errorf(model.CodeConflict, "node pool %q is the default of namespace %q: give that another one first", c.Name, n.Name)
		}
	}
	x.Delete(now)
	return nil, nil
}
