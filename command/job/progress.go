package job

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/precedence"
)

// Bounds of patience: what goes on for ever is not waited for.
const (
	// patience is the longest delay of a replacement that is waited for; one that
	// is tried again later than that counts as failed for now.
	patience = 10 * time.Second
	// maxTries is how often the same instance may fail or be restarted while it
	// is followed.
	maxTries = 3
)

// view is what is known of a job at one moment.
type view struct {
	eval   *model.Evaluation   // that is followed
	job    *model.Job          // nil: purged
	evals  []*model.Evaluation // all of the job's
	allocs []*model.AllocListStub
	// restarts are those that a task had before it was followed.
	restarts map[string]uint64
	// deployment is the one of the version that is followed; nil for none.
	deployment *model.Deployment
}

// outcome is how far a job has come.
type outcome int

// Outcomes. All but waiting end the following.
const (
	waiting outcome = iota
	reached
	gone       // purged or stopped, nothing runs any more
	superseded // somebody registered another version
	refused    // the evaluation itself failed
	failing
	unplaced
	stalled // short of the goal, and nothing is under way
	undone  // the deployment failed
	ripe    // its canaries are healthy, and somebody has to promote them
)

// instance is one name of a group, or one node's instance of a system group.
type instance struct {
	*model.AllocListStub
	state string // as it is shown
	kind  kind
	next  time.Duration // of late: how long until it is tried again
}

type kind int

// What an instance is on its way to the goal.
const (
	starting kind = iota
	running
	done
	old    // runs an older version that is to be replaced
	failed // and will not be tried again
	late   // failed, and will be tried again later than one waits
	stopping
)

// progress is a view's meaning.
type progress struct {
	outcome   outcome
	desired   int
	instances []instance
	count     map[kind]int
	// fresh tells that an instance began while it was followed: it must show that
	// it stays.
	fresh bool
	// missing are the groups of which not all could be placed.
	missing    map[string]*model.AllocationMetric
	blocked    string // the evaluation that waits for room
	deployment *model.Deployment
}

// measure says how far a job has come.
func measure(v *view) *progress {
	p := &progress{count: map[kind]int{}, deployment: v.deployment}
	p.collect(v)
	for _, i := range p.instances {
		p.count[i.kind]++
		p.fresh = p.fresh || i.kind == running && i.CreateIndex >= v.eval.CreateIndex
	}
	p.missing, p.blocked = missing(v)
	p.outcome = p.deployed(p.judge(v))
	return p
}

// deployed is an outcome in the light of the deployment: as long as that goes on, the
// goal is not reached.
func (p *progress) deployed(out outcome) outcome {
	d := p.deployment
	switch {
	case d == nil || out == refused || out == gone:
		return out
	case d.Status == model.DeploymentFailed:
		return undone
	case !deploy.Active(d) || out == superseded || out == unplaced:
		return out
	case out == failing && !reverts(d):
		return out
	case p.ripe():
		return ripe
	}
	return waiting
}

// reverts tells whether something comes of a failure.
func reverts(d *model.Deployment) bool {
	for _, s := range d.TaskGroups {
		if s.AutoRevert {
			return true
		}
	}
	return false
}

// ripe tells whether the deployment waits for nothing but somebody who promotes it.
func (p *progress) ripe() bool {
	healthy := map[string]int{}
	for _, i := range p.instances {
		if s := i.DeploymentStatus; s != nil && s.Canary && s.Healthy != nil && *s.Healthy && i.kind == running {
			healthy[i.TaskGroup]++
		}
	}
	waits := deploy.Waiting(p.deployment)
	for _, g := range waits {
		if s := p.deployment.TaskGroups[g]; s.AutoPromote || healthy[g] < s.DesiredCanaries {
			return false
		}
	}
	return len(waits) > 0
}

// judge decides whether following ends.
func (p *progress) judge(v *view) outcome {
	n := p.count
	live := n[starting] + n[running] + n[old] + n[stopping]
	switch {
	case v.eval.Status == model.EvalFailed:
		return refused
	case v.job == nil || v.job.Stop:
		if live == 0 && v.eval.Terminal() {
			return gone
		}
		return waiting
	case v.eval.JobModifyIndex > 0 && v.job.JobModifyIndex > v.eval.JobModifyIndex:
		return superseded
	case undecided(v) || n[starting] > 0:
		return waiting
	case n[failed]+n[late] > 0:
		return failing
	case len(p.missing) > 0 && inTurn(v.job, p.missing):
		return waiting
	case len(p.missing) > 0:
		return unplaced
	case n[stopping] > 0:
		return waiting
	case batch(v.job):
		if n[done] >= p.desired {
			return reached
		}
		if n[running] > 0 {
			return waiting
		}
	case n[running] >= p.desired:
		return reached
	}
	if scheduled(v) {
		return waiting
	}
	if n[running]+n[old] >= p.desired && perNode(v.job) {
		return reached // nodes that take no new work keep what they run
	}
	return stalled
}

// inTurn tells whether all that is missing only waits for other groups of its job.
func inTurn(job *model.Job, missing map[string]*model.AllocationMetric) bool {
	for _, g := range job.TaskGroups {
		m := missing[g.Name]
		if m == nil {
			continue
		}
		other := func(d *depends.Dependency) bool { return !precedence.Own(job, d) }
		if len(m.Waits) == 0 || len(m.Remedies) > 0 || slices.ContainsFunc(precedence.Of(job, g), other) {
			return false
		}
	}
	return true
}

// scheduled tells whether the scheduler will look at the job again.
func scheduled(v *view) bool {
	for _, e := range v.evals {
		if !e.Terminal() {
			return true
		}
	}
	return false
}

func batch(j *model.Job) bool {
	return j.Type == model.JobTypeBatch || j.Type == model.JobTypeSysbatch
}

func perNode(j *model.Job) bool {
	return j.Type == model.JobTypeSystem || j.Type == model.JobTypeSysbatch
}

// undecided tells whether the scheduler has yet to look at something.
func undecided(v *view) bool {
	if !v.eval.Terminal() {
		return true
	}
	for _, e := range v.evals {
		if e.Status == model.EvalPending && delay(e) == 0 {
			return true
		}
	}
	return false
}

// delay is how long an evaluation was told to wait: both times are the servers'.
func delay(e *model.Evaluation) time.Duration {
	if e.WaitUntil.IsZero() {
		return 0
	}
	return max(e.WaitUntil.Sub(time.Unix(0, e.CreateTime)), 0)
}

// missing is what the scheduler's last decision could not place.
func missing(v *view) (map[string]*model.AllocationMetric, string) {
	last := v.eval
	for _, e := range v.evals {
		if e.Status == model.EvalComplete && e.ModifyIndex > last.ModifyIndex {
			last = e
		}
	}
	for _, e := range v.evals {
		if e.Status == model.EvalBlocked && len(e.FailedTGAllocs) > 0 && len(last.FailedTGAllocs) > 0 {
			return e.FailedTGAllocs, e.ID
		}
	}
	return last.FailedTGAllocs, ""
}

// collect finds the instances: the newest allocation of each name, and those
// that are being stopped.
func (p *progress) collect(v *view) {
	newest := map[string]*model.AllocListStub{}
	tries := map[string]int{}
	for _, a := range v.allocs {
		key := a.Name
		if v.job != nil && perNode(v.job) {
			key += "@" + a.NodeID
		}
		if a.DeploymentStatus != nil && a.DeploymentStatus.Canary {
			key += " canary"
		}
		if a.ClientStatus == model.ClientFailed && a.CreateIndex >= v.eval.CreateIndex {
			tries[key]++
		}
		if a.DesiredStatus != model.DesiredRun {
			if a.ClientStatus == model.ClientRunning || a.ClientStatus == model.ClientPending {
				p.instances = append(p.instances, instance{AllocListStub: a, state: a.ClientStatus + " (stopping)", kind: stopping})
			}
			continue
		}
		if n := newest[key]; n == nil || a.CreateIndex > n.CreateIndex {
			newest[key] = a
		}
	}
	for key, a := range newest {
		p.instances = append(p.instances, classify(v, a, tries[key]))
	}
	slices.SortFunc(p.instances, func(a, b instance) int {
		return cmp.Or(cmp.Compare(a.TaskGroup, b.TaskGroup), cmp.Compare(model.AllocIndex(a.Name), model.AllocIndex(b.Name)),
			cmp.Compare(a.NodeName, b.NodeName), cmp.Compare(a.CreateIndex, b.CreateIndex), cmp.Compare(a.ID, b.ID))
	})
	switch {
	case v.job == nil || v.job.Stop:
	case perNode(v.job):
		p.desired = len(newest)
	default:
		for _, g := range v.job.TaskGroups {
			p.desired += g.Count
		}
	}
}

// classify says what an allocation that should run is on its way to the goal.
func classify(v *view, a *model.AllocListStub, tries int) instance {
	i := instance{AllocListStub: a, state: a.ClientStatus}
	isBatch := v.job != nil && batch(v.job)
	switch a.ClientStatus {
	case model.ClientRunning:
		i.kind = running
		task, st := unready(v.job, a)
		switch {
		case v.job != nil && !isBatch && a.JobVersion < v.job.Version:
			i.kind, i.state = old, fmt.Sprintf("running version %d", a.JobVersion)
		case st != nil && st.Restarts >= v.restarts[a.ID+"/"+task]+maxTries:
			i.kind, i.state = failed, fmt.Sprintf("restarted %d times", st.Restarts)+trouble(a)
		case st != nil:
			i.kind, i.state = starting, "starting"+trouble(a)
			if !st.StartedAt.IsZero() {
				i.state = "restarting" + trouble(a)
			}
		}
	case model.ClientPending:
		i.kind, i.state = starting, a.ClientStatus+trouble(a)
	case model.ClientComplete:
		if i.kind = done; !isBatch {
			again(v, &i, tries)
		}
	case model.ClientUnknown:
		i.kind, i.state = starting, "unknown: its node is not reached"
	default:
		i.state += trouble(a)
		again(v, &i, tries)
	}
	return i
}

// again tells whether an instance that ended is tried again, and when.
func again(v *view, i *instance, tries int) {
	i.kind = failed
	for _, e := range v.evals {
		if e.ID != i.FollowupEvalID || e.Status != model.EvalPending {
			continue
		}
		if i.next = delay(e); i.next > patience {
			i.kind = late
		} else if tries < maxTries {
			i.kind = starting
		}
	}
	if i.NextAllocation != "" && tries < maxTries {
		i.kind = starting // its replacement is about to show
	}
}

// unready is a task of a running allocation that should run and does not: it has
// yet to start, or has ended and is started again.
func unready(job *model.Job, a *model.AllocListStub) (string, *model.TaskState) {
	if job == nil {
		return "", nil
	}
	for _, g := range job.TaskGroups {
		for _, t := range g.Tasks {
			st := a.TaskStates[t.Name]
			last := t.Lifecycle != nil && t.Lifecycle.Hook == model.HookPoststop
			if g.Name == a.TaskGroup && !last && st != nil && st.State == model.TaskPending {
				return t.Name, st
			}
		}
	}
	return "", nil
}

func lastEvent(st *model.TaskState) *model.TaskEvent {
	if len(st.Events) == 0 {
		return nil
	}
	return st.Events[len(st.Events)-1]
}

// trouble is the newest event of an allocation's tasks, as the end of a state.
func trouble(a *model.AllocListStub) string {
	var newest *model.TaskEvent
	for _, st := range a.TaskStates {
		if e := lastEvent(st); e != nil && (newest == nil || e.Time > newest.Time) {
			newest = e
		}
	}
	if newest == nil || newest.DisplayMessage == "" {
		return ""
	}
	return ": " + base.Clean(newest.DisplayMessage)
}

// restartCounts are the restarts that tasks have behind them.
func restartCounts(allocs []*model.AllocListStub, before uint64) map[string]uint64 {
	counts := map[string]uint64{}
	for _, a := range allocs {
		for task, st := range a.TaskStates {
			if a.CreateIndex < before {
				counts[a.ID+"/"+task] = st.Restarts
			}
		}
	}
	return counts
}

// total counts a view's restarts, to notice one between two looks.
func total(allocs []*model.AllocListStub) uint64 {
	var n uint64
	for _, a := range allocs {
		for _, st := range a.TaskStates {
			n += st.Restarts
		}
	}
	return n
}

// summary counts the instances in words: "3 run, 2 start".
func (p *progress) summary() string {
	words := map[kind]string{
		running: "run", starting: "start", done: "have completed", old: "run an older version", failed: "failed",
		late: "failed and are tried again", stopping: "are being stopped",
	}
	var kinds []int
	for k := range p.count {
		kinds = append(kinds, int(k))
	}
	sort.Ints(kinds)
	text := ""
	for _, k := range kinds {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", p.count[kind(k)], words[kind(k)])
	}
	if text == "" {
		return "nothing runs"
	}
	return text
}
