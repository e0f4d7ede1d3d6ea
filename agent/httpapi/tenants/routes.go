// Package tenants has the routes of the HTTP API for namespaces, node pools and quotas.
//
// Contract: shapes are the public API's. A field of a body that has a value and is not
// known is refused by name: a rule that nobody enforces would be worse than none.
//
// Example:
//
//	for _, r := range tenants.Routes() { serve(r.Path, r.Methods) }
package tenants

import (
	"context"
	"net/http"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Call is one request.
type Call struct {
	Ctx     context.Context
	Servers rpc.Caller
	Query   msg.QueryOptions
	Write   msg.WriteOptions
	Name    string                 // in the path, "" for none
	Body    func() ([]byte, error) // of a write
	Meta    func(msg.QueryMeta)    // answers a read
	Index   func(uint64)           // answers a write
}

// Handler answers a request with a value for JSON, or an error.
type Handler func(*Call) (any, error)

// Route is one path with its handlers by method.
type Route struct {
	Path, Doc string
	Methods   map[string]Handler
}

// Routes lists the routes.
func Routes() []Route {
	get, put, del := http.MethodGet, http.MethodPut, http.MethodDelete
	return []Route{
		{"/v1/node/pools", "List node pools, or create or change one.", map[string]Handler{get: pools, put: putPool}},
		{"/v1/node/pool/{name}", "Read, change or delete a node pool.", map[string]Handler{get: pool, put: putPool, del: deletePool}},
		{"/v1/namespaces", "List namespaces.", map[string]Handler{get: namespaces}},
		{"/v1/namespace", "Create or change a namespace.", map[string]Handler{put: putNamespace}},
		{"/v1/namespace/{name}", "Read, change or delete a namespace.", map[string]Handler{get: namespace, put: putNamespace, del: deleteNamespace}},
		{"/v1/quotas", "List quotas.", map[string]Handler{get: quotas}},
		{"/v1/quota", "Create or change a quota.", map[string]Handler{put: putQuota}},
		{"/v1/quota/{name}", "Read, change or delete a quota.", map[string]Handler{get: quota, put: putQuota, del: deleteQuota}},
		{"/v1/quota-usages", "List how much of quotas is in use.", map[string]Handler{get: usages}},
		{"/v1/quota/usage/{name}", "Read how much of a quota is in use.", map[string]Handler{get: usageOf}},
	}
}

// only has a list return one name's row, if it is there.
func (c *Call) only() *msg.StatusRequest {
	q := c.Query
	q.Prefix, q.Filter, q.NextToken, q.PerPage, q.Reverse = c.Name, "", "", 0, false
	return &msg.StatusRequest{QueryOptions: q}
}

func (c *Call) all() *msg.StatusRequest { return &msg.StatusRequest{QueryOptions: c.Query} }

// listed answers a list, or with one the row of that name.
func listed[T any](c *Call, err error, meta func() msg.QueryMeta, rows func() []*T) (any, error) {
	if err != nil {
		return nil, err
	}
	c.Meta(meta())
	if list := rows(); list != nil {
		return list, nil
	}
	return []*T{}, nil
}

func find[T any](c *Call, err error, meta func() msg.QueryMeta, rows func() []*T, name func(*T) string, missing string) (any, error) {
	if err != nil {
		return nil, err
	}
	c.Meta(meta())
	for _, row := range rows() {
		if name(row) == c.Name {
			return row, nil
		}
	}
	return nil, model.Errorf(model.CodeNotFound, "%s not found", missing)
}

func pools(c *Call) (any, error) {
	out, err := msg.NodePools.Call(c.Ctx, c.Servers, c.all())
	return listed(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*model.NodePool { return out.Pools })
}

func pool(c *Call) (any, error) {
	out, err := msg.NodePools.Call(c.Ctx, c.Servers, c.only())
	return find(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*model.NodePool { return out.Pools },
		func(p *model.NodePool) string { return p.Name }, "node pool")
}

func namespaces(c *Call) (any, error) {
	out, err := msg.Namespaces.Call(c.Ctx, c.Servers, c.all())
	return listed(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*tenancy.Namespace { return out.Namespaces })
}

func namespace(c *Call) (any, error) {
	out, err := msg.Namespaces.Call(c.Ctx, c.Servers, c.only())
	return find(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*tenancy.Namespace { return out.Namespaces },
		func(n *tenancy.Namespace) string { return n.Name }, "Namespace")
}

func quotas(c *Call) (any, error) {
	out, err := msg.Quotas.Call(c.Ctx, c.Servers, c.all())
	return listed(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*tenancy.Quota { return out.Quotas })
}

func quota(c *Call) (any, error) {
	out, err := msg.Quotas.Call(c.Ctx, c.Servers, c.only())
	return find(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*tenancy.Quota { return out.Quotas },
		func(q *tenancy.Quota) string { return q.Name }, "quota")
}

func usages(c *Call) (any, error) {
	out, err := msg.QuotaUsages.Call(c.Ctx, c.Servers, c.all())
	return listed(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*tenancy.Usage { return out.Usages })
}

func usageOf(c *Call) (any, error) {
	out, err := msg.QuotaUsages.Call(c.Ctx, c.Servers, c.only())
	return find(c, err, func() msg.QueryMeta { return out.QueryMeta }, func() []*tenancy.Usage { return out.Usages },
		func(u *tenancy.Usage) string { return u.Name }, "quota")
}

// written answers a write.
func (c *Call) written(out *msg.WriteMeta, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	c.Index(out.Index)
	return nil, nil
}

// read decodes a body whose name must be that of the path, if that has one.
func read[T any](c *Call, v *T, name *string) error {
	raw, err := c.Body()
	if err == nil {
		err = decode(raw, v)
	}
	if err != nil {
		return err
	}
	if *name == "" {
		*name = c.Name
	}
	if c.Name != "" && c.Name != *name {
		return model.Errorf(model.CodeInvalid, "the name in the request path, %q, is not that of the body, %q", c.Name, *name)
	}
	return nil
}

func putPool(c *Call) (any, error) {
	p := &model.NodePool{}
	if err := read(c, p, &p.Name); err != nil {
		return nil, err
	}
	return c.written(msg.NodePoolUpsert.Call(c.Ctx, c.Servers, &msg.NodePoolUpsertRequest{WriteOptions: c.Write, Pool: p}))
}

func putNamespace(c *Call) (any, error) {
	n := &tenancy.Namespace{}
	if err := read(c, n, &n.Name); err != nil {
		return nil, err
	}
	return c.written(msg.NamespaceUpsert.Call(c.Ctx, c.Servers, &msg.NamespaceUpsertRequest{WriteOptions: c.Write, Tenant: n}))
}

func putQuota(c *Call) (any, error) {
	q := &tenancy.Quota{}
	if err := read(c, q, &q.Name); err != nil {
		return nil, err
	}
	return c.written(msg.QuotaUpsert.Call(c.Ctx, c.Servers, &msg.QuotaUpsertRequest{WriteOptions: c.Write, Quota: q}))
}

func (c *Call) named() *msg.NameRequest { return &msg.NameRequest{WriteOptions: c.Write, Name: c.Name} }

func deletePool(c *Call) (any, error) {
	return c.written(msg.NodePoolDelete.Call(c.Ctx, c.Servers, c.named()))
}

func deleteNamespace(c *Call) (any, error) {
	return c.written(msg.NamespaceDelete.Call(c.Ctx, c.Servers, c.named()))
}

func deleteQuota(c *Call) (any, error) {
	return c.written(msg.QuotaDelete.Call(c.Ctx, c.Servers, c.named()))
}
