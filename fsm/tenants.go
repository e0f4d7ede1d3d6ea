package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/fsm/usage"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/model/tenancy"
)

// UpsertNamespace creates or changes a namespace. Fails with invalid when its quota or
// its default node pool does not exist, and with conflict when what its jobs ask for is
// more than a quota that is new to it has room for. What it says of jobs holds for
// those that are registered or launched from then on. No value.
type UpsertNamespace struct{ Namespace *tenancy.Namespace }

// Kind is KindUpsertNamespace.
func (*UpsertNamespace) Kind() Kind { return KindUpsertNamespace }

// needs is Tenancy with what older servers do not keep.
func (c *UpsertNamespace) needs() feature.Level {
	n := c.Namespace
	if n != nil && (n.Quota != "" || n.Capabilities != nil || n.NodePoolConfiguration != nil || n.SchedulerConfiguration != nil) {
		return feature.Tenancy
	}
	return feature.Base
}

func (c *UpsertNamespace) apply(x *tx) (result, error) {
	if c.Namespace == nil || c.Namespace.Name == "" || c.Namespace.Name == model.AllNamespaces {
		return nil, model.Errorf(model.CodeInvalid, "a namespace needs a name")
	}
	next := *c.Namespace
	next.CreateIndex, next.ModifyIndex = x.index, x.index
	now := x.Txn.Namespace(next.Name)
	if now != nil {
		next.CreateIndex = now.CreateIndex
	} else if x.FeatureLevel() >= feature.Tenancy && x.Count(state.TableNamespaces) >= tenancy.MaxNamespaces {
		return nil, model.Errorf(model.CodeConflict, "there are %d namespaces, the most there can be: delete one first", tenancy.MaxNamespaces)
	}
	if pool := next.Pool(); x.NodePool(pool) == nil {
		return nil, model.Errorf(model.CodeInvalid, "namespace %q: its default node pool %q does not exist", next.Name, pool)
	}
	x.Put(&next)
	if next.Quota == "" || now != nil && now.Quota == next.Quota {
		return nil, nil
	}
	quota := x.Quota(next.Quota)
	if quota == nil {
		return nil, model.Errorf(model.CodeInvalid, "namespace %q: quota %q does not exist", next.Name, next.Quota)
	}
	return nil, x.checkUse(quota, nil)
}

// checkUse tells why a quota cannot take the place of another: what is in use.
func (x *tx) checkUse(next, now *tenancy.Quota) error {
	for _, l := range next.Limits {
		if err := next.CheckUse(now, l.Region, usage.Of(&x.Snapshot, next.Name, l.Region, model.NamespacedID{})); err != nil {
			return err
		}
	}
	return nil
}

// DeleteNamespace removes a namespace. Fails with not_found, invalid for the default
// one, and conflict while jobs or allocations are in it: at feature level Tenancy those
// that have not ended. Jobs that have are removed with it. No value.
type DeleteNamespace struct{ Name string }

// Kind is KindDeleteNamespace.
func (*DeleteNamespace) Kind() Kind { return KindDeleteNamespace }

// maxNamed bounds what an error lists.
const maxNamed = 5

func (c *DeleteNamespace) apply(x *tx) (result, error) {
	if c.Name == model.DefaultNamespace {
		return nil, model.Errorf(model.CodeInvalid, "default namespace can not be deleted")
	}
	now := x.Txn.Namespace(c.Name)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "namespace %q not found", c.Name)
	}
	if x.FeatureLevel() >= feature.Tenancy {
		if err := x.emptyNamespace(c.Name); err != nil {
			return nil, err
		}
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

// emptyNamespace removes the jobs of a namespace that have ended, or tells which have
// not.
func (x *tx) emptyNamespace(name string) error {
	var live []string
	ended := slices.Collect(x.Jobs(state.Range{Namespace: name}))
	for _, j := range ended {
		if j.Status != model.JobStatusDead || x.busy(j) {
			live = append(live, j.ID)
		}
	}
	if len(live) > 0 {
		return model.Errorf(model.CodeConflict, "namespace %q has %s: stop them first (steppe job stop -namespace %s JOB)", name, someJobs(live), name)
	}
	for _, j := range ended {
		x.purgeJob(j)
	}
	return nil
}

// someJobs counts jobs that have not ended, and names the first.
func someJobs(ids []string) string {
	text := strings.Join(ids[:min(len(ids), maxNamed)], ", ")
	if len(ids) > maxNamed {
		text += ", ..."
	}
	if len(ids) == 1 {
		return "1 job that has not ended: " + text
	}
	return fmt.Sprintf("%d jobs that have not ended: %s", len(ids), text)
}

// UpsertQuota creates or changes a quota. Fails with conflict when a limit would come
// to be below what is in use. No value.
type UpsertQuota struct{ Quota *tenancy.Quota }

// Kind is KindUpsertQuota.
func (*UpsertQuota) Kind() Kind { return KindUpsertQuota }

func (c *UpsertQuota) apply(x *tx) (result, error) {
	if c.Quota == nil || c.Quota.Name == "" {
		return nil, model.Errorf(model.CodeInvalid, "a quota needs a name")
	}
	next := *c.Quota
	next.CreateIndex, next.ModifyIndex = x.index, x.index
	now := x.Quota(next.Name)
	if now != nil {
		next.CreateIndex = now.CreateIndex
	} else if x.Count(state.TableQuotas) >= tenancy.MaxQuotas {
		return nil, model.Errorf(model.CodeConflict, "there are %d quotas, the most there can be: delete one first", tenancy.MaxQuotas)
	}
	if err := x.checkUse(&next, now); err != nil {
		return nil, err
	}
	x.Put(&next)
	return nil, nil
}

// DeleteQuota removes a quota. Fails with not_found, and conflict while namespaces
// name it. No value.
type DeleteQuota struct{ Name string }

// Kind is KindDeleteQuota.
func (*DeleteQuota) Kind() Kind { return KindDeleteQuota }

func (c *DeleteQuota) apply(x *tx) (result, error) {
	now := x.Quota(c.Name)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "quota %q not found", c.Name)
	}
	for n := range x.Namespaces(state.Range{}) {
		if n.Quota == c.Name {
			return nil, model.Errorf(model.CodeConflict, "quota %q bounds namespace %q: give that another one first, or none", c.Name, n.Name)
		}
	}
	x.Delete(now)
	return nil, nil
}

// admit tells why a job may not be what it is to become, in the place of now (nil: there
// is none): its namespace's rules, a cycle of dependencies, its quota. It is asked within
// the entry that makes it so, so that of two that do not fit together one is refused.
func (x *tx) admit(next, now *model.Job) error {
	ns := x.Txn.Namespace(next.Namespace)
	if ns == nil {
		return model.Errorf(model.CodeNotFound, "job %q is in nonexistent namespace %q", next.ID, next.Namespace)
	}
	if err := ns.Admits(next); err != nil {
		return err
	}
	if err := precedence.Check(next, x.Job); err != nil {
		return err
	}
	return x.afford(next, now)
}

// afford is admit's question to the quota alone.
func (x *tx) afford(next, now *model.Job) error {
	ns := x.Txn.Namespace(next.Namespace)
	if ns == nil || ns.Quota == "" {
		return nil
	}
	if quota := x.Quota(ns.Quota); quota != nil {
		return usage.Check(x.Txn, quota, next, now)
	}
	return nil
}

// revive asks the quotas about jobs that somebody wants looked at although nothing was
// left to do: they asked for nothing so far.
func (x *tx) revive(evals []*model.Evaluation) error {
	for _, e := range evals {
		if e == nil || e.TriggeredBy != model.TriggerJobRegister {
			continue
		}
		if job := x.Job(e.Namespace, e.JobID); job != nil && job.Status == model.JobStatusDead && !job.Stop {
			if err := x.afford(job, job); err != nil {
				return err
			}
		}
	}
	return nil
}
