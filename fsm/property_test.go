package fsm_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/scaling"
	"github.com/steppe-project/steppe/model/tenancy"
)

// draw makes commands over few names, so that they meet.
type draw struct{ *rapid.T }

func (d draw) one(label string, n int) string {
	return fmt.Sprintf("%s%d", label, rapid.IntRange(1, n).Draw(d.T, label))
}

func (d draw) of(values ...string) string { return rapid.SampledFrom(values).Draw(d.T, "value") }

func (d draw) yes() bool { return rapid.Bool().Draw(d.T, "yes") }

func (d draw) count(n int) int { return rapid.IntRange(0, n).Draw(d.T, "count") }

func (d draw) node() string      { return d.one("node", 4) }
func (d draw) job() string       { return d.one("job", 3) }
func (d draw) alloc() string     { return d.one("alloc", 25) }
func (d draw) namespace() string { return d.of("default", "default", "default", "other") }
func (d draw) group() string     { return d.of("web", "db") }

func (d draw) eval(ns, job string) *model.Evaluation {
	if d.count(4) == 0 {
		return nil
	}
	e := &model.Evaluation{
		ID: d.one("eval", 12), Namespace: ns, JobID: job, Type: model.JobTypeService,
		Status: d.of(model.EvalPending, model.EvalBlocked, model.EvalComplete, model.EvalFailed, model.EvalCancelled),
	}
	if d.yes() {
		e.QueuedAllocations = map[string]int{"web": d.count(3), "db": d.count(3)}
	}
	if d.yes() {
		e.FailedTGAllocs = map[string]*model.AllocationMetric{"web": {NodesEvaluated: 3}}
	}
	return e
}

func (d draw) evals(ns, job string) []*model.Evaluation {
	if e := d.eval(ns, job); e != nil {
		return []*model.Evaluation{e}
	}
	return nil
}

func (d draw) spec(ns string) *model.Job {
	j := testJob(d.job(), d.count(5))
	j.Namespace = ns
	j.Type = d.of(model.JobTypeService, model.JobTypeBatch, model.JobTypeSystem)
	j.Region = model.DefaultRegion
	j.TaskGroups[0].Tasks[0].Resources = &model.Resources{MemoryMB: 10 * d.count(9)}
	j.Meta = map[string]string{"a": d.of("1", "2"), "b": "x", "c": "y"}
	if d.yes() {
		db := *j.TaskGroups[0]
		db.Name = "db"
		j.TaskGroups = append(j.TaskGroups, &db)
	}
	if d.yes() {
		j.TaskGroups[0].Update = model.NewUpdateStrategy()
	}
	switch d.count(6) {
	case 0:
		j.Periodic = &model.PeriodicConfig{Enabled: true, Spec: "@daily"}
	case 1:
		j.ParentID = d.job()
	case 2:
		j.ParameterizedJob = &model.ParameterizedJobConfig{MetaOptional: []string{"k"}}
	}
	return j
}

// launch draws a launch; its children have few ids, and tokens.
func (d draw) launch(ns, job string) fsm.Body {
	eval := d.eval(ns, "")
	if d.yes() {
		return &fsm.DispatchJob{
			Namespace: ns, ParentID: job, ID: job + "/dispatch-" + d.of("1", "2", "3"), Payload: []byte("p"), Token: d.of("", "t", "u"),
			Meta: map[string]string{d.of("k", "k", "unknown"): "v"}, Priority: d.count(1) * 70, Eval: eval,
		}
	}
	slot := int64(1_700_000_000 + d.count(60))
	return &fsm.LaunchJob{Namespace: ns, ParentID: job, ID: launch.PeriodicID(job, slot), Slot: slot, Schedule: uint64(d.count(30)), Eval: eval}
}

func (d draw) plan() *model.Plan {
	ns, job := d.namespace(), d.job()
	p := &model.Plan{EvalID: d.one("eval", 12), Namespace: ns, JobID: job, JobVersion: uint64(d.count(3)), Eval: d.eval(ns, job), NewEvals: d.evals(ns, job)}
	shared := &model.AllocatedResources{Shared: model.AllocatedSharedResources{DiskMB: 10}}
	for range d.count(2) {
		g := &model.PlanGroup{TaskGroup: d.group(), Resources: shared, Metrics: &model.AllocationMetric{NodesEvaluated: 1}}
		for range d.count(4) {
			pl := &model.Placement{ID: d.alloc(), NodeID: d.node(), Index: d.count(9), Canary: d.count(9) == 0}
			if d.count(3) == 0 {
				pl.PreviousAllocation = d.alloc()
			}
			if d.count(5) == 0 {
				victim := d.alloc()
				pl.Preempts = []string{victim}
				p.Stops = append(p.Stops, &model.PlanStop{ID: victim, Description: "preempted", PreemptedBy: pl.ID})
			}
			if d.count(3) == 0 {
				pl.Resources = &model.AllocatedResources{Shared: model.AllocatedSharedResources{Ports: []model.PortMapping{{Label: "http", Value: 20000}}}}
			}
			g.Placements = append(g.Placements, pl)
		}
		for range d.count(2) {
			g.InPlace = append(g.InPlace, &model.InPlaceUpdate{ID: d.alloc()})
		}
		p.Groups = append(p.Groups, g)
	}
	for range d.count(3) {
		p.Stops = append(p.Stops, &model.PlanStop{
			ID: d.alloc(), Description: "stopped", ClientStatus: d.of("", "", model.ClientLost, model.ClientUnknown),
			NextAllocation: d.of("", d.alloc()), KeepDesired: d.count(3) == 0, FollowupEvalID: d.of("", "eval1"),
		})
	}
	if d.count(4) == 0 {
		p.Deployment = &model.Deployment{
			ID: d.one("deploy", 3), Namespace: ns, JobID: job, JobVersion: p.JobVersion, JobCreateIndex: uint64(9 + d.count(6)), Status: model.DeploymentRunning,
			TaskGroups: map[string]*model.DeploymentState{"web": {DesiredTotal: 2, DesiredCanaries: d.count(1), AutoRevert: d.yes(), ProgressDeadline: time.Minute}},
		}
		for _, g := range p.Groups {
			g.OfPrevious = d.count(4) == 0
		}
	}
	return p
}

func (d draw) updates() *fsm.UpdateAllocs {
	c := &fsm.UpdateAllocs{NodeID: d.of("", "", d.node())}
	for range d.count(4) {
		up := &model.AllocUpdate{ID: d.alloc(), Order: uint64(d.count(9)), ClientStatus: d.of(
			model.ClientPending, model.ClientRunning, model.ClientRunning, model.ClientComplete, model.ClientFailed, model.ClientLost, model.ClientUnknown, "odd")}
		if d.yes() {
			up.TaskStates = map[string]*model.TaskState{
				"app": {State: model.TaskRunning, Events: []*model.TaskEvent{{Type: model.EventStarted, Time: 5, Details: map[string]string{"x": "1", "y": "2"}}}},
				"log": {State: model.TaskDead, Failed: true},
			}
		}
		if healthy := d.yes(); d.yes() {
			up.DeploymentStatus = &model.AllocDeploymentStatus{Healthy: &healthy, ModifyIndex: uint64(d.count(60))}
		}
		c.Updates = append(c.Updates, up)
	}
	c.Evals = d.evals(d.namespace(), d.job())
	return c
}

func (d draw) collect() *fsm.Collect {
	c := &fsm.Collect{}
	for range d.count(4) {
		c.Evals = append(c.Evals, d.one("eval", 12))
		c.Allocs = append(c.Allocs, d.alloc())
	}
	if d.yes() {
		c.Jobs = []model.NamespacedID{{Namespace: d.namespace(), ID: d.job()}}
		c.Nodes = []string{d.node()}
		c.Deployments = []string{d.one("deploy", 3)}
	}
	return c
}

// body draws one command.
func (d draw) body() fsm.Body {
	ns, job := d.namespace(), d.job()
	count := d.count(4)
	switch d.count(28) {
	case 0, 1:
		return &fsm.RegisterNode{Node: &model.Node{ID: d.node(), SecretID: d.of("s", "s", "s", "t"), NodePool: d.of("", "default", "gpu"), Meta: map[string]string{"a": d.of("1", "2"), "b": "2"}}}
	case 2:
		return &fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: d.node(), Status: d.of(model.NodeStatusReady, model.NodeStatusDown), Reason: d.of("", "why")}}, Evals: d.evals(ns, job)}
	case 3:
		return &fsm.NodeEligibility{NodeID: d.node(), Eligibility: d.of(model.NodeEligible, model.NodeIneligible, "odd")}
	case 4:
		if count > 0 {
			return &fsm.NodeEvents{Events: []fsm.NodeEventOf{{NodeID: d.node(), Event: &model.NodeEvent{Message: "m", Details: map[string]string{"a": "1", "b": "2"}}}}}
		}
		return &fsm.DeregisterNodes{NodeIDs: []string{d.node()}}
	case 5, 6, 7:
		return &fsm.RegisterJob{Job: d.spec(ns), EnforceIndex: count == 0, JobModifyIndex: uint64(d.count(3)), Eval: d.eval(ns, job), Submission: &model.JobSubmission{Source: "x", VariableFlags: map[string]string{"a": "1", "b": "2"}}}
	case 8:
		return &fsm.DeregisterJob{Namespace: ns, ID: job, Purge: count == 0, Eval: d.eval(ns, job)}
	case 9:
		return &fsm.ScaleJob{
			Namespace: ns, ID: job, Group: d.group(), Count: count, EventOnly: d.yes(), Eval: d.eval(ns, job),
			Event: &scaling.Event{Message: "m", Error: d.yes(), Meta: scaling.RawJSON(`{"b":1,"a":2}`)},
		}
	case 10:
		return &fsm.JobStability{Namespace: ns, ID: job, Version: uint64(count), Stable: d.yes()}
	case 11:
		return &fsm.UpsertEvals{Evals: d.evals(ns, job)}
	case 12:
		return &fsm.DeleteEvals{IDs: []string{d.one("eval", 12)}}
	case 13, 14, 15, 16:
		return &fsm.ApplyPlan{Plan: d.plan()}
	case 17, 18:
		return d.updates()
	case 19:
		yes := d.yes()
		return &fsm.TransitionAllocs{Transitions: []fsm.AllocTransition{{ID: d.alloc(), Transition: model.DesiredTransition{Migrate: &yes}}}, Evals: d.evals(ns, job)}
	case 20:
		return d.config()
	case 21, 22:
		return d.launch(ns, job)
	case 23, 24, 25, 26:
		return d.deployment(ns, job)
	}
	return d.collect()
}

// deployment draws a write of a deployment, or of a job's versions.
func (d draw) deployment(ns, job string) fsm.Body {
	id := d.one("deploy", 3)
	switch d.count(5) {
	case 0, 1:
		return &fsm.DeploymentStatus{ID: id, Status: d.of("failed", "paused", "running", "successful", "cancelled", "odd"), RevertID: d.one("deploy", 3), Eval: d.eval(ns, job)}
	case 2:
		return &fsm.PromoteDeployment{ID: id, Eval: d.eval(ns, job)}
	case 3:
		return &fsm.AllocHealth{ID: id, Healthy: []string{d.alloc()}, Eval: d.eval(ns, job)}
	case 4:
		return &fsm.RevertJob{Namespace: ns, ID: job, Version: uint64(d.count(3)), DeploymentID: id, Eval: d.eval(ns, job)}
	}
	return &fsm.TagVersion{Namespace: ns, ID: job, Version: uint64(d.count(3)), Name: d.of("a", "b"), Remove: d.yes()}
}

func (d draw) config() fsm.Body {
	switch d.count(12) {
	case 9:
		return &fsm.UpsertQuota{Quota: &tenancy.Quota{Name: d.of("q", "r"), Limits: []*tenancy.Limit{{
			Region: model.DefaultRegion, RegionLimit: &tenancy.Resources{Count: d.count(12) - 1, MemoryMB: 100 * d.count(9)},
		}}}}
	case 10:
		return &fsm.DeleteQuota{Name: d.of("q", "r")}
	case 11, 12:
		n := &tenancy.Namespace{Name: d.of("other", "other", "default"), Quota: d.of("", "q", "r")}
		if d.yes() {
			n.NodePoolConfiguration = &tenancy.NodePoolRules{Default: d.of("", "gpu"), Denied: []string{d.of("x", "g*")}}
			n.SchedulerConfiguration = &tenancy.SchedulingRules{MaxPriority: d.count(1) * 60}
		}
		return &fsm.UpsertNamespace{Namespace: n}
	case 8:
		return &fsm.FeatureLevel{Level: feature.Level(d.count(int(feature.Newest)))}
	case 0:
		return &fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{SchedulerAlgorithm: d.of("binpack", "spread")}, CAS: d.yes(), Index: 1}
	case 1:
		return &fsm.AutopilotConfig{Config: &model.AutopilotConfiguration{MaxTrailingLogs: 7}}
	case 2:
		return &fsm.ClusterMetadata{Metadata: &model.ClusterMetadata{ClusterID: d.one("cluster", 2)}}
	case 3:
		return &fsm.SigningKey{Key: &model.SigningKey{KeyID: d.one("key", 3), State: d.of("active", "inactive")}}
	case 4:
		return &fsm.DeleteSigningKey{KeyID: d.one("key", 3)}
	case 5:
		return &fsm.UpsertNodePool{Pool: &model.NodePool{Name: d.of("gpu", "all", "x"), Meta: map[string]string{"a": "1", "b": "2"}}}
	case 6:
		return &fsm.DeleteNodePool{Name: d.of("gpu", "x")}
	case 7:
		return &fsm.DeleteNamespace{Name: d.of("other", "default")}
	}
	return &fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "other"}}
}

func (d draw) entry() []fsm.Command {
	cmds := make([]fsm.Command, 0, 3)
	for range 1 + d.count(2) {
		c, err := fsm.NewCommand(d.body())
		if err != nil {
			d.Fatal(err)
		}
		if d.count(3) == 0 {
			c.RequestID = d.one("request", 5)
		}
		cmds = append(cmds, c)
	}
	return cmds
}

// TestMachine checks, over random logs: servers that apply the same log agree,
// also one that restored a snapshot on the way (safety); observed status only
// moves forward; derived rows are exact; indexes hold the same rows; the change
// feed reconstructs the state.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := newMachine(t), newMachine(t)
		a.must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "other"}})
		b.must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "other"}})
		if rapid.Bool().Draw(rt, "newest level") {
			a.must(&fsm.FeatureLevel{Level: feature.Newest})
			b.must(&fsm.FeatureLevel{Level: feature.Newest})
		}
		snap, sub := a.Store().Subscribe()
		rows := rowsOf(snap)
		for i := range rapid.IntRange(1, 40).Draw(rt, "entries") {
			cmds := draw{rt}.entry()
			outA, outB := a.applyCommands(cmds...), b.applyCommands(cmds...)
			for j := range outA {
				if fmt.Sprint(outA[j].Err) != fmt.Sprint(outB[j].Err) || fmt.Sprintf("%+v", outA[j].Value) != fmt.Sprintf("%+v", outB[j].Value) {
					rt.Fatalf("outcomes differ: %+v, %+v", outA[j], outB[j])
				}
			}
			if i%7 == 6 {
				b = b.restored()
			}
			if a.snap().Hash() != b.snap().Hash() {
				rt.Fatalf("states differ after entry %d (%d)", i, cmds[0].Kind)
			}
			replay(rt, sub, rows)
			checkState(rt, a.snap())
		}
		if !maps.Equal(rows, rowsOf(a.snap())) {
			rt.Fatalf("the change feed does not add up to the state")
		}
	})
}

// row names a row of any table.
type row struct {
	table state.Table
	key   string
}

// rowsOf collects the rows that have a list.
func rowsOf(s *state.Snapshot) map[row]any {
	rows := map[row]any{}
	for _, n := range slices.Collect(s.Namespaces(state.Range{})) {
		rows[row{state.TableNamespaces, n.Name}] = n
	}
	for q := range s.Quotas(state.Range{}) {
		rows[row{state.TableQuotas, q.Name}] = q
	}
	for p := range s.NodePools(state.Range{}) {
		rows[row{state.TableNodePools, p.Name}] = p
	}
	for n := range s.Nodes(state.Range{}) {
		rows[row{state.TableNodes, n.ID}] = n
	}
	for j := range s.Jobs(state.Range{}) {
		rows[row{state.TableJobs, state.JobKey(j.Namespace, j.ID)}] = j
		rows[row{state.TableJobSummary, state.JobKey(j.Namespace, j.ID)}] = s.JobSummary(j.Namespace, j.ID)
		if e := s.ScalingEvents(j.Namespace, j.ID); e != nil {
			rows[row{state.TableScaling, state.JobKey(j.Namespace, j.ID)}] = e
		}
		if l := s.Launches(j.Namespace, j.ID); l != nil {
			rows[row{state.TableLaunches, state.JobKey(j.Namespace, j.ID)}] = l
		}
		for v := range s.JobVersions(j.Namespace, j.ID) {
			rows[row{state.TableJobVersions, fmt.Sprintf("%s/%s/%d", v.Namespace, v.ID, v.Version)}] = v
		}
		for v := range s.Submissions(j.Namespace, j.ID) {
			rows[row{state.TableSubmissions, fmt.Sprintf("%s/%s/%d", v.Namespace, v.JobID, v.Version)}] = v
		}
	}
	for e := range s.Evals(state.Range{}) {
		rows[row{state.TableEvals, e.ID}] = e
	}
	for d := range s.Deployments(state.Range{}) {
		rows[row{state.TableDeployments, d.ID}] = d
	}
	for a := range s.Allocs(state.Range{}) {
		rows[row{state.TableAllocs, a.ID}] = a
	}
	for r := range s.Requests() {
		rows[row{state.TableRequests, r.ID}] = r
	}
	rows[row{state.TableConfig, state.KeyScheduler}] = s.SchedulerConfig()
	rows[row{state.TableConfig, state.KeyAutopilot}] = s.AutopilotConfig()
	if c := s.ClusterMetadata(); c != nil {
		rows[row{state.TableConfig, state.KeyCluster}] = c
	}
	if f := s.Feature(); f != nil {
		rows[row{state.TableConfig, state.KeyFeature}] = f
	}
	for k := range s.SigningKeys() {
		rows[row{state.TableConfig, state.KeySigningKey + k.KeyID}] = k
	}
	return rows
}

var steps = map[string]int{
	model.ClientPending: 0, model.ClientRunning: 1, model.ClientUnknown: 1,
	model.ClientComplete: 2, model.ClientFailed: 2, model.ClientLost: 2,
}

// replay applies the feed's changes to rows.
func replay(t *rapid.T, sub *state.Subscription, rows map[row]any) {
	changes, err := sub.Poll()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		k := row{c.Table, c.Key}
		if rows[k] != c.Before {
			t.Fatalf("%s %s: the row before is not the one that was there", c.Table, c.Key)
		}
		if c.After == nil {
			delete(rows, k)
		} else {
			rows[k] = c.After
		}
		before, _ := c.Before.(*model.Allocation)
		after, _ := c.After.(*model.Allocation)
		if before != nil && after != nil {
			from, to := steps[before.ClientStatus], steps[after.ClientStatus]
			if to < from || from == 2 && before.ClientStatus != after.ClientStatus {
				t.Fatalf("allocation %s went from %s to %s", c.Key, before.ClientStatus, after.ClientStatus)
			}
		}
		if e, _ := c.Before.(*model.Evaluation); e != nil && e.Terminal() && c.After != nil {
			t.Fatalf("evaluation %s changed after its end", c.Key)
		}
	}
}

// checkState recomputes what is derived, and compares the indexes.
// checkDeployments: what goes on counts what its allocations say, and of a job at most one
// goes on, of its newest version.
func checkDeployments(t *rapid.T, s *state.Snapshot) {
	active := map[string]string{}
	for d := range s.Deployments(state.Range{}) {
		if !deploy.Active(d) {
			continue
		}
		job := s.Job(d.Namespace, d.JobID)
		if key := state.JobKey(d.Namespace, d.JobID); active[key] != "" || !deploy.Of(d, job) || job.Stop {
			t.Fatalf("deployments %s and %s of job %s (%+v) go on", active[key], d.ID, key, job)
		} else {
			active[key] = d.ID
		}
		live, healthy := map[string]int{}, map[string]int{}
		for a := range s.AllocsByDeployment(d.ID) {
			if a.Terminal() {
				continue
			}
			live[a.TaskGroup]++
			if deploy.Healthy(a) {
				healthy[a.TaskGroup]++
			}
		}
		for name, g := range d.TaskGroups {
			if g.LiveAllocs != live[name] || g.HealthyAllocs != healthy[name] {
				t.Fatalf("deployment %s counts %d, %d healthy of group %s; there are %d, %d", d.ID, g.LiveAllocs, g.HealthyAllocs, name, live[name], healthy[name])
			}
		}
	}
}

func checkState(t *rapid.T, s *state.Snapshot) {
	allocs := slices.Collect(s.Allocs(state.Range{}))
	evals := slices.Collect(s.Evals(state.Range{}))
	for j := range s.Jobs(state.Range{}) {
		checkJob(t, s, j, allocs, evals)
	}
	if n := s.Count(state.TableJobSummary); n != s.Count(state.TableJobs) {
		t.Fatalf("%d summaries", n)
	}
	same := func(name string, got, want []string) {
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", name, got, want)
		}
	}
	for i := range 12 {
		node, eval, deployment := fmt.Sprint("node", i), fmt.Sprint("eval", i), fmt.Sprint("deploy", i)
		same(node, ids(slices.Collect(s.AllocsByNode(node))), pick(allocs, func(a *model.Allocation) bool { return a.NodeID == node }))
		same(eval, ids(slices.Collect(s.AllocsByEval(eval))), pick(allocs, func(a *model.Allocation) bool { return a.EvalID == eval }))
		same(deployment, ids(slices.Collect(s.AllocsByDeployment(deployment))), pick(allocs, func(a *model.Allocation) bool { return a.DeploymentID == deployment }))
	}
	if s.Count(state.TableAllocs) != len(allocs) || s.Count(state.TableEvals) != len(evals) {
		t.Fatalf("an index has lost rows")
	}
	for _, a := range allocs {
		if s.Alloc(a.ID) != a || a.Job == nil || a.Job.ID != a.JobID || a.Job.Version != a.JobVersion {
			t.Fatalf("allocation %s is not what its id leads to, or has the wrong job", a.ID)
		}
	}
	checkDeployments(t, s)
	total := 0
	for _, status := range []string{model.EvalBlocked, model.EvalPending, model.EvalComplete, model.EvalFailed, model.EvalCancelled} {
		for e := range s.EvalsByStatus(status) {
			if total++; e.Status != status || s.Eval(e.ID) != e {
				t.Fatalf("evaluation %s is not in its place", e.ID)
			}
		}
	}
	if total != len(evals) {
		t.Fatalf("%d evaluations by status", total)
	}
}

func ids(allocs []*model.Allocation) []string {
	var out []string
	for _, a := range allocs {
		out = append(out, a.ID)
	}
	return out
}

func pick(allocs []*model.Allocation, keep func(*model.Allocation) bool) []string {
	var out []string
	for _, a := range allocs {
		if keep(a) {
			out = append(out, a.ID)
		}
	}
	return out
}

func checkJob(t *rapid.T, s *state.Snapshot, j *model.Job, allocs []*model.Allocation, evals []*model.Evaluation) {
	groups := map[string]model.TaskGroupSummary{}
	for _, g := range j.TaskGroups {
		groups[g.Name] = model.TaskGroupSummary{}
	}
	live, open, seen := false, false, false
	var mine []string
	for _, a := range allocs {
		if a.Namespace != j.Namespace || a.JobID != j.ID {
			continue
		}
		mine = append(mine, a.ID)
		seen, live = true, live || !a.Terminal()
		g := groups[a.TaskGroup]
		*map[string]*int{"pending": &g.Starting, "running": &g.Running, "complete": &g.Complete, "failed": &g.Failed, "lost": &g.Lost, "unknown": &g.Unknown}[a.ClientStatus]++
		groups[a.TaskGroup] = g
	}
	slices.Sort(mine)
	if got := ids(slices.Collect(s.AllocsByJob(j.Namespace, j.ID))); !slices.Equal(got, mine) {
		t.Fatalf("allocations of %s: %v, want %v", j.ID, got, mine)
	}
	for _, e := range evals {
		if e.Namespace == j.Namespace && e.JobID == j.ID {
			seen, open = true, open || !e.Terminal()
		}
	}
	got := s.JobSummary(j.Namespace, j.ID)
	for name, g := range got.Summary {
		g.Queued = 0
		if groups[name] != g {
			t.Fatalf("summary of %s.%s: %+v, want %+v", j.ID, name, g, groups[name])
		}
		delete(groups, name)
	}
	if len(groups) > 0 {
		t.Fatalf("summary of %s lacks %v", j.ID, groups)
	}
	children := model.JobChildrenSummary{}
	for c := range s.Jobs(state.Range{Namespace: j.Namespace}) {
		if c.ParentID == j.ID {
			*map[string]*int64{"pending": &children.Pending, "running": &children.Running, "dead": &children.Dead}[c.Status]++
		}
	}
	if *got.Children != children {
		t.Fatalf("children of %s: %+v, want %+v", j.ID, *got.Children, children)
	}
	if row := s.Launches(j.Namespace, j.ID); (row != nil) != (j.Periodic != nil) {
		t.Fatalf("the launches of %s: %+v", j.ID, row)
	}
	if token := j.DispatchIdempotencyToken; token != "" && s.JobByToken(j.Namespace, j.ParentID, token) != j {
		t.Fatalf("token %s of %s is another's too, or not found", token, j.ID)
	}
	want := []string{j.Status} // pending and dead without a trace keep what was
	switch {
	case launch.IsTemplate(j) && !j.Stop, live:
		want = []string{model.JobStatusRunning}
	case open:
		want = []string{model.JobStatusPending}
	case j.Stop:
		want = []string{model.JobStatusDead}
	case j.Type == model.JobTypeSystem:
		want = []string{model.JobStatusRunning}
	case seen:
		want = []string{model.JobStatusDead}
	}
	if !slices.Contains(want, j.Status) || j.Status == "" {
		t.Fatalf("job %s is %s, want %v", j.ID, j.Status, want)
	}
	checkVersions(t, s, j)
}

func checkVersions(t *rapid.T, s *state.Snapshot, j *model.Job) {
	versions := slices.Collect(s.JobVersions(j.Namespace, j.ID))
	if len(versions) == 0 || versions[0].Version != j.Version || versions[0].JobModifyIndex != j.JobModifyIndex {
		t.Fatalf("the newest version of %s is not the current one", j.ID)
	}
	if len(versions) > fsm.MaxJobVersions+1 { // and the newest stable one
		t.Fatalf("%d versions of %s", len(versions), j.ID)
	}
}
