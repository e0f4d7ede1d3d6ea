package fsm_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/scaling"
	"github.com/steppe-project/steppe/model/tenancy"
)

// TestScenarios runs testdata/*.txt. Directives:
//
//	entry           applies its lines, one command each, as one log entry; prints the outcomes
//	show <what>     prints rows: jobs versions scaling launches children summaries nodes evals allocs deployments config reports deployments
//	changes         prints what the feed brought since the last time
//	restart         writes a snapshot and goes on with a machine restored from it
//
// A command line is a name, its subject, and key=value settings; see command.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{machine: newMachine(t)}
		s.subscribe()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			switch d.Cmd {
			case "entry":
				return s.entry(d)
			case "show":
				return s.show(d.CmdArgs[0].Key)
			case "changes":
				return s.changes()
			case "restart":
				next := s.restored()
				if next.snap().Hash() != s.snap().Hash() {
					return "states differ\n"
				}
				s.machine = next
				s.subscribe()
				return "same state\n"
			}
			d.Fatalf(t, "unknown directive %s", d.Cmd)
			return ""
		})
	})
}

type scenario struct {
	*machine
	sub *state.Subscription
}

func (s *scenario) subscribe() { _, s.sub = s.Store().Subscribe() }

// line is a parsed command line.
type line struct {
	name, subject string
	set           map[string]string
}

func (l line) get(key, otherwise string) string {
	if v, ok := l.set[key]; ok {
		return v
	}
	return otherwise
}

func (l line) number(key string, otherwise int) int {
	n, err := strconv.Atoi(l.get(key, strconv.Itoa(otherwise)))
	if err != nil {
		panic(err)
	}
	return n
}

func (l line) list(key string) []string {
	if l.set[key] == "" {
		return nil
	}
	return strings.Split(l.set[key], ",")
}

// eval is the evaluation named by eval=id[:status], or nil.
func (l line) eval(ns, job string) *model.Evaluation {
	id, status, ok := strings.Cut(l.get("eval", ""), ":")
	if id == "" {
		return nil
	}
	if !ok {
		status = model.EvalPending
	}
	e := &model.Evaluation{ID: id, Namespace: ns, JobID: job, Status: status, Type: model.JobTypeService}
	if n := l.number("queued", -1); n >= 0 {
		e.QueuedAllocations = map[string]int{"web": n}
	}
	if l.get("failed", "") != "" {
		e.FailedTGAllocs = map[string]*model.AllocationMetric{l.set["failed"]: {NodesEvaluated: 1}}
	}
	return e
}

func (l line) evals(ns, job string) []*model.Evaluation {
	if e := l.eval(ns, job); e != nil {
		return []*model.Evaluation{e}
	}
	return nil
}

func (s *scenario) entry(d *datadriven.TestData) string {
	var cmds []fsm.Command
	for _, text := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		words := strings.Fields(text)
		l := line{name: words[0], set: map[string]string{}}
		for _, w := range words[1:] {
			if k, v, ok := strings.Cut(w, "="); ok {
				l.set[k] = v
			} else {
				l.subject = w
			}
		}
		c, err := fsm.NewCommand(l.command())
		if err != nil {
			d.Fatalf(s.t.(*testing.T), "%v", err)
		}
		c.RequestID = l.get("request", "")
		cmds = append(cmds, c)
	}
	var b strings.Builder
	for _, o := range s.applyCommands(cmds...) {
		fmt.Fprintf(&b, "%d: ", o.Index)
		switch v := o.Value.(type) {
		case nil:
			if o.Err != nil {
				fmt.Fprintf(&b, "%s: %v", model.CodeOf(o.Err), o.Err)
			} else {
				b.WriteString("ok")
			}
		case *fsm.Skipped:
			fmt.Fprintf(&b, "skipped %v", v.IDs)
		case *model.PlanResult:
			fmt.Fprintf(&b, "refused %v", v.RefusedNodes)
		default:
			fmt.Fprintf(&b, "%+v", v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// command makes the command of a line.
func (l line) command() fsm.Body {
	ns := l.get("ns", model.DefaultNamespace)
	switch l.name {
	case "node":
		return &fsm.RegisterNode{Node: &model.Node{
			ID: l.subject, Name: l.subject + "-name", SecretID: l.get("secret", "s"), NodePool: l.get("pool", ""), Status: l.get("status", ""),
			ReportsFrom: uint64(l.number("reports-from", 0)),
		}, Evals: l.evals(ns, l.get("job", ""))}
	case "node-status":
		c := &fsm.NodeStatus{Evals: l.evals(ns, l.get("job", ""))}
		for _, id := range strings.Split(l.subject, ",") {
			c.Updates = append(c.Updates, fsm.NodeStatusUpdate{NodeID: id, Status: l.get("to", ""), Reason: l.get("reason", "")})
		}
		return c
	case "node-eligibility":
		return &fsm.NodeEligibility{NodeID: l.subject, Eligibility: l.get("to", "")}
	case "node-event":
		return &fsm.NodeEvents{Events: []fsm.NodeEventOf{{NodeID: l.subject, Event: &model.NodeEvent{Message: l.get("message", "")}}}}
	case "node-purge":
		return &fsm.DeregisterNodes{NodeIDs: strings.Split(l.subject, ",")}
	case "job":
		return l.register(ns)
	case "stop-job":
		return &fsm.DeregisterJob{Namespace: ns, ID: l.subject, Purge: l.get("purge", "") != "", Eval: l.eval(ns, l.subject)}
	case "scale":
		return l.scale(ns)
	case "stable":
		return &fsm.JobStability{Namespace: ns, ID: l.subject, Version: uint64(l.number("version", 0)), Stable: l.get("to", "true") == "true"}
	case "eval-again":
		e := &model.Evaluation{ID: l.get("eval", ""), Namespace: ns, JobID: l.subject, Status: model.EvalPending, TriggeredBy: model.TriggerJobRegister}
		return &fsm.TransitionAllocs{Evals: []*model.Evaluation{e}}
	case "eval":
		l.set["eval"] = l.subject
		return &fsm.UpsertEvals{Evals: l.evals(ns, l.get("job", ""))}
	case "plan":
		return &fsm.ApplyPlan{Plan: l.plan(ns)}
	case "update":
		c := &fsm.UpdateAllocs{NodeID: l.get("node", ""), Evals: l.evals(ns, l.get("job", ""))}
		for _, id := range strings.Split(l.subject, ",") {
			up := &model.AllocUpdate{ID: id, Order: uint64(l.number("order", 0)), ClientStatus: l.get("to", ""), ClientDescription: l.get("words", "")}
			if h := l.get("health", ""); h != "" {
				yes := h == "yes"
				up.DeploymentStatus = &model.AllocDeploymentStatus{Healthy: &yes, ModifyIndex: uint64(l.number("knows", 0))}
			}
			c.Updates = append(c.Updates, up)
		}
		return c
	case "transition":
		yes := true
		return &fsm.TransitionAllocs{Transitions: []fsm.AllocTransition{{ID: l.subject, Transition: model.DesiredTransition{Migrate: &yes}}}, Evals: l.evals(ns, l.get("job", ""))}
	case "dispatch", "launch":
		return l.launch(ns)
	case "collect":
		return l.collect(ns)
	case "deployment", "promote", "health", "revert", "tag", "untag":
		return l.deployment(ns)
	}
	return l.configCommand()
}

func (l line) configCommand() fsm.Body {
	switch l.name {
	case "namespace":
		return l.namespace()
	case "quota":
		return &fsm.UpsertQuota{Quota: &tenancy.Quota{Name: l.subject, Limits: []*tenancy.Limit{{Region: "global", RegionLimit: &tenancy.Resources{
			CPU: l.number("cpu", 0), MemoryMB: l.number("memory", 0), Count: l.number("count", 0), Cores: l.number("cores", 0), DiskMB: l.number("disk", 0),
		}}}}}
	case "delete-quota":
		return &fsm.DeleteQuota{Name: l.subject}
	case "delete-namespace":
		return &fsm.DeleteNamespace{Name: l.subject}
	case "pool":
		return &fsm.UpsertNodePool{Pool: &model.NodePool{Name: l.subject}}
	case "delete-pool":
		return &fsm.DeleteNodePool{Name: l.subject}
	case "scheduler":
		return &fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{SchedulerAlgorithm: l.subject}, CAS: l.get("cas", "") != "", Index: uint64(l.number("cas", 0))}
	case "autopilot":
		return &fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{
			MaxTrailingLogs: uint64(l.number("logs", 1)), EnableRedundancyZones: l.get("zones", "") != "", EnableCustomUpgrades: l.get("custom", "") != "",
		}, CAS: l.get("cas", "") != "", Index: uint64(l.number("cas", 0))}
	case "feature":
		return &fsm.FeatureLevel{Level: feature.Level(l.number("level", 0))}
	case "cluster":
		return &fsm.ClusterMetadata{Metadata: &model.ClusterMetadata{ClusterID: l.subject}}
	case "key":
		return &fsm.SigningKey{Key: &model.SigningKey{KeyID: l.subject, State: l.get("state", "active")}}
	case "delete-key":
		return &fsm.DeleteSigningKey{KeyID: l.subject}
	}
	panic("unknown command " + l.name)
}

func (l line) register(ns string) fsm.Body {
	job := testJob(l.subject, l.number("count", 1))
	job.Namespace, job.NodePool = ns, l.get("pool", "default")
	job.Priority = l.number("priority", job.Priority)
	if memory := l.number("memory", 0); memory > 0 {
		job.Region = model.DefaultRegion
		job.TaskGroups[0].Tasks[0].Resources = &model.Resources{CPU: l.number("cpu", 100), MemoryMB: memory}
	}
	job.TaskGroups[0].Tasks[0].Driver = l.get("driver", "mock")
	job.Type = l.get("type", model.JobTypeService)
	job.ParentID = l.get("parent", "")
	if n := l.number("parallel", 0); n > 0 {
		job.TaskGroups[0].Update = model.NewUpdateStrategy()
		job.TaskGroups[0].Update.MaxParallel, job.TaskGroups[0].Update.Canary = n, l.number("canaries", 0)
	}
	if l.get("stateful", "") != "" {
		job.TaskGroups[0].Stateful = &model.StatefulConfig{Ordered: true}
	}
	if l.get("periodic", "") != "" {
		job.Periodic = &model.PeriodicConfig{Enabled: true}
	}
	if cron := l.get("cron", ""); cron != "" {
		job.Periodic = &model.PeriodicConfig{Enabled: true, Spec: cron, ProhibitOverlap: l.get("overlap", "") == "no"}
	}
	if payload := l.get("param", ""); payload != "" {
		job.ParameterizedJob = &model.ParameterizedJobConfig{Payload: payload, MetaRequired: l.list("required"), MetaOptional: l.list("optional")}
	}
	if max := l.number("max", 0); max > 0 {
		job.TaskGroups[0].Scaling = &model.ScalingPolicy{Enabled: true, Min: 1, Max: int64(max)}
	}
	c := &fsm.RegisterJob{Job: job, Eval: l.eval(ns, l.subject)}
	if l.get("enforce", "") != "" {
		c.EnforceIndex, c.JobModifyIndex = true, uint64(l.number("enforce", 0))
	}
	if text := l.get("text", ""); text != "" {
		c.Submission = &model.JobSubmission{Source: text}
	}
	return c
}

// namespace: quota=name, pools=default pool, allowed=, denied=, drivers=, max-priority=.
func (l line) namespace() fsm.Body {
	n := &tenancy.Namespace{Name: l.subject, Quota: l.get("quota", "")}
	_, allowed := l.set["allowed"]
	if l.get("pools", "") != "" || allowed || l.get("denied", "") != "" {
		n.NodePoolConfiguration = &tenancy.NodePoolRules{Default: l.get("pools", ""), Allowed: l.list("allowed"), Denied: l.list("denied")}
		if allowed && n.NodePoolConfiguration.Allowed == nil {
			n.NodePoolConfiguration.Allowed = []string{}
		}
	}
	if list := l.list("drivers"); list != nil {
		n.Capabilities = &tenancy.Capabilities{EnabledTaskDrivers: list}
	}
	if most := l.number("max-priority", 0); most > 0 {
		n.SchedulerConfiguration = &tenancy.SchedulingRules{MaxPriority: most}
	}
	return &fsm.UpsertNamespace{Namespace: n}
}

// launch: subject is the parent; meta=key:value,...
func (l line) launch(ns string) fsm.Body {
	if l.name == "launch" {
		slot := int64(l.number("slot", 0))
		return &fsm.LaunchJob{
			Namespace: ns, ParentID: l.subject, ID: l.get("child", launch.PeriodicID(l.subject, slot)),
			Schedule: uint64(l.number("schedule", 0)), Slot: slot, Eval: l.eval(ns, ""),
		}
	}
	c := &fsm.DispatchJob{
		Namespace: ns, ParentID: l.subject, ID: l.get("child", ""), Payload: []byte(l.get("payload", "")),
		Token: l.get("token", ""), Priority: l.number("priority", 0), Eval: l.eval(ns, ""), Meta: map[string]string{},
	}
	for _, pair := range l.list("meta") {
		k, v, _ := strings.Cut(pair, ":")
		c.Meta[k] = v
	}
	return c
}

// deployment: subject is a deployment, or the job of revert, tag and untag.
func (l line) deployment(ns string) fsm.Body {
	switch l.name {
	case "deployment":
		return &fsm.DeploymentStatus{ID: l.subject, Status: l.get("to", ""), Description: l.get("words", ""), IfIndex: uint64(l.number("if", 0)), RevertID: l.get("revert", ""), Eval: l.eval(ns, "")}
	case "promote":
		return &fsm.PromoteDeployment{ID: l.subject, Groups: l.list("groups"), Eval: l.eval(ns, "")}
	case "health":
		return &fsm.AllocHealth{ID: l.subject, Healthy: l.list("healthy"), Unhealthy: l.list("unhealthy"), Eval: l.eval(ns, "")}
	case "revert":
		return &fsm.RevertJob{
			Namespace: ns, ID: l.subject, Version: uint64(l.number("version", 0)), EnforcePrior: l.get("if", "") != "", IfVersion: uint64(l.number("if", 0)),
			DeploymentID: l.get("deployment", "r"), Eval: l.eval(ns, l.subject),
		}
	}
	return &fsm.TagVersion{Namespace: ns, ID: l.subject, Version: uint64(l.number("version", 0)), Name: l.get("name", ""), Remove: l.name == "untag"}
}

// plan: subject is the job; place=id@node[<previous], stop=id[:client status],
// update=id, canary=id@node, and eval as everywhere; deployment=id[:canaries].
func (l line) plan(ns string) *model.Plan {
	p := &model.Plan{EvalID: "none", Namespace: ns, JobID: l.subject, JobVersion: uint64(l.number("version", 0)), Eval: l.eval(ns, l.subject)}
	if p.Eval != nil {
		p.EvalID = p.Eval.ID
	}
	g := &model.PlanGroup{TaskGroup: "web", Resources: &model.AllocatedResources{}, Metrics: &model.AllocationMetric{}}
	for i, text := range l.list("place") {
		id, where, _ := strings.Cut(text, "@")
		node, previous, _ := strings.Cut(where, "<")
		g.Placements = append(g.Placements, &model.Placement{ID: id, NodeID: node, Index: i, PreviousAllocation: previous})
	}
	for _, id := range l.list("update") {
		g.InPlace = append(g.InPlace, &model.InPlaceUpdate{ID: id})
	}
	p.Groups = []*model.PlanGroup{g}
	for _, text := range l.list("stop") {
		id, status, _ := strings.Cut(text, ":")
		p.Stops = append(p.Stops, &model.PlanStop{ID: id, Description: "not needed", ClientStatus: status})
	}
	for _, text := range l.list("preempt") {
		victim, by, _ := strings.Cut(text, ">")
		p.Stops = append(p.Stops, &model.PlanStop{ID: victim, Description: "preempted", PreemptedBy: by})
		for _, placement := range g.Placements {
			if placement.ID == by {
				placement.Preempts = append(placement.Preempts, victim)
			}
		}
	}
	if id := l.get("blocked", ""); id != "" {
		p.NewEvals = []*model.Evaluation{{ID: id, Namespace: ns, JobID: l.subject, Status: model.EvalBlocked}}
	}
	for i, text := range l.list("canary") {
		id, node, _ := strings.Cut(text, "@")
		g.Placements = append(g.Placements, &model.Placement{ID: id, NodeID: node, Index: i, Canary: true})
	}
	if id, canaries, _ := strings.Cut(l.get("deployment", ""), ":"); id != "" {
		s := &model.DeploymentState{DesiredTotal: l.number("total", 2), ProgressDeadline: time.Minute, AutoRevert: l.get("auto", "") == "revert"}
		s.DesiredCanaries, _ = strconv.Atoi(canaries)
		p.Deployment = &model.Deployment{
			ID: id, Namespace: ns, JobID: l.subject, JobVersion: p.JobVersion, JobCreateIndex: uint64(l.number("created", 0)), Status: model.DeploymentRunning,
			TaskGroups: map[string]*model.DeploymentState{"web": s},
		}
	}
	return p
}

func (l line) collect(ns string) fsm.Body {
	c := &fsm.Collect{Evals: l.list("evals"), Allocs: l.list("allocs"), Nodes: l.list("nodes"), Deployments: l.list("deployments")}
	for _, id := range l.list("jobs") {
		c.Jobs = append(c.Jobs, model.NamespacedID{Namespace: ns, ID: id})
	}
	return c
}

func (s *scenario) show(what string) string {
	var b strings.Builder
	snap := s.snap()
	switch what {
	case "jobs":
		for j := range snap.Jobs(state.Range{}) {
			fmt.Fprintf(&b, "%s/%s v%d %s stop=%v count=%d create=%d modify=%d spec=%d\n", j.Namespace, j.ID, j.Version, j.Status, j.Stop, j.TaskGroups[0].Count, j.CreateIndex, j.ModifyIndex, j.JobModifyIndex)
		}
	case "children":
		for j := range snap.Jobs(state.Range{}) {
			if j.ParentID != "" {
				fmt.Fprintf(&b, "%s of %s v%d %s payload=%q meta=%v dispatched=%v periodic=%v priority=%d create=%d\n",
					j.ID, j.ParentID, j.Version, j.Status, j.Payload, j.Meta, j.Dispatched, j.Periodic != nil, j.Priority, j.CreateIndex)
			}
		}
	case "launches":
		for j := range snap.Jobs(state.Range{}) {
			if row := snap.Launches(j.Namespace, j.ID); row != nil {
				fmt.Fprintf(&b, "%s schedule=%d slot=%d skipped=%d modify=%d %q\n", j.ID, row.Schedule, row.Slot, row.Skipped, row.ModifyIndex, j.StatusDescription)
			}
		}
	case "versions":
		for j := range snap.Jobs(state.Range{}) {
			for v := range snap.JobVersions(j.Namespace, j.ID) {
				text := "-"
				if sub := snap.Submission(v.Namespace, v.ID, v.Version); sub != nil {
					text = sub.Text.Source
				}
				fmt.Fprintf(&b, "%s/%s v%d count=%d stop=%v stable=%v text=%s%s\n", v.Namespace, v.ID, v.Version, v.TaskGroups[0].Count, v.Stop, v.Stable, text, tagged(v))
			}
		}
	case "scaling":
		s.scaling(&b)
	case "summaries":
		for j := range snap.Jobs(state.Range{}) {
			sum := snap.JobSummary(j.Namespace, j.ID)
			for _, g := range slices.Sorted(maps.Keys(sum.Summary)) {
				fmt.Fprintf(&b, "%s %s %+v children %+v\n", j.ID, g, sum.Summary[g], *sum.Children)
			}
		}
	case "nodes":
		for n := range snap.Nodes(state.Range{}) {
			fmt.Fprintf(&b, "%s %s %s pool=%s modify=%d events:", n.ID, n.Status, n.SchedulingEligibility, n.NodePool, n.ModifyIndex)
			for _, e := range n.Events {
				fmt.Fprintf(&b, " %q", e.Message)
			}
			b.WriteByte('\n')
		}
	case "evals":
		for e := range snap.Evals(state.Range{}) {
			fmt.Fprintf(&b, "%s %s job=%s create=%d modify=%d %q\n", e.ID, e.Status, e.JobID, e.CreateIndex, e.ModifyIndex, e.StatusDescription)
		}
	case "allocs":
		for a := range snap.Allocs(state.Range{}) {
			fmt.Fprintf(&b, "%s %s on %s (%s) v%d %s/%s prev=%q next=%q create=%d modify=%d allocmodify=%d\n", a.ID, a.Name, a.NodeID, a.NodeName, a.JobVersion,
				a.DesiredStatus, a.ClientStatus, a.PreviousAllocation, a.NextAllocation, a.CreateIndex, a.ModifyIndex, a.AllocModifyIndex)
		}
	case "preemptions":
		for a := range snap.Allocs(state.Range{}) {
			fmt.Fprintf(&b, "%s %s/%s preempts=%v by=%q\n", a.ID, a.DesiredStatus, a.ClientStatus, a.PreemptedAllocations, a.PreemptedByAllocation)
		}
	case "deployments":
		for d := range snap.Deployments(state.Range{}) {
			fmt.Fprintf(&b, "%s %s v%d %q modify=%d health=%d\n", d.ID, d.Status, d.JobVersion, d.StatusDescription, d.ModifyIndex, d.HealthIndex)
			for g, s := range d.TaskGroups {
				fmt.Fprintf(&b, "  %s placed=%d live=%d healthy=%d unhealthy=%d of %d canaries=%v of %d promoted=%v\n", g, s.PlacedAllocs, s.LiveAllocs, s.HealthyAllocs, s.UnhealthyAllocs,
					s.DesiredTotal, s.PlacedCanaries, s.DesiredCanaries, s.Promoted)
			}
		}
		for a := range snap.Allocs(state.Range{}) {
			if s := a.DeploymentStatus; s != nil {
				said := "-"
				if s.Healthy != nil {
					said = strconv.FormatBool(*s.Healthy)
				}
				fmt.Fprintf(&b, "%s v%d in %s healthy=%s canary=%v modify=%d\n", a.ID, a.JobVersion, a.DeploymentID, said, s.Canary, s.ModifyIndex)
			}
		}
	case "reports":
		for a := range snap.Allocs(state.Range{}) {
			fmt.Fprintf(&b, "%s %s %q order=%d modify=%d\n", a.ID, a.ClientStatus, a.ClientDescription, a.ReportOrder, a.ModifyIndex)
		}
	case "config":
		fmt.Fprintf(&b, "scheduler %s modify=%d\nautopilot logs=%d modify=%d\n", snap.SchedulerConfig().SchedulerAlgorithm, snap.SchedulerConfig().ModifyIndex,
			snap.AutopilotConfig().MaxTrailingLogs, snap.AutopilotConfig().ModifyIndex)
		if c := snap.ClusterMetadata(); c != nil {
			fmt.Fprintf(&b, "cluster %s\n", c.ClusterID)
		}
		for k := range snap.SigningKeys() {
			fmt.Fprintf(&b, "key %s %s\n", k.KeyID, k.State)
		}
		if f := snap.Feature(); f != nil {
			fmt.Fprintf(&b, "feature level %d at=%d create=%d modify=%d\n", f.Level, f.ActivatedAt, f.CreateIndex, f.ModifyIndex)
		}
		for n := range snap.Namespaces(state.Range{}) {
			fmt.Fprintf(&b, "namespace %s\n", n.Name)
		}
		for p := range snap.NodePools(state.Range{}) {
			fmt.Fprintf(&b, "pool %s\n", p.Name)
		}
	default:
		panic("show " + what)
	}
	return b.String()
}

// tagged is the name of a version, if it has one.
func tagged(v *model.Job) string {
	if v.VersionTag == nil {
		return ""
	}
	return " tag=" + v.VersionTag.Name
}

// scaling prints the events of every job.
func (s *scenario) scaling(b *strings.Builder) {
	for j := range s.snap().Jobs(state.Range{}) {
		row := s.snap().ScalingEvents(j.Namespace, j.ID)
		if row == nil {
			continue
		}
		for _, g := range slices.Sorted(maps.Keys(row.Groups)) {
			for _, e := range row.Groups[g] {
				count, eval := "-", "-"
				if e.Count != nil {
					count = strconv.FormatInt(*e.Count, 10)
				}
				if e.EvalID != nil {
					eval = *e.EvalID
				}
				fmt.Fprintf(b, "%s.%s %d -> %s error=%v eval=%s %q %s create=%d\n", j.ID, g, e.PreviousCount, count, e.Error, eval, e.Message, e.Meta, e.CreateIndex)
			}
		}
	}
}

// scale is the command with an event when there is something to record.
func (l line) scale(ns string) fsm.Body {
	c := &fsm.ScaleJob{Namespace: ns, ID: l.subject, Group: l.get("group", "web"), Count: l.number("count", 0), Eval: l.eval(ns, l.subject)}
	c.EventOnly = l.get("count", "") == ""
	if m := l.get("message", ""); m != "" {
		c.Event = &scaling.Event{Message: m, Error: l.get("error", "") != "", Meta: scaling.RawJSON(l.get("meta", ""))}
	}
	return c
}

func (s *scenario) changes() string {
	changes, err := s.sub.Poll()
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, c := range changes {
		what := "changed"
		switch {
		case c.Before == nil:
			what = "created"
		case c.After == nil:
			what = "deleted"
		}
		fmt.Fprintf(&b, "%d %s %s %s\n", c.Index, c.Table, c.Key, what)
	}
	return b.String()
}
