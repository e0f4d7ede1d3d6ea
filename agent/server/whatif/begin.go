package whatif

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/place/class"
)

// begin lets happen what is asked about.
func (s *stage) begin(ctx context.Context) error {
	q := s.question
	// Nodes are named by the state as it was: all of them are looked for first.
	var like []*model.Node
	for _, a := range q.Add {
		found, err := s.find(&a.Like)
		if err != nil {
			return err
		}
		like = append(like, found[0])
	}
	var drained [][]*model.Node
	for _, d := range q.Drain {
		if d == nil {
			return model.Errorf(model.CodeInvalid, "a drain names no nodes")
		}
		found, err := s.find(&d.Selection)
		if err != nil {
			return err
		}
		drained = append(drained, found)
	}
	lost := make(map[string]*model.Node)
	for _, sel := range q.Lose {
		found, err := s.find(sel)
		if err != nil {
			return err
		}
		for _, n := range found {
			lost[n.ID] = n
		}
	}
	for i, a := range q.Add {
		if err := s.add(ctx, i, a.Count, like[i]); err != nil {
			return err
		}
	}
	if err := s.write(ctx); err != nil {
		return err
	}
	for i, d := range q.Drain {
		if err := s.drain(ctx, d, drained[i]); err != nil {
			return err
		}
	}
	s.lose(lost)
	return s.hurry(ctx)
}

// find are the nodes that a selection names; none is an error.
func (s *stage) find(sel *insight.Selection) ([]*model.Node, error) {
	if sel == nil || sel.Node == "" && sel.Datacenter == "" && sel.Pool == "" && sel.Class == "" && len(sel.Rules) == 0 {
		return nil, model.Errorf(model.CodeInvalid, "a selection of nodes is empty: name a node, datacenter, pool, class or rule")
	}
	for _, r := range sel.Rules {
		if r == nil || relation.OfPeers(r.Operand) {
			return nil, model.Errorf(model.CodeInvalid, "a rule of a selection must be a constraint on the node alone")
		}
		if fault, hint := relation.Fault(r.LTarget, r.Operand, r.RTarget); fault != "" {
			return nil, model.Errorf(model.CodeInvalid, "rule %q: %s", place.ConstraintText(r), strings.TrimSuffix(fault+"; "+hint, "; "))
		}
	}
	var out []*model.Node
	for _, n := range s.before.AllNodes() {
		if s.selects(sel, n) {
			out = append(out, n)
		}
	}
	if sel.Node != "" {
		return one(sel.Node, out)
	}
	if len(out) == 0 {
		return nil, model.Errorf(model.CodeNotFound, "no node is selected by %s", words(sel))
	}
	return out, nil
}

func (s *stage) selects(sel *insight.Selection, n *model.Node) bool {
	if sel.Node != "" && n.Name != sel.Node && !strings.HasPrefix(n.ID, strings.ToLower(sel.Node)) ||
		sel.Datacenter != "" && n.Datacenter != sel.Datacenter || sel.Pool != "" && n.NodePool != sel.Pool ||
		sel.Class != "" && n.NodeClass != sel.Class {
		return false
	}
	return !slices.ContainsFunc(sel.Rules, func(r *model.Constraint) bool { return !place.Meets(r, n, s.Region) })
}

// one finds the node that is meant: by its name or whole id, else by a beginning of
// its id that no other has.
func one(name string, found []*model.Node) ([]*model.Node, error) {
	for _, n := range found {
		if n.ID == name || n.Name == name && len(found) == 1 {
			return []*model.Node{n}, nil
		}
	}
	switch len(found) {
	case 0:
		return nil, model.Errorf(model.CodeNotFound, "no node %q", name)
	case 1:
		return found, nil
	}
	var names []string
	for _, n := range found[:min(len(found), 5)] {
		names = append(names, n.Name+" ("+n.ID+")")
	}
	return nil, model.Errorf(model.CodeInvalid, "%q is more than one node: %s", name, strings.Join(names, ", "))
}

func words(sel *insight.Selection) string {
	var list []string
	for _, f := range [][2]string{{"node", sel.Node}, {"datacenter", sel.Datacenter}, {"pool", sel.Pool}, {"class", sel.Class}} {
		if f[1] != "" {
			list = append(list, f[0]+" "+strconv.Quote(f[1]))
		}
	}
	for _, r := range sel.Rules {
		list = append(list, "`"+place.ConstraintText(r)+"`")
	}
	return strings.Join(list, " and ")
}

func ref(n *model.Node) *insight.NodeRef {
	return &insight.NodeRef{ID: n.ID, Name: n.Name, Datacenter: n.Datacenter, Pool: n.NodePool, Class: n.NodeClass}
}

// add registers nodes like another one, empty and ready.
func (s *stage) add(ctx context.Context, part, count int, like *model.Node) error {
	var cmds []fsm.Command
	for i := range count {
		n := *like
		key := fmt.Sprintf("%d/%d", part, i)
		n.ID, n.SecretID = ident.From("what if: a node", like.ID, key), ident.From("what if: its secret", like.ID, key)
		n.Name = fmt.Sprintf("%s+%d", like.Name, i+1)
		n.Status, n.StatusDescription = model.NodeStatusReady, ""
		n.SchedulingEligibility, n.Drain, n.DrainStrategy, n.LastDrain = "", false, nil, nil
		n.Events, n.CreateIndex, n.ModifyIndex = nil, 0, 0
		n.ComputedClass = class.Computed(&n)
		cmds = append(cmds, proposal.Of(&fsm.RegisterNode{Node: &n}))
		s.answer.Added = append(s.answer.Added, ref(&n))
	}
	return s.propose(ctx, cmds...)
}

// write runs, scales and stops jobs.
func (s *stage) write(ctx context.Context) error {
	for _, job := range s.question.Jobs {
		if job == nil {
			return model.Errorf(model.CodeInvalid, "missing job to run")
		}
		out, err := msg.JobRegister.Call(ctx, s.Admit, &msg.JobRegisterRequest{WriteOptions: msg.WriteOptions{Namespace: job.Namespace}, Job: job})
		if err != nil {
			return err
		}
		if out.Warnings != "" {
			s.answer.Warnings = append(s.answer.Warnings, out.Warnings)
		}
		if out.EvalID == "" {
			s.answer.Warnings = append(s.answer.Warnings, fmt.Sprintf("job %q only launches others: what it launches is not part of the answer", job.ID))
		}
	}
	for _, sc := range s.question.Scale {
		if err := s.scale(ctx, sc); err != nil {
			return err
		}
	}
	for _, id := range s.question.Stop {
		if id == nil {
			return model.Errorf(model.CodeInvalid, "missing job to stop")
		}
		_, err := msg.JobDeregister.Call(ctx, s.Admit, &msg.JobDeregisterRequest{
			WriteOptions: msg.WriteOptions{Namespace: cmp.Or(id.Namespace, s.Namespace)}, JobID: id.ID,
		})
		if model.CodeOf(err) == model.CodeNotFound {
			return model.Errorf(model.CodeNotFound, "job %q not found in namespace %q", id.ID, cmp.Or(id.Namespace, s.Namespace))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) scale(ctx context.Context, sc *insight.Scaling) error {
	if sc == nil {
		return model.Errorf(model.CodeInvalid, "missing job to scale")
	}
	ns := cmp.Or(sc.Namespace, s.Namespace)
	job := s.w.Store.Snapshot().Job(ns, sc.JobID)
	if job == nil {
		return model.Errorf(model.CodeNotFound, "job %q not found in namespace %q", sc.JobID, ns)
	}
	var names []string
	var group *model.TaskGroup
	for _, g := range job.TaskGroups {
		names = append(names, g.Name)
		if g.Name == sc.Group || sc.Group == "" && len(job.TaskGroups) == 1 {
			group = g
		}
	}
	switch {
	case group == nil && sc.Group == "":
		return model.Errorf(model.CodeInvalid, "job %q has several groups, name one: %s", job.ID, strings.Join(names, ", "))
	case group == nil:
		return model.Errorf(model.CodeNotFound, "job %q has no group %q; it has: %s", job.ID, sc.Group, strings.Join(names, ", "))
	}
	count := int64(sc.Count)
	if sc.Relative {
		count += int64(group.Count)
	}
	_, err := msg.JobScale.Call(ctx, s.Admit, &msg.JobScaleRequest{
		WriteOptions: msg.WriteOptions{Namespace: ns}, JobID: job.ID, Group: group.Name, Count: &count,
	})
	return err
}

func (s *stage) drain(ctx context.Context, d *insight.Draining, nodes []*model.Node) error {
	for _, n := range nodes {
		_, err := msg.NodeDrain.Call(ctx, s.Admit, &msg.NodeDrainRequest{
			NodeID: n.ID, Spec: &model.DrainSpec{Deadline: d.Deadline, IgnoreSystemJobs: d.IgnoreSystemJobs},
		})
		if err != nil {
			return err
		}
		s.answer.Drained = append(s.answer.Drained, ref(n))
	}
	return nil
}

// lose has nodes vanish from now on: with those that the brake holds already, which
// nobody hears of either.
func (s *stage) lose(lost map[string]*model.Node) {
	for _, n := range s.before.AllNodes() {
		if n.Status == model.NodeStatusDisconnected && len(lost) > 0 {
			s.dead[n.ID] = true
		}
		if lost[n.ID] == nil {
			continue
		}
		s.dead[n.ID] = true
		s.answer.Lost = append(s.answer.Lost, ref(n))
		if n.Status == model.NodeStatusDown {
			s.answer.Warnings = append(s.answer.Warnings, fmt.Sprintf("node %s is down already", n.Name))
		}
	}
}

// hurry releases the brake when it would give up so many nodes, one after the other,
// that to follow it would take too long.
func (s *stage) hurry(ctx context.Context) error {
	b := brakeOf(s)
	if b == nil || b.Rate < 0 || !lease.Together(lease.BrakeSettings(s.before.SchedulerConfig().MassLoss), b.Vanished, b.Nodes) {
		return nil
	}
	decisions := 0
	for _, n := range s.answer.Lost {
		jobs := make(map[model.NamespacedID]bool)
		for _, a := range s.before.AllocsByNode(n.ID) {
			if !a.Terminal() {
				jobs[model.NamespacedID{Namespace: a.Namespace, ID: a.JobID}] = true
			}
		}
		decisions += len(jobs)
	}
	if decisions <= maxOneByOne {
		return nil
	}
	cfg := *s.before.SchedulerConfig()
	cfg.MassLoss.ReleasedAt = s.w.Now().UnixNano()
	s.hurried = true
	s.answer.Warnings = append(s.answer.Warnings, fmt.Sprintf(
		"the brake on mass loss would give up the %d lost nodes one after the other; where instances go is told as if all were given up at once", b.Vanished))
	return s.propose(ctx, proposal.Of(&fsm.SchedulerConfig{Config: &cfg}))
}
