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
// a built-in one, and conflict while nodes or live jobs are in it. No value.
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
	x.Delete(now)
	return nil, nil
}

// UpsertNamespace creates or changes a namespace. No value.
type UpsertNamespace struct{ Namespace *model.Namespace }

// Kind is KindUpsertNamespace.
func (*UpsertNamespace) Kind() Kind { return KindUpsertNamespace }

func (c *UpsertNamespace) apply(x *tx) (result, error) {
	if c.Namespace == nil || c.Namespace.Name == "" || c.Namespace.Name == model.AllNamespaces {
		return nil, model.Errorf(model.CodeInvalid, "a namespace needs a name")
	}
	next := *c.Namespace
	next.CreateIndex, next.ModifyIndex = x.index, x.index
	if now := x.Txn.Namespace(next.Name); now != nil {
		next.CreateIndex = now.CreateIndex
	}
	x.Put(&next)
	return nil, nil
}

// DeleteNamespace removes a namespace without jobs. Fails with not_found,
// invalid for the default one, and conflict while jobs or allocations are in
// it. No value.
type DeleteNamespace struct{ Name string }

// Kind is KindDeleteNamespace.
func (*DeleteNamespace) Kind() Kind { return KindDeleteNamespace }

func (c *DeleteNamespace) apply(x *tx) (result, error) {
	if c.Name == model.DefaultNamespace {
		return nil, model.Errorf(model.CodeInvalid, "default namespace can not be deleted")
	}
	now := x.Txn.Namespace(c.Name)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "namespace %q not found", c.Name)
	}
	for j := range x.Jobs(state.Range{Namespace: c.Name}) {
		return nil, model.Errorf(model.CodeConflict, "namespace %q has jobs, such as %q", c.Name, j.ID)
	}
	for a := range x.Allocs(state.Range{Namespace: c.Name}) {
		if !a.ClientTerminal() {
			return nil, model.Errorf(model.CodeConflict, "namespace %q has live allocations, such as %s", c.Name, a.ID)
		}
	}
	x.Delete(now)
	return nil, nil
}
