package api

import (
	"context"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Namespaces are the calls on namespaces.
type Namespaces struct{ c *Client }

// Namespaces returns the calls on namespaces.
func (c *Client) Namespaces() Namespaces { return Namespaces{c} }

// List lists namespaces.
func (n Namespaces) List(ctx context.Context, q *Query) ([]*tenancy.Namespace, Meta, error) {
	var out []*tenancy.Namespace
	m, err := n.c.Get(ctx, "/v1/namespaces", q, &out)
	return out, m, err
}

// Get reads a namespace.
func (n Namespaces) Get(ctx context.Context, name string, q *Query) (*tenancy.Namespace, Meta, error) {
	var out tenancy.Namespace
	m, err := n.c.Get(ctx, "/v1/namespace/"+esc(name), q, &out)
	return &out, m, err
}

// Apply creates or changes a namespace.
func (n Namespaces) Apply(ctx context.Context, ns *tenancy.Namespace) error {
	_, err := n.c.Put(ctx, "/v1/namespace", nil, ns, nil)
	return err
}

// Delete removes a namespace, with the jobs in it that have ended.
func (n Namespaces) Delete(ctx context.Context, name string) error {
	_, err := n.c.Delete(ctx, "/v1/namespace/"+esc(name), nil, nil)
	return err
}

// NodePools are the calls on node pools.
type NodePools struct{ c *Client }

// NodePools returns the calls on node pools.
func (c *Client) NodePools() NodePools { return NodePools{c} }

// List lists node pools.
func (p NodePools) List(ctx context.Context, q *Query) ([]*model.NodePool, Meta, error) {
	var out []*model.NodePool
	m, err := p.c.Get(ctx, "/v1/node/pools", q, &out)
	return out, m, err
}

// Get reads a node pool.
func (p NodePools) Get(ctx context.Context, name string, q *Query) (*model.NodePool, Meta, error) {
	var out model.NodePool
	m, err := p.c.Get(ctx, "/v1/node/pool/"+esc(name), q, &out)
	return &out, m, err
}

// Nodes lists the nodes of a pool.
func (p NodePools) Nodes(ctx context.Context, name string, q *Query) ([]*model.NodeListStub, Meta, error) {
	var out []*model.NodeListStub
	m, err := p.c.Get(ctx, "/v1/node/pool/"+esc(name)+"/nodes", q, &out)
	return out, m, err
}

// Jobs lists the jobs of a pool.
func (p NodePools) Jobs(ctx context.Context, name string, q *Query) ([]*model.JobListStub, Meta, error) {
	var out []*model.JobListStub
	m, err := p.c.Get(ctx, "/v1/node/pool/"+esc(name)+"/jobs", q, &out)
	return out, m, err
}

// Apply creates or changes a node pool.
func (p NodePools) Apply(ctx context.Context, pool *model.NodePool) error {
	_, err := p.c.Put(ctx, "/v1/node/pools", nil, pool, nil)
	return err
}

// Delete removes a node pool that nothing uses.
func (p NodePools) Delete(ctx context.Context, name string) error {
	_, err := p.c.Delete(ctx, "/v1/node/pool/"+esc(name), nil, nil)
	return err
}

// Quotas are the calls on quotas.
type Quotas struct{ c *Client }

// Quotas returns the calls on quotas.
func (c *Client) Quotas() Quotas { return Quotas{c} }

// List lists quotas.
func (u Quotas) List(ctx context.Context, q *Query) ([]*tenancy.Quota, Meta, error) {
	var out []*tenancy.Quota
	m, err := u.c.Get(ctx, "/v1/quotas", q, &out)
	return out, m, err
}

// Get reads a quota.
func (u Quotas) Get(ctx context.Context, name string, q *Query) (*tenancy.Quota, Meta, error) {
	var out tenancy.Quota
	m, err := u.c.Get(ctx, "/v1/quota/"+esc(name), q, &out)
	return &out, m, err
}

// Usages lists how much of quotas is in use.
func (u Quotas) Usages(ctx context.Context, q *Query) ([]*tenancy.Usage, Meta, error) {
	var out []*tenancy.Usage
	m, err := u.c.Get(ctx, "/v1/quota-usages", q, &out)
	return out, m, err
}

// Usage reads how much of a quota is in use.
func (u Quotas) Usage(ctx context.Context, name string, q *Query) (*tenancy.Usage, Meta, error) {
	var out tenancy.Usage
	m, err := u.c.Get(ctx, "/v1/quota/usage/"+esc(name), q, &out)
	return &out, m, err
}

// Apply creates or changes a quota.
func (u Quotas) Apply(ctx context.Context, quota *tenancy.Quota) error {
	_, err := u.c.Put(ctx, "/v1/quota", nil, quota, nil)
	return err
}

// Delete removes a quota that no namespace names.
func (u Quotas) Delete(ctx context.Context, name string) error {
	_, err := u.c.Delete(ctx, "/v1/quota/"+esc(name), nil, nil)
	return err
}
