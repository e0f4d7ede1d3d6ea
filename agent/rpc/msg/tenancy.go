package msg

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

//go:generate go tool msgp -file tenancy.go -tests=false -io=false

// NodePoolsResponse lists node pools.
type NodePoolsResponse struct {
	QueryMeta
	Pools []*model.NodePool
}

// NodePoolUpsertRequest creates or changes a node pool.
type NodePoolUpsertRequest struct {
	WriteOptions
	Pool *model.NodePool
}

// NameRequest deletes a node pool, a namespace or a quota.
type NameRequest struct {
	WriteOptions
	Name string
}

// NamespacesResponse lists namespaces.
type NamespacesResponse struct {
	QueryMeta
	Namespaces []*tenancy.Namespace
}

// NamespaceUpsertRequest creates or changes a namespace.
type NamespaceUpsertRequest struct {
	WriteOptions
	Tenant *tenancy.Namespace
}

// QuotasResponse lists quotas.
type QuotasResponse struct {
	QueryMeta
	Quotas []*tenancy.Quota
}

// QuotaUpsertRequest creates or changes a quota.
type QuotaUpsertRequest struct {
	WriteOptions
	Quota *tenancy.Quota
}

// UsagesResponse tells how much of quotas is in use.
type UsagesResponse struct {
	QueryMeta
	Usages []*tenancy.Usage
}
