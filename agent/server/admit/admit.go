package admit

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Proposer is the part of consensus.Proposer that writes need.
type Proposer interface {
	ReadIndex(ctx context.Context) (uint64, error)
	Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error)
}

// Config is what Desk needs. All fields but Seen and NewID are required.
type Config struct {
	Store    *state.Store
	Proposer Proposer
	// Region is this cluster's; jobs of others are refused.
	Region string
	// Now is the clock that stamps.
	Now func() time.Time
	// Seen, when set, is told of every node that registers: a sign of life. It
	// must not block.
	Seen func(nodeID string)
	// NewID makes the ids of evaluations; nil means random ones.
	NewID func() string
}

// Desk holds the write handlers.
type Desk struct{ cfg Config }

// New makes the handlers.
func New(cfg Config) *Desk {
	if cfg.NewID == nil {
		cfg.NewID = ident.New
	}
	if cfg.Seen == nil {
		cfg.Seen = func(string) {}
	}
	return &Desk{cfg: cfg}
}

// Register adds the handlers to srv.
func (d *Desk) Register(srv *rpc.Server) {
	handle(d, srv, msg.JobRegister, d.JobRegister)
	handle(d, srv, msg.JobDeregister, d.jobDeregister)
	handle(d, srv, msg.JobEvaluate, d.jobEvaluate)
	handle(d, srv, msg.JobScale, d.jobScale)
	handle(d, srv, msg.JobDispatch, d.jobDispatch)
	handle(d, srv, msg.JobForce, d.jobForce)
	handle(d, srv, msg.NodePoolUpsert, d.nodePoolUpsert)
	handle(d, srv, msg.NodePoolDelete, d.nodePoolDelete)
	handle(d, srv, msg.NamespaceUpsert, d.namespaceUpsert)
	handle(d, srv, msg.NamespaceDelete, d.namespaceDelete)
	handle(d, srv, msg.QuotaUpsert, d.quotaUpsert)
	handle(d, srv, msg.QuotaDelete, d.quotaDelete)
	handle(d, srv, msg.JobRevert, d.jobRevert)
	handle(d, srv, msg.JobStable, d.jobStable)
	handle(d, srv, msg.JobTag, d.jobTag)
	handle(d, srv, msg.DeploymentStatus, d.deploymentStatus)
	handle(d, srv, msg.DeploymentPromote, d.deploymentPromote)
	handle(d, srv, msg.AllocHealth, d.allocHealth)
	handle(d, srv, msg.AllocStop, d.allocStop)
	handle(d, srv, msg.NodeRegisterAt, d.nodeRegister)
	handle(d, srv, msg.NodeUpdateAllocs, d.nodeUpdateAllocs)
	handle(d, srv, msg.NodeReportAt, d.nodeReport)
	handle(d, srv, msg.NodeEligibility, d.nodeEligibility)
	handle(d, srv, msg.NodeDrain, d.nodeDrain)
	handle(d, srv, msg.NodePurge, d.nodePurge)
	handle(d, srv, msg.NodeEvaluate, d.nodeEvaluate)
}

// handle registers h so that it sees a state with everything that was acknowledged
// before. A leader that was replaced and does not know it yet would otherwise
// answer from the past: that a job does not exist, or, to a node that says nothing
// new, with an index at which its newest work is not assigned.
func handle[Req, Resp any, PReq rpc.MessageOf[Req], PResp rpc.MessageOf[Resp]](
	d *Desk, srv *rpc.Server, m rpc.Method[Req, Resp], h func(context.Context, *Req) (*Resp, error),
) {
	rpc.Handle[Req, Resp, PReq, PResp](srv, m, func(ctx context.Context, req *Req) (*Resp, error) {
		if _, err := d.cfg.Proposer.ReadIndex(ctx); err != nil {
			return nil, err
		}
		return h(ctx, req)
	})
}

// propose proposes one command and returns its outcome. An error of the outcome
// is the call's.
func (d *Desk) propose(ctx context.Context, requestID string, body fsm.Body, before ...fsm.Body) (fsm.Outcome, error) {
	cmds := make([]fsm.Command, 0, len(before)+1)
	for _, b := range append(before, body) {
		cmd, err := fsm.NewCommand(b)
		if err != nil {
			return fsm.Outcome{}, err
		}
		cmds = append(cmds, cmd)
	}
	cmds[len(cmds)-1].RequestID = requestID
	outcomes, err := d.cfg.Proposer.Propose(ctx, cmds...)
	if err != nil {
		return fsm.Outcome{}, err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			return o, o.Err
		}
	}
	return outcomes[len(outcomes)-1], nil
}

// wasDone tells whether a request of that id was applied before.
func wasDone(snap *state.Snapshot, requestID string) bool {
	return requestID != "" && snap.Request(requestID) != nil
}

// eval is a new pending evaluation of a job. Its id follows from the request's,
// if that has one, so that a repeated request names the same evaluation.
func (d *Desk) eval(job *model.Job, trigger string, priority int, requestID string) *model.Evaluation {
	if priority == 0 {
		priority = job.Priority
	}
	id := d.cfg.NewID()
	if requestID != "" {
		id = ident.From("evaluation of request", requestID, job.Namespace, job.ID)
	}
	now := d.cfg.Now().UnixNano()
	return &model.Evaluation{
		ID: id, Namespace: job.Namespace, JobID: job.ID, Type: job.Type, Priority: priority,
		TriggeredBy: trigger, JobModifyIndex: job.JobModifyIndex, Status: model.EvalPending,
		CreateTime: now, ModifyTime: now,
	}
}
