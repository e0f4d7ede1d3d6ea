package forecast

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/jobdiff"
)

// Proposer is the part of consensus.Proposer that forecasts need: they begin with
// everything that was acknowledged.
type Proposer interface {
	ReadIndex(ctx context.Context) (uint64, error)
}

// Register has production's admission register a job in a world.
type Register func(ctx context.Context, w *World, r *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error)

// Config is what a Desk needs. All fields but Contact are required.
type Config struct {
	Source   *Source
	Proposer Proposer
	Now      func() time.Time
	Register Register
	// Contact tells whether a leader is known, and when this server, if it does not
	// lead, heard from it. nil: it leads.
	Contact func() (known bool, ago time.Duration)
}

// Desk holds the handlers.
type Desk struct{ cfg Config }

// New makes the handlers.
func New(cfg Config) *Desk { return &Desk{cfg} }

// Register adds the handlers to srv.
func (d *Desk) Register(srv *rpc.Server) {
	rpc.Handle(srv, msg.JobPlan, d.jobPlan)
	rpc.Handle(srv, msg.Explain, d.explain)
}

// jobPlan tells what registering a job would do: it is registered in a fork, and the
// scheduler decides there.
func (d *Desk) jobPlan(ctx context.Context, r *msg.JobPlanRequest) (*msg.JobPlanResponse, error) {
	if r.Job == nil {
		return nil, model.Errorf(model.CodeInvalid, "missing job to plan")
	}
	if _, err := d.cfg.Proposer.ReadIndex(ctx); err != nil {
		return nil, err
	}
	w, err := d.cfg.Source.World(ctx, d.cfg.Now())
	if err != nil {
		return nil, err
	}
	defer w.Close()
	before := w.Store.Snapshot()
	out, err := d.cfg.Register(ctx, w, &msg.JobRegisterRequest{
		WriteOptions: msg.WriteOptions{Namespace: r.Job.Namespace}, Job: r.Job,
	})
	if err != nil {
		return nil, err
	}
	job := planned(w.Store.Snapshot(), r.Job)
	now := before.Job(job.Namespace, job.ID)
	resp := &msg.JobPlanResponse{WriteMeta: msg.WriteMeta{Index: before.Index()}, Warnings: out.Warnings}
	if now != nil {
		resp.JobModifyIndex = now.JobModifyIndex
	}
	resp.NextPeriodicLaunch = cron.NextLaunch(job, d.cfg.Now())
	if r.Diff {
		resp.Diff = jobdiff.Of(now, job, true)
	}
	if out.EvalID == "" {
		return resp, nil // it has no instances of its own
	}
	plan, err := w.Decide(ctx, out.EvalID)
	if err != nil {
		return nil, err
	}
	d.tell(resp, w.Store.Snapshot(), plan)
	return resp, w.advise(ctx, job, plan)
}

// planned is the job as it was registered: canonical, in its namespace.
func planned(snap *state.Snapshot, asked *model.Job) *model.Job {
	namespace := asked.Namespace
	if namespace == "" {
		namespace = model.DefaultNamespace
	}
	id := asked.ID
	if id == "" {
		id = asked.Name
	}
	return snap.Job(namespace, id)
}

// tell puts a plan into words that do not depend on ids which only the real one has.
func (d *Desk) tell(resp *msg.JobPlanResponse, snap *state.Snapshot, plan *model.Plan) {
	resp.Annotations, resp.FailedTGAllocs = plan.Annotations, plan.Eval.FailedTGAllocs
	resp.CreatedEvals = append([]*model.Evaluation{plan.Eval}, plan.NewEvals...)
	if resp.Diff != nil && plan.Annotations != nil {
		resp.Diff.Annotate(plan.Annotations.DesiredTGUpdates)
	}
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			resp.Placements = append(resp.Placements, &msg.PlannedPlacement{
				TaskGroup: g.TaskGroup, Name: model.AllocName(plan.JobID, g.TaskGroup, p.Index), NodeID: p.NodeID,
				NodeName: nodeName(snap, p.NodeID), PreviousAllocation: p.PreviousAllocation,
			})
		}
	}
	for _, s := range plan.Stops {
		a := snap.Alloc(s.ID)
		if a == nil || s.KeepDesired {
			continue
		}
		resp.Stops = append(resp.Stops, &msg.PlannedStop{
			ID: a.ID, TaskGroup: a.TaskGroup, Name: a.Name, NodeID: a.NodeID, NodeName: nodeName(snap, a.NodeID), Description: s.Description,
		})
	}
}

func nodeName(snap *state.Snapshot, id string) string {
	if n := snap.Node(id); n != nil {
		return n.Name
	}
	return ""
}
