package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/drain"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/model/stateful"
)

// run is one reconciliation.
type run struct {
	in    Input
	out   *Output
	batch bool // completed instances are done
	older map[versionKey]bool
	// deployment is that of the job's version; nil for none.
	deployment *model.Deployment
}

// versionKey names what a job version says of a group.
type versionKey struct {
	version, create uint64
	group           string
}

// Job compares what should exist of a job with what does.
func Job(in Input) *Output {
	r := &run{in: in, out: &Output{}, older: make(map[versionKey]bool)}
	if in.Job == nil || in.Job.Stop {
		r.stopAll()
		return r.out
	}
	if launch.IsTemplate(in.Job) {
		return r.out
	}
	r.batch = in.Job.Type == model.JobTypeBatch || in.Job.Type == model.JobTypeSysbatch
	byGroup := r.byGroup()
	r.endGroups(byGroup, DescNotNeeded, func(group string) bool { return Find(in.Job, group) == nil })
	r.deploy(byGroup)
	system := in.Job.Type == model.JobTypeSystem || in.Job.Type == model.JobTypeSysbatch
	for _, g := range in.Job.TaskGroups {
		allocs := byGroup[g.Name]
		slices.SortFunc(allocs, func(a, b *model.Allocation) int {
			return cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), cmp.Compare(a.Index(), b.Index()), strings.Compare(a.ID, b.ID))
		})
		switch {
		case system:
			r.out.Groups = append(r.out.Groups, r.system(g, allocs))
		case g.Stateful != nil:
			r.out.Groups = append(r.out.Groups, r.stateful(g, allocs))
		default:
			r.out.Groups = append(r.out.Groups, r.group(g, allocs))
		}
	}
	return r.out
}

func (r *run) byGroup() map[string][]*model.Allocation {
	out := make(map[string][]*model.Allocation)
	for _, a := range r.in.Allocs {
		out[a.TaskGroup] = append(out[a.TaskGroup], a)
	}
	return out
}

// endGroups ends what there is of groups that are not wanted any more.
func (r *run) endGroups(byGroup map[string][]*model.Allocation, description string, unwanted func(group string) bool) {
	var inOrder []string
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		if unwanted(group) && r.ordered(group, byGroup[group]) {
			inOrder = append(inOrder, group)
		}
	}
	for _, a := range r.in.Allocs {
		switch {
		case !unwanted(a.TaskGroup):
		case a.ClientTerminal() && !a.ServerTerminal() && description == DescStopped:
			r.stop(Stop{Alloc: a, Description: description})
		case !slices.Contains(inOrder, a.TaskGroup):
			r.end(a, description)
		}
	}
	for _, group := range inOrder {
		r.stopOrdered(byGroup[group], description)
	}
}

// end stops an allocation, as lost when its node is gone.
func (r *run) end(a *model.Allocation, description string) {
	if a.ClientTerminal() {
		return
	}
	lost := r.lost(a)
	if lost != "" && r.spared(a) {
		r.again(r.goneAt(a))
	} else if lost != "" {
		r.stop(Stop{Alloc: a, Description: lost, ClientStatus: model.ClientLost})
		return
	}
	if !a.ServerTerminal() {
		r.stop(Stop{Alloc: a, Description: description})
	}
}

// spared tells whether an allocation is not given up yet though its node is lost: a
// stateful one is when it has surely ended, and not before.
func (r *run) spared(a *model.Allocation) bool { return stateful.Is(a) && r.unsure(a) }

func (r *run) stop(s Stop) { r.out.Stops = append(r.out.Stops, s) }

// lost tells whether an allocation that had not ended went away with its node,
// and how; "" when its node is there.
func (r *run) lost(a *model.Allocation) string {
	n := r.in.Node(a.NodeID)
	switch {
	case n == nil:
		return DescNodeGone
	case n.Status == model.NodeStatusDown:
		return DescLost
	}
	return ""
}

// goneAt is when an allocation of a node that is down, or that was given up and its
// node is back, has surely ended, because its node stops what its group wants
// stopped; zero when nobody waits for that.
func (r *run) goneAt(a *model.Allocation) time.Time {
	n, job := r.in.Node(a.NodeID), a.Job
	if job == nil {
		job = r.in.Job
	}
	g := Find(job, a.TaskGroup)
	if n == nil || g == nil {
		return time.Time{}
	}
	after := time.Duration(0)
	switch {
	case n.Status == model.NodeStatusDown:
		after = lease.GoneAfter(g)
	case a.ClientStatus == model.ClientLost && a.ServerTerminal(): // the servers' word, not its node's
		after = lease.EndAfter(g)
	}
	if after == 0 {
		return time.Time{}
	}
	return r.in.Steady.After(time.Unix(n.StatusUpdatedAt, 0), after)
}

// unsure tells whether an allocation may still run on a node that is down, or back,
// and will stop it.
func (r *run) unsure(a *model.Allocation) bool { return r.goneAt(a).After(r.in.Now) }

// current tells whether an allocation runs the job's present version.
func (r *run) current(a *model.Allocation) bool {
	return a.JobVersion == r.in.Job.Version && (a.Job == nil || a.Job.CreateIndex == r.in.Job.CreateIndex)
}

// outdated tells whether an allocation would have to be replaced to run the
// job's present version.
func (r *run) outdated(a *model.Allocation) bool {
	if r.current(a) {
		return false
	}
	if a.Job == nil || a.Job.CreateIndex != r.in.Job.CreateIndex {
		return true
	}
	key := versionKey{a.JobVersion, a.Job.CreateIndex, a.TaskGroup}
	changed, known := r.older[key]
	if !known {
		changed = Changed(a.Job, r.in.Job, a.TaskGroup)
		r.older[key] = changed
	}
	return changed
}

// patient tells whether an allocation that is to move stays until it has another
// place: its node is drained, and the deadline is not over.
func (r *run) patient(a *model.Allocation) bool {
	n := r.in.Node(a.NodeID)
	return n != nil && n.DrainStrategy != nil && !drain.Forced(n.DrainStrategy, r.in.Now)
}

// moving tells whether an operator asked for a live allocation to be replaced.
// ForceReschedule is about failed ones only.
func moving(a *model.Allocation) bool {
	return flag(a.DesiredTransition.Migrate) || flag(a.DesiredTransition.Reschedule)
}
