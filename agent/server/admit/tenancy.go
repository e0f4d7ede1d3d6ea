package admit

import (
	"context"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// nodePoolUpsert creates or changes a node pool.
func (d *Desk) nodePoolUpsert(ctx context.Context, r *msg.NodePoolUpsertRequest) (*msg.WriteMeta, error) {
	if r.Pool == nil {
		return nil, model.Errorf(model.CodeInvalid, "missing node pool")
	}
	if err := tenancy.ValidatePool(r.Pool); err != nil {
		return nil, err
	}
	return d.tenancy(ctx, r.RequestID, &fsm.UpsertNodePool{Pool: r.Pool})
}

func (d *Desk) nodePoolDelete(ctx context.Context, r *msg.NameRequest) (*msg.WriteMeta, error) {
	return d.tenancy(ctx, r.RequestID, &fsm.DeleteNodePool{Name: r.Name})
}

// namespaceUpsert creates or changes a namespace.
func (d *Desk) namespaceUpsert(ctx context.Context, r *msg.NamespaceUpsertRequest) (*msg.WriteMeta, error) {
	if r.Tenant == nil {
		return nil, model.Errorf(model.CodeInvalid, "missing namespace")
	}
	if err := r.Tenant.Validate(); err != nil {
		return nil, err
	}
	return d.tenancy(ctx, r.RequestID, &fsm.UpsertNamespace{Namespace: r.Tenant})
}

func (d *Desk) namespaceDelete(ctx context.Context, r *msg.NameRequest) (*msg.WriteMeta, error) {
	return d.tenancy(ctx, r.RequestID, &fsm.DeleteNamespace{Name: r.Name})
}

// quotaUpsert creates or changes a quota. A limit that names no region is for this one.
func (d *Desk) quotaUpsert(ctx context.Context, r *msg.QuotaUpsertRequest) (*msg.WriteMeta, error) {
	if r.Quota == nil {
		return nil, model.Errorf(model.CodeInvalid, "missing quota")
	}
	quota := *r.Quota
	quota.Limits = nil
	for _, l := range r.Quota.Limits {
		if l != nil && l.Region == "" {
			l = &tenancy.Limit{Region: d.cfg.Region, RegionLimit: l.RegionLimit}
		}
		quota.Limits = append(quota.Limits, l)
	}
	if err := quota.Validate(d.cfg.Region); err != nil {
		return nil, err
	}
	return d.tenancy(ctx, r.RequestID, &fsm.UpsertQuota{Quota: &quota})
}

func (d *Desk) quotaDelete(ctx context.Context, r *msg.NameRequest) (*msg.WriteMeta, error) {
	return d.tenancy(ctx, r.RequestID, &fsm.DeleteQuota{Name: r.Name})
}

// tenancy proposes a change of namespaces, node pools or quotas.
func (d *Desk) tenancy(ctx context.Context, requestID string, body fsm.Body) (*msg.WriteMeta, error) {
	if err := fsm.Gate(feature.Tenancy, d.cfg.Store.Snapshot().FeatureLevel()); err != nil {
		return nil, err
	}
	out, err := d.propose(ctx, requestID, body)
	if err != nil {
		return nil, err
	}
	return &msg.WriteMeta{Index: out.Index}, nil
}

// checkPlace refuses a job whose namespace or node pool does not exist. What these
// say of the job is decided with the write.
func checkPlace(snap *state.Snapshot, job *model.Job) error {
	if snap.Namespace(job.Namespace) == nil {
		return model.Errorf(model.CodeInvalid, "job %q is in nonexistent namespace %q", job.ID, job.Namespace)
	}
	if snap.NodePool(job.NodePool) == nil {
		return model.Errorf(model.CodeInvalid, "job %q is in nonexistent node pool %q", job.ID, job.NodePool)
	}
	return nil
}

// defaultPool gives a job that names no node pool the default one of its namespace.
func defaultPool(snap *state.Snapshot, job *model.Job) {
	namespace := job.Namespace
	if namespace == "" {
		namespace = model.DefaultNamespace
	}
	if ns := snap.Namespace(namespace); ns != nil && job.NodePool == "" {
		job.NodePool = ns.Pool()
	}
}

// oversubscribes tells whether tasks of a job may use memory beyond what they reserve.
func oversubscribes(snap *state.Snapshot, job *model.Job) bool {
	o := tenancy.Overrides(snap.Namespace(job.Namespace), snap.NodePool(job.NodePool))
	if o != nil && o.MemoryOversubscriptionEnabled != nil {
		return *o.MemoryOversubscriptionEnabled
	}
	return snap.SchedulerConfig().MemoryOversubscriptionEnabled
}
