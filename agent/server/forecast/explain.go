package forecast

import (
	"context"
	"fmt"
	"slices"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/advice"
)

// explain tells why instances are where they are, or nowhere.
func (d *Desk) explain(ctx context.Context, r *msg.ExplainRequest) (*msg.ExplainResponse, error) {
	if !r.Stale {
		if _, err := d.cfg.Proposer.ReadIndex(ctx); err != nil {
			return nil, err
		}
	}
	leave, err := d.cfg.Source.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	basis, err := d.cfg.Source.Basis(ctx)
	if err != nil {
		return nil, err
	}
	resp := &msg.ExplainResponse{QueryMeta: msg.QueryMeta{Index: max(1, basis.Index()), KnownLeader: true}}
	if d.cfg.Contact != nil {
		resp.KnownLeader, resp.LastContact = d.cfg.Contact()
	}
	switch r.Kind {
	case msg.ExplainJob:
		resp.Explanation, err = d.explainJob(basis, r.RequestNamespace(), r.ID)
	case msg.ExplainAlloc:
		resp.Explanation, err = d.explainAlloc(basis, r.ID)
	case msg.ExplainEval:
		resp.Explanation, err = d.explainEval(basis, r.ID)
	default:
		err = model.Errorf(model.CodeInvalid, "nothing of the kind %q can be explained", r.Kind)
	}
	return resp, err
}

// env is what a decision on a job is given now.
func (d *Desk) env(basis *fleet.Basis, namespace, job string) sched.Env {
	return basis.Env(&model.Evaluation{ID: "explain", Namespace: namespace, JobID: job}, d.cfg.Now())
}

func (d *Desk) explainJob(basis *fleet.Basis, namespace, id string) (*insight.Explanation, error) {
	e := advice.Explain(basis, namespace, id, d.env(basis, namespace, id))
	if e == nil {
		return nil, model.Errorf(model.CodeNotFound, "job %q not found in namespace %q", id, namespace)
	}
	return e, nil
}

// explainAlloc is about one instance: its group alone, and why it is where it is. One
// of an older version of the job, or of one that is gone, is explained by what it runs.
func (d *Desk) explainAlloc(basis *fleet.Basis, id string) (*insight.Explanation, error) {
	a := basis.Alloc(id)
	if a == nil {
		return nil, model.Errorf(model.CodeNotFound, "allocation %q not found", id)
	}
	env := d.env(basis, a.Namespace, a.JobID)
	e := advice.Explain(basis, a.Namespace, a.JobID, env)
	if e == nil {
		e = &insight.Explanation{Index: basis.Index(), Namespace: a.Namespace, JobID: a.JobID, JobVersion: a.JobVersion, Notes: []string{"the job was purged"}}
	}
	e.AllocID = id
	e.Groups = slices.DeleteFunc(e.Groups, func(g *insight.Group) bool { return g.Name != a.TaskGroup })
	if len(e.Groups) == 0 {
		e.Groups = []*insight.Group{{Name: a.TaskGroup}}
	}
	e.Groups[0].Chosen = nil
	if c := advice.Choose(basis, a, env); c != nil {
		e.Groups[0].Chosen = []*insight.Choice{c}
	}
	if a.Terminal() {
		e.Notes = append(e.Notes, fmt.Sprintf("the allocation has ended, or is to end (%s, desired: %s): %s", a.ClientStatus, a.DesiredStatus, or(a.DesiredDescription, a.ClientDescription)))
	}
	return e, nil
}

func or(a, b string) string {
	switch {
	case a != "":
		return a
	case b != "":
		return b
	}
	return "no reason was noted"
}

// explainEval is about the job of an evaluation, with what the evaluation noted.
func (d *Desk) explainEval(basis *fleet.Basis, id string) (*insight.Explanation, error) {
	eval := basis.Eval(id)
	if eval == nil {
		return nil, model.Errorf(model.CodeNotFound, "evaluation %q not found", id)
	}
	e := advice.Explain(basis, eval.Namespace, eval.JobID, d.env(basis, eval.Namespace, eval.JobID))
	if e == nil {
		e = &insight.Explanation{Index: basis.Index(), Namespace: eval.Namespace, JobID: eval.JobID, Notes: []string{"the job was purged"}}
	}
	e.EvalID = id
	note := fmt.Sprintf("this evaluation (%s) is %s", eval.TriggeredBy, eval.Status)
	if eval.StatusDescription != "" {
		note += ": " + eval.StatusDescription
	}
	e.Notes = append([]string{note}, e.Notes...)
	for _, g := range e.Groups {
		g.Then = eval.FailedTGAllocs[g.Name]
	}
	return e, nil
}

// advise replaces what a plan says would help by what was tried on the world: for all
// that is missing, not for one instance more.
func (w *World) advise(ctx context.Context, job *model.Job, plan *model.Plan) error {
	if len(plan.Eval.FailedTGAllocs) == 0 {
		return nil
	}
	basis, err := w.Basis(ctx)
	if err != nil {
		return err
	}
	eval := &model.Evaluation{ID: "explain", Namespace: job.Namespace, JobID: job.ID}
	for group, list := range advice.Remedies(basis, job, plan, basis.Env(eval, w.now)) {
		texts := make([]string, 0, len(list))
		for _, r := range list {
			texts = append(texts, r.Text)
		}
		if len(texts) > 0 {
			plan.Eval.FailedTGAllocs[group].Remedies = texts
		}
	}
	return nil
}
