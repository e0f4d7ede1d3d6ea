// Package rollout answers requests about deployments, and about the versions of jobs
// that one goes back to.
//
// Contract: a Call is one request, with what it takes to answer it; the JSON is that of
// clients of Nomad.
//
// Example:
//
//	out, err := rollout.Promote(call)
package rollout

import (
	"context"

	"github.com/steppe-project/steppe/agent/httpapi/jobjson"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// Call is one request.
type Call struct {
	Context context.Context
	Servers rpc.Caller
	Query   msg.QueryOptions
	Write   msg.WriteOptions
	All     bool // also of earlier jobs of that name
	// Path is a part of the path by its name; Body decodes the body, an empty one only
	// if that is optional; Meta and Index set the headers of reads and writes.
	Path  func(name string) string
	Body  func(v any, optional bool) error
	Meta  func(msg.QueryMeta)
	Index func(uint64)
}

func invalid(format string, args ...any) error {
	return model.Errorf(model.CodeInvalid, format, args...)
}

// List lists deployments.
func List(c *Call) (any, error) {
	out, err := msg.DeploymentList.Call(c.Context, c.Servers, &msg.DeploymentListRequest{QueryOptions: c.Query})
	if err != nil {
		return nil, err
	}
	c.Meta(out.QueryMeta)
	return append([]*model.Deployment{}, out.Deployments...), nil
}

// OfJob lists a job's deployments, newest first.
func OfJob(c *Call) (any, error) {
	list, err := c.ofJob()
	return append([]*model.Deployment{}, list...), err
}

// Newest reads a job's newest deployment; null for none.
func Newest(c *Call) (any, error) {
	list, err := c.ofJob()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func (c *Call) ofJob() ([]*model.Deployment, error) {
	out, err := msg.JobDeployments.Call(c.Context, c.Servers, &msg.JobQuery{QueryOptions: c.Query, JobID: c.Path("id"), All: c.All})
	if err != nil {
		return nil, err
	}
	c.Meta(out.QueryMeta)
	return out.Deployments, nil
}

// Get reads a deployment.
func Get(c *Call) (any, error) {
	out, err := msg.DeploymentGet.Call(c.Context, c.Servers, &msg.IDQuery{QueryOptions: c.Query, ID: c.Path("id")})
	if err != nil {
		return nil, err
	}
	c.Meta(out.QueryMeta)
	if out.Deployment == nil {
		return nil, model.Errorf(model.CodeNotFound, "deployment not found")
	}
	return out.Deployment, nil
}

// Allocations lists a deployment's allocations.
func Allocations(c *Call) (any, error) {
	out, err := msg.AllocList.Call(c.Context, c.Servers, &msg.AllocListRequest{QueryOptions: c.Query, DeploymentID: c.Path("id"), TaskStates: true})
	if err != nil {
		return nil, err
	}
	c.Meta(out.QueryMeta)
	return append([]*model.AllocListStub{}, out.Allocs...), nil
}

// updated is the answer to a write of a deployment.
type updated struct {
	EvalID                string
	EvalCreateIndex       uint64
	DeploymentModifyIndex uint64
	RevertedJobVersion    *uint64
	Index                 uint64
}

func (c *Call) updated(out *msg.DeploymentWriteResponse, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	c.Index(out.Index)
	reply := updated{EvalID: out.EvalID, EvalCreateIndex: out.EvalCreateIndex, DeploymentModifyIndex: out.ModifyIndex, Index: out.Index}
	if out.Reverted {
		reply.RevertedJobVersion = &out.RevertedTo
	}
	return reply, nil
}

// id is the deployment of the path; the body may repeat it.
func (c *Call) id(again string) (string, error) {
	id := c.Path("id")
	if again != "" && again != id {
		return "", invalid("Deployment ID does not match")
	}
	return id, nil
}

// Fail fails a deployment.
func Fail(c *Call) (any, error) {
	var body struct{ DeploymentID string }
	if err := c.Body(&body, true); err != nil {
		return nil, err
	}
	return c.status(body.DeploymentID, model.DeploymentFailed)
}

// Pause pauses a deployment, or has it go on.
func Pause(c *Call) (any, error) {
	var body struct {
		DeploymentID string
		Pause        bool
	}
	if err := c.Body(&body, false); err != nil {
		return nil, err
	}
	if body.Pause {
		return c.status(body.DeploymentID, model.DeploymentPaused)
	}
	return c.status(body.DeploymentID, model.DeploymentRunning)
}

func (c *Call) status(again, status string) (any, error) {
	id, err := c.id(again)
	if err != nil {
		return nil, err
	}
	return c.updated(msg.DeploymentStatus.Call(c.Context, c.Servers, &msg.DeploymentStatusRequest{
		WriteOptions: c.Write, DeploymentID: id, Status: status,
	}))
}

// Promote promotes canaries.
func Promote(c *Call) (any, error) {
	var body struct {
		DeploymentID string
		All          bool
		Groups       []string
	}
	if err := c.Body(&body, false); err != nil {
		return nil, err
	}
	id, err := c.id(body.DeploymentID)
	if err != nil {
		return nil, err
	}
	return c.updated(msg.DeploymentPromote.Call(c.Context, c.Servers, &msg.DeploymentPromoteRequest{
		WriteOptions: c.Write, DeploymentID: id, All: body.All, Groups: body.Groups,
	}))
}

// Health takes an operator's word on the health of allocations.
func Health(c *Call) (any, error) {
	var body struct {
		DeploymentID           string
		HealthyAllocationIDs   []string
		UnhealthyAllocationIDs []string
	}
	if err := c.Body(&body, false); err != nil {
		return nil, err
	}
	id, err := c.id(body.DeploymentID)
	if err != nil {
		return nil, err
	}
	return c.updated(msg.AllocHealth.Call(c.Context, c.Servers, &msg.AllocHealthRequest{
		WriteOptions: c.Write, DeploymentID: id, Healthy: body.HealthyAllocationIDs, Unhealthy: body.UnhealthyAllocationIDs,
	}))
}

// Unblock says that no deployment waits for those of other regions.
func Unblock(c *Call) (any, error) {
	if _, err := Get(c); err != nil {
		return nil, err
	}
	return nil, invalid("deployment %s is not blocked: only one of several regions waits for the others, and Steppe deploys in each region by itself", c.Path("id"))
}

// Revert takes a job back to an older version.
func Revert(c *Call) (any, error) {
	var body struct {
		JobID               string
		JobVersion          uint64
		VersionTag          string // instead of JobVersion
		EnforcePriorVersion *uint64
	}
	if err := c.Body(&body, false); err != nil {
		return nil, err
	}
	id, err := c.job(body.JobID)
	if err != nil {
		return nil, err
	}
	req := &msg.JobRevertRequest{WriteOptions: c.Write, JobID: id, Version: body.JobVersion, Tag: body.VersionTag}
	if body.EnforcePriorVersion != nil {
		req.EnforcePrior, req.PriorVersion = true, *body.EnforcePriorVersion
	}
	out, err := msg.JobRevert.Call(c.Context, c.Servers, req)
	if err != nil {
		return nil, err
	}
	c.Index(out.Index)
	return jobjson.Registered{
		EvalID: out.EvalID, EvalCreateIndex: out.EvalCreateIndex, JobModifyIndex: out.JobModifyIndex, Index: out.Index, Warnings: out.Warnings,
	}, nil
}

// job is the job of the path; the body may repeat it.
func (c *Call) job(again string) (string, error) {
	id := c.Path("id")
	if again != "" && again != id {
		return "", invalid("Job ID does not match")
	}
	return id, nil
}

// Stable marks a version of a job as one to go back to, or not.
func Stable(c *Call) (any, error) {
	var body struct {
		JobID      string
		JobVersion uint64
		Stable     bool
	}
	if err := c.Body(&body, false); err != nil {
		return nil, err
	}
	id, err := c.job(body.JobID)
	if err != nil {
		return nil, err
	}
	out, err := msg.JobStable.Call(c.Context, c.Servers, &msg.JobStableRequest{WriteOptions: c.Write, JobID: id, Version: body.JobVersion, Stable: body.Stable})
	if err != nil {
		return nil, err
	}
	c.Index(out.Index)
	return struct{ JobModifyIndex, Index uint64 }{out.Index, out.Index}, nil
}

// Tag gives a version of a job a name.
func Tag(c *Call) (any, error) {
	var body struct {
		Version     *uint64 // none: the present one
		Description string
	}
	if err := c.Body(&body, true); err != nil {
		return nil, err
	}
	req := &msg.JobTagRequest{WriteOptions: c.Write, JobID: c.Path("id"), Tag: c.Path("tag"), Description: body.Description, Newest: body.Version == nil}
	if body.Version != nil {
		req.Version = *body.Version
	}
	return c.tagged(req)
}

// Untag takes the name of a version away.
func Untag(c *Call) (any, error) {
	return c.tagged(&msg.JobTagRequest{WriteOptions: c.Write, JobID: c.Path("id"), Tag: c.Path("tag"), Remove: true})
}

func (c *Call) tagged(req *msg.JobTagRequest) (any, error) {
	out, err := msg.JobTag.Call(c.Context, c.Servers, req)
	if err != nil {
		return nil, err
	}
	c.Index(out.Index)
	return struct {
		Name, Description string
		Index             uint64
	}{req.Tag, req.Description, out.Index}, nil
}
