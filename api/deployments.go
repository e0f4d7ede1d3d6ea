package api

import (
	"context"

	"github.com/steppe-project/steppe/model"
)

// Deployments are the calls on deployments.
type Deployments struct{ c *Client }

// Deployments returns the calls on deployments.
func (c *Client) Deployments() Deployments { return Deployments{c} }

// DeploymentUpdate answers a write of a deployment. RevertedJobVersion is the version
// that the job went back to; nil: it did not.
type DeploymentUpdate struct {
	EvalID                string
	EvalCreateIndex       uint64
	DeploymentModifyIndex uint64
	RevertedJobVersion    *uint64
}

// List lists deployments.
func (d Deployments) List(ctx context.Context, q *Query) ([]*model.Deployment, Meta, error) {
	var out []*model.Deployment
	m, err := d.c.Get(ctx, "/v1/deployments", q, &out)
	return out, m, err
}

// Get reads a deployment.
func (d Deployments) Get(ctx context.Context, id string, q *Query) (*model.Deployment, Meta, error) {
	var out model.Deployment
	m, err := d.c.Get(ctx, "/v1/deployment/"+esc(id), q, &out)
	return &out, m, err
}

// Allocations lists a deployment's allocations.
func (d Deployments) Allocations(ctx context.Context, id string, q *Query) ([]*model.AllocListStub, Meta, error) {
	var out []*model.AllocListStub
	m, err := d.c.Get(ctx, "/v1/deployment/allocations/"+esc(id), q, &out)
	return out, m, err
}

func (d Deployments) put(ctx context.Context, verb, id string, in map[string]any, q *Query) (*DeploymentUpdate, error) {
	in["DeploymentID"] = id
	var out DeploymentUpdate
	_, err := d.c.Put(ctx, "/v1/deployment/"+verb+"/"+esc(id), q, in, &out)
	return &out, err
}

// Fail fails a deployment.
func (d Deployments) Fail(ctx context.Context, id string, q *Query) (*DeploymentUpdate, error) {
	return d.put(ctx, "fail", id, map[string]any{}, q)
}

// Pause pauses a deployment, or has it go on.
func (d Deployments) Pause(ctx context.Context, id string, pause bool, q *Query) (*DeploymentUpdate, error) {
	return d.put(ctx, "pause", id, map[string]any{"Pause": pause}, q)
}

// Promote promotes the canaries of the groups that are named, or of all.
func (d Deployments) Promote(ctx context.Context, id string, groups []string, q *Query) (*DeploymentUpdate, error) {
	return d.put(ctx, "promote", id, map[string]any{"All": len(groups) == 0, "Groups": groups}, q)
}

// Unblock has a deployment go on that waits for those of other regions.
func (d Deployments) Unblock(ctx context.Context, id string, q *Query) (*DeploymentUpdate, error) {
	return d.put(ctx, "unblock", id, map[string]any{}, q)
}

// SetAllocHealth says which allocations of a deployment are healthy, and which are not.
func (d Deployments) SetAllocHealth(ctx context.Context, id string, healthy, unhealthy []string, q *Query) (*DeploymentUpdate, error) {
	return d.put(ctx, "allocation-health", id, map[string]any{"HealthyAllocationIDs": healthy, "UnhealthyAllocationIDs": unhealthy}, q)
}

// Deployments lists a job's deployments, newest first; all: of earlier jobs of that name
// too.
func (j Jobs) Deployments(ctx context.Context, id string, all bool, q *Query) ([]*model.Deployment, Meta, error) {
	var out []*model.Deployment
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/deployments", with(q, "all", boolText(all)), &out)
	return out, m, err
}

// Deployment reads a job's newest deployment; nil for none.
func (j Jobs) Deployment(ctx context.Context, id string, q *Query) (*model.Deployment, Meta, error) {
	var out *model.Deployment
	m, err := j.c.Get(ctx, "/v1/job/"+esc(id)+"/deployment", q, &out)
	return out, m, err
}

// Revert is what Revert goes back to: Version, or with Tag the version of that name.
// With EnforcePriorVersion only if that is the present version.
type Revert struct {
	JobID               string
	JobVersion          uint64
	VersionTag          string  `json:",omitempty"`
	EnforcePriorVersion *uint64 `json:",omitempty"`
}

// Revert takes a job back to an older version.
func (j Jobs) Revert(ctx context.Context, r *Revert, q *Query) (*Registered, error) {
	var out Registered
	_, err := j.c.Put(ctx, "/v1/job/"+esc(r.JobID)+"/revert", q, r, &out)
	return &out, err
}

// SetStable marks a version of a job as one to go back to, or not.
func (j Jobs) SetStable(ctx context.Context, id string, version uint64, stable bool, q *Query) error {
	_, err := j.c.Put(ctx, "/v1/job/"+esc(id)+"/stable", q, map[string]any{"JobID": id, "JobVersion": version, "Stable": stable}, nil)
	return err
}

// TagVersion gives a version of a job (nil: the present one) a name, under which it is
// kept.
func (j Jobs) TagVersion(ctx context.Context, id string, version *uint64, name, description string, q *Query) error {
	_, err := j.c.Put(ctx, "/v1/job/"+esc(id)+"/versions/"+esc(name)+"/tag", q, map[string]any{"Version": version, "Description": description}, nil)
	return err
}

// UntagVersion takes the name of a version away.
func (j Jobs) UntagVersion(ctx context.Context, id, name string, q *Query) error {
	_, err := j.c.Delete(ctx, "/v1/job/"+esc(id)+"/versions/"+esc(name)+"/tag", q, nil)
	return err
}
