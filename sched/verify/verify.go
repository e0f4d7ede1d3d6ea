// Package verify checks a plan against the newest state before it is committed.
// Plans are made in parallel on snapshots that age; what does not fit any more is
// taken out, and the evaluation goes back to pending in the same entry.
//
//	plan ──► stops still meaningful? ──► placements, with the scheduler's own
//	                                     feasibility function, on a fork ──► plan
//	              ▲                                  │ refused: its predecessor
//	              └──────────────────────────────────┘ is not stopped after all
//
// Contract and invariants:
//
//   - What is left of a plan fits the state it was checked against: nodes exist
//     and are ready, have the resources, ports and cores, and meet the job's
//     constraints; the job still has the plan's version.
//   - Of a gang (PlanGroup.Together) all placements are left, or none.
//   - A running allocation is not stopped when the placement that was to replace
//     it is refused.
//   - Stops and updates of allocations that have ended or are gone are dropped
//     without a word: they have nothing left to do.
//   - Neither the plan nor the state is changed.
//
// Example:
//
//	kept, result := verify.Check(newest, plan)
//	// kept.Eval.Status is pending when result.RefusedNodes is not empty
package verify

import (
	"fmt"
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/stateful"
	"github.com/steppe-project/steppe/sched"
	"github.com/steppe-project/steppe/sched/place"
	"github.com/steppe-project/steppe/sched/reconcile"
)

// Why a placement is refused, beside what the feasibility function says.
const (
	reasonJobGone    = "the job no longer exists"
	reasonJobStopped = "the job was stopped"
	reasonReplaced   = "the allocation has been replaced already"
	reasonReturned   = "the node of the allocation it replaces came back"
	reasonHandedOut  = "the evaluation was decided by another worker"
	reasonYielded    = "what was to give way has ended, or gave way to another one"
	reasonGang       = "another instance of its gang does not fit"
	reasonPriority   = "what was to give way has a higher priority now"
)

// check is the verification of one plan.
type check struct {
	state   sched.State
	plan    *model.Plan
	job     *model.Job
	stale   string // why no placement at all may be committed; "" normally
	stops   []*model.PlanStop
	byNext  map[string][]*model.PlanStop // stops by the placement they depend on
	spared  map[string]string            // placements that nothing gives way to any more, and why
	kept    map[*model.PlanStop]bool     // stops that are taken back: false
	refused map[*model.Placement]string
	prior   map[string]bool // allocations whose loss was a false alarm
}

// Check returns the part of a plan that fits the newest state, and what was
// refused by node. When all fits it returns the plan with only dead stops
// removed. When something is refused the evaluation in it is pending again;
// its Attempts grow only if nothing at all was left to commit.
func Check(newest sched.State, plan *model.Plan) (*model.Plan, *model.PlanResult) {
	c := &check{
		state: newest, plan: plan, job: newest.Job(plan.Namespace, plan.JobID),
		byNext: make(map[string][]*model.PlanStop), spared: make(map[string]string), kept: make(map[*model.PlanStop]bool),
		refused: make(map[*model.Placement]string), prior: make(map[string]bool),
	}
	c.stale = c.outOfDate()
	c.sortStops()
	// Each round takes back the stops of refused replacements; that can only
	// refuse more, so it ends.
	for c.round() {
		continue
	}
	return c.result()
}

// outOfDate tells why the plan as a whole is behind the state.
func (c *check) outOfDate() string {
	places := false
	for _, g := range c.plan.Groups {
		places = places || len(g.Placements) > 0 || len(g.InPlace) > 0
	}
	for _, s := range c.plan.Stops { // what makes room in time for a version
		places = places || reconcile.Updates(s.Description) && s.NextAllocation == ""
	}
	if !places {
		return ""
	}
	switch {
	case c.job == nil:
		return reasonJobGone
	case c.job.Stop:
		return reasonJobStopped
	case c.job.Version != c.plan.JobVersion || c.job.CreateIndex > c.plan.SnapshotIndex:
		return fmt.Sprintf("the job has version %d now, the plan is for version %d", c.job.Version, c.plan.JobVersion)
	}
	if c.plan.Eval == nil {
		return ""
	}
	for _, e := range c.state.EvalsByJob(c.plan.Namespace, c.plan.JobID) {
		if e.ID == c.plan.EvalID && (e.Terminal() || e.Attempts != c.plan.Eval.Attempts) {
			return reasonHandedOut
		}
	}
	return ""
}

// sortStops keeps the stops that still have something to do.
func (c *check) sortStops() {
	ranks := c.ranks()
	for _, s := range c.plan.Stops {
		a := c.state.Alloc(s.ID)
		if s.PreemptedBy != "" {
			if why := c.spare(a, ranks[s.PreemptedBy]); why != "" {
				c.spared[s.PreemptedBy] = why
				continue
			}
			c.keepFor(s, s.PreemptedBy)
			continue
		}
		if a == nil {
			continue
		}
		lost := s.ClientStatus != ""
		switch {
		case lost && a.ClientTerminal():
			continue
		case lost && c.up(a.NodeID):
			c.prior[a.ID] = true
			continue
		case !lost && (a.ServerTerminal() || c.stale != ""):
			continue
		}
		c.keepFor(s, s.NextAllocation)
	}
}

// keepFor keeps a stop that depends on a placement, "" for on none.
func (c *check) keepFor(s *model.PlanStop, placement string) {
	c.stops = append(c.stops, s)
	c.kept[s] = true
	if placement != "" {
		c.byNext[placement] = append(c.byNext[placement], s)
	}
}

// ranks are the priorities of the placements that others give way to: of the version
// that each is of.
func (c *check) ranks() map[string]int {
	out := make(map[string]int)
	for _, g := range c.plan.Groups {
		for _, p := range g.Placements {
			if len(p.Preempts) == 0 || c.job == nil {
				continue
			}
			out[p.ID] = c.job.Priority
			if prev := c.state.Alloc(p.PreviousAllocation); g.OfPrevious && prev != nil && prev.Job != nil {
				out[p.ID] = min(c.job.Priority, prev.Job.Priority)
			}
		}
	}
	return out
}

// spare tells why an allocation cannot be made to give way to what has a priority, ""
// when it can.
func (c *check) spare(a *model.Allocation, priority int) string {
	switch {
	case a == nil || a.Terminal():
		return reasonYielded
	case sched.PriorityOf(c.state, a)+sched.PreemptionDistance > priority:
		return reasonPriority
	}
	return ""
}

func (c *check) up(nodeID string) bool {
	n := c.state.Node(nodeID)
	return n != nil && n.Status != model.NodeStatusDown
}

// round checks all placements that are not refused yet, and tells whether a
// stop was taken back, which may make others fail.
func (c *check) round() bool {
	board := place.NewBoard(c.state.Fleet().Fork(), place.Settings{})
	asks := c.asks()
	c.addPeers(board, asks)
	for _, s := range c.stops {
		switch a := c.state.Alloc(s.ID); {
		case !c.kept[s] || s.KeepDesired || a == nil:
		case s.PreemptedBy != "":
			board.FreeOther(a)
		default:
			board.Free(a)
		}
	}
	again := false
	for i, g := range c.plan.Groups {
		if len(g.Placements) == 0 {
			continue
		}
		var k *place.Checker
		if asks[i] != nil {
			k = board.Checker(asks[i])
		}
		shared := place.DemandOf(g.Resources)
		for _, p := range g.Placements {
			if _, done := c.refused[p]; done || c.state.Alloc(p.ID) != nil {
				continue // refused, or committed already: applying it again changes nothing
			}
			if why := c.place(board, k, g, p, &shared); why != "" {
				c.refused[p] = why
				again = c.takeBack(p) || again
			}
		}
	}
	return c.together() || again
}

// together refuses all that is placed of a gang of which something is refused, and tells
// whether that is more than before.
func (c *check) together() bool {
	broken := map[string]bool{}
	for _, g := range c.plan.Groups {
		for _, p := range g.Placements {
			broken[g.TaskGroup] = broken[g.TaskGroup] || g.Together && c.refused[p] != ""
		}
	}
	more := false
	for _, g := range c.plan.Groups {
		for _, p := range g.Placements {
			if g.Together && broken[g.TaskGroup] && c.refused[p] == "" && c.state.Alloc(p.ID) == nil {
				c.refused[p], more = reasonGang, true
				c.takeBack(p)
			}
		}
	}
	return more
}

// asks compiles the groups of the plan, by their number in it; nil for one that
// the job no longer has.
func (c *check) asks() []*place.Ask {
	out := make([]*place.Ask, len(c.plan.Groups))
	for i, g := range c.plan.Groups {
		job := c.version(g)
		if job == nil {
			continue
		}
		for _, tg := range job.TaskGroups {
			if tg.Name == g.TaskGroup {
				out[i] = place.NewAsk(job, tg)
			}
		}
	}
	return out
}

// version is the job version that a group's placements run; nil: gone.
func (c *check) version(g *model.PlanGroup) *model.Job {
	if c.job == nil || !g.OfPrevious || len(g.Placements) == 0 {
		return c.job
	}
	if prev := c.state.Alloc(g.Placements[0].PreviousAllocation); prev != nil {
		return prev.Job
	}
	return nil
}

// addPeers tells the board of the job's other instances, where they matter.
func (c *check) addPeers(board *place.Board, asks []*place.Ask) {
	for _, a := range asks {
		if a == nil || !a.LimitsPeers() {
			continue
		}
		for _, alloc := range c.state.AllocsByJob(c.plan.Namespace, c.plan.JobID) {
			board.Add(alloc)
		}
		return
	}
}

// place books a placement, or tells why it does not fit.
func (c *check) place(board *place.Board, k *place.Checker, g *model.PlanGroup, p *model.Placement, shared *place.Demand) string {
	switch {
	case c.stale != "":
		return c.stale
	case k == nil:
		return "the job has no group " + g.TaskGroup + " any more"
	case c.prior[p.PreviousAllocation]:
		return reasonReturned
	case c.spared[p.ID] != "":
		return c.spared[p.ID]
	}
	if stateful.Of(c.job, g.TaskGroup) != nil {
		allocs := slices.Values(c.state.AllocsByJob(c.plan.Namespace, c.plan.JobID))
		if why := stateful.Holder([]*model.Job{c.job}, g.TaskGroup, p.Index, allocs, c.stops); why != "" {
			return why
		}
	}
	if p.PreviousAllocation != "" {
		if prev := c.state.Alloc(p.PreviousAllocation); prev != nil && prev.NextAllocation != "" && prev.NextAllocation != p.ID {
			return reasonReplaced
		}
	}
	grant, need := g.Resources, shared
	if p.Resources != nil {
		own := place.DemandOf(p.Resources)
		grant, need = p.Resources, &own
	}
	if why := k.Admits(p.NodeID, true); why != "" {
		return why
	}
	if lack := k.Holds(p.NodeID, need); lack != "" {
		return "not enough " + lack
	}
	board.Book(p.NodeID, g.TaskGroup, grant)
	return ""
}

// takeBack undoes the stops that depend on a refused placement.
func (c *check) takeBack(p *model.Placement) (any bool) {
	for _, s := range c.byNext[p.ID] {
		any = any || c.kept[s]
		c.kept[s] = false
	}
	return any
}

// result is the plan without what was refused.
func (c *check) result() (*model.Plan, *model.PlanResult) {
	out, result := *c.plan, &model.PlanResult{}
	out.Stops = make([]*model.PlanStop, 0, len(c.stops))
	for _, s := range c.stops {
		if c.kept[s] {
			out.Stops = append(out.Stops, s)
		}
	}
	out.Groups = make([]*model.PlanGroup, 0, len(c.plan.Groups))
	queued := make(map[string]int)
	for _, g := range c.plan.Groups {
		if kept := c.keep(g, result, queued); kept != nil {
			out.Groups = append(out.Groups, kept)
		}
	}
	if c.stale != "" {
		out.Deployment = nil
	}
	if len(result.RefusedNodes) > 0 && out.Eval != nil {
		out.Eval = c.pending(&out, queued, len(result.RefusedNodes))
	}
	return &out, result
}

// keep returns what is left of a group, or nil.
func (c *check) keep(g *model.PlanGroup, result *model.PlanResult, queued map[string]int) *model.PlanGroup {
	kept := *g
	if len(c.refused) > 0 {
		kept.Placements = nil
		for _, p := range g.Placements {
			why, refused := c.refused[p]
			if !refused {
				kept.Placements = append(kept.Placements, p)
				continue
			}
			queued[g.TaskGroup]++
			if result.RefusedNodes == nil {
				result.RefusedNodes = make(map[string]string)
			}
			result.RefusedNodes[p.NodeID] = why
		}
	}
	kept.InPlace = nil
	for _, u := range g.InPlace {
		a := c.state.Alloc(u.ID)
		if a == nil || a.Terminal() {
			continue
		}
		if c.stale == "" {
			kept.InPlace = append(kept.InPlace, u)
			continue
		}
		if result.RefusedNodes == nil {
			result.RefusedNodes = make(map[string]string)
		}
		result.RefusedNodes[a.NodeID] = c.stale
	}
	if len(kept.Placements) == 0 && len(kept.InPlace) == 0 {
		return nil
	}
	return &kept
}

// pending is the plan's evaluation, to be decided again.
func (c *check) pending(out *model.Plan, queued map[string]int, nodes int) *model.Evaluation {
	e := *out.Eval
	e.Status = model.EvalPending
	e.StatusDescription = fmt.Sprintf("part of the plan was refused on %d nodes: the state had changed", nodes)
	e.FailedTGAllocs = nil
	e.QueuedAllocations = make(map[string]int, len(out.Eval.QueuedAllocations))
	for group, n := range out.Eval.QueuedAllocations {
		e.QueuedAllocations[group] = n
	}
	for group, n := range queued {
		e.QueuedAllocations[group] += n
	}
	if len(out.Groups) == 0 && len(out.Stops) == 0 {
		e.Attempts++
	}
	return &e
}

// Book counts a plan that Check let pass against a fleet: for a planner that
// verifies the next plan while this one is being committed.
func Book(fleet *place.Fleet, state sched.State, plan *model.Plan) {
	for _, s := range plan.Stops {
		if a := state.Alloc(s.ID); a != nil && !s.KeepDesired && !a.Terminal() {
			fleet.Remove(a.NodeID, a.AllocatedResources)
		}
	}
	for _, g := range plan.Groups {
		for _, p := range g.Placements {
			if state.Alloc(p.ID) != nil {
				continue
			}
			if p.Resources != nil {
				fleet.Place(p.NodeID, p.Resources)
			} else {
				fleet.Place(p.NodeID, g.Resources)
			}
		}
	}
}
