package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/stateful"
)

// ordinals are the instances of a stateful group.
//
//	what is not wanted ──► stopped, the highest first
//	free ordinals ───────► placed, the lowest first, when all below are healthy
//	one that is to leave, or of an older version ──► stopped, when it has another place
//	                                                 and all others do well; then free
type ordinals struct {
	*roll
	out     *Group
	ordered bool
	from    int // updates replace ordinals from here on
	list    []ordinal
	steps   int // what is under way, or begun now
}

// ordinal is what there is of one name.
type ordinal struct {
	live    *model.Allocation   // is to run, on a node that is there
	ending  []*model.Allocation // may still run, and is to end, or was lost with its node
	last    *model.Allocation   // ended last, and was not replaced
	lost    bool                // last was given up with its node
	leaves  bool                // live is to move
	inPlace bool                // live takes the present version as it runs
	well    bool                // live is healthy
	broken  bool                // live is not, and nobody expects that it will be
}

// stateful reconciles a stateful group.
func (r *run) stateful(g *model.TaskGroup, allocs []*model.Allocation) *Group {
	out := &Group{Group: g}
	s := &ordinals{roll: r.newRoll(g), out: out, ordered: g.Stateful.Ordered, from: g.Stateful.Partition}
	n := max(0, g.Count)
	for _, a := range allocs {
		n = max(n, a.Index()+1)
	}
	s.list = make([]ordinal, n)
	for _, a := range allocs {
		s.sort(a)
	}
	for i := range s.list {
		if o := &s.list[i]; o.live != nil && i < g.Count {
			o.well, o.broken = s.judge(o.live)
			s.mixed = s.mixed || r.outdated(o.live)
		}
	}
	s.shrink()
	for i := range s.wanted() {
		s.keep(i)
	}
	for i := range s.wanted() {
		s.start(i)
	}
	s.advance()
	out.Counts.InPlaceUpdate = uint64(len(out.InPlace))
	out.Counts.Ignore = uint64(out.Ignored)
	return out
}

// wanted are the ordinals that there should be.
func (s *ordinals) wanted() []ordinal { return s.list[:max(0, s.group.Count)] }

// sort puts an allocation to its ordinal. The allocations come oldest first.
func (s *ordinals) sort(a *model.Allocation) {
	i := a.Index()
	if i < 0 {
		s.end(a, DescNotNeeded)
		return
	}
	o := &s.list[i]
	switch {
	case a.ClientTerminal() && !(a.NextAllocation == "" && endedUnheard(a) && s.unsure(a)):
		if a.NextAllocation == "" {
			o.last, o.lost = a, a.ClientStatus == model.ClientLost
		}
	case s.unsure(a) || a.ClientTerminal():
		o.ending = append(o.ending, a)
	case s.lost(a) != "":
		s.end(a, "")
		if a.NextAllocation == "" {
			o.last, o.lost = a, true
		}
	case a.ServerTerminal():
		o.ending = append(o.ending, a)
	case deploy.Canary(a):
		s.finish(o, a, DescNotPromoted)
	case moving(a) && !s.patient(a):
		s.finish(o, a, DescMigrating)
	case o.live != nil:
		loser := a
		if s.better(a, o.live) {
			loser, o.live = o.live, a
		}
		s.finish(o, loser, DescDuplicate)
	default:
		o.live = a
	}
	o.leaves = o.live != nil && moving(o.live)
}

// finish tells an allocation to stop, and has its ordinal wait for its end.
func (s *ordinals) finish(o *ordinal, a *model.Allocation, description string) {
	s.end(a, description)
	o.ending = append(o.ending, a)
	s.out.Counts.Stop++
}

// judge tells whether an instance is healthy, or is not and will not be.
func (s *ordinals) judge(a *model.Allocation) (well, broken bool) {
	u := s.update()
	if u == nil {
		u = model.NewUpdateStrategy()
	}
	since, runs := StartedAt(a, groupOf(a, s.group))
	if deploy.Active(s.deployment) && a.DeploymentID == s.deployment.ID {
		return runs && deploy.Healthy(a), deploy.Unhealthy(a)
	}
	if at := since.Add(u.MinHealthyTime); runs {
		if !at.After(s.in.Now) {
			return true, false
		}
		s.again(at)
	}
	again := a.RescheduleTracker != nil && len(a.RescheduleTracker.Events) > 0
	if deploy.Unhealthy(a) || again && s.outdated(a) {
		return false, true
	}
	late := time.Unix(0, a.CreateTime).UTC().Add(u.HealthyDeadline)
	if !late.After(s.in.Now) {
		return false, true
	}
	s.again(late)
	return false, false
}

// again has the job looked at no later than at a time.
func (r *run) again(at time.Time) {
	if at = later(at, r.in.Now.Add(minRollWait)); r.out.Again.IsZero() || at.Before(r.out.Again) {
		r.out.Again = at
	}
}

// shrink stops what is not wanted: of ordered groups the highest, and the one below when
// that has ended.
func (s *ordinals) shrink() {
	for i := len(s.list) - 1; i >= max(0, s.group.Count); i-- {
		o := &s.list[i]
		s.transit(o)
		if o.live != nil {
			s.out.Counts.Stop++
			s.end(o.live, DescNotNeeded)
			s.steps++
			if s.ordered {
				s.again(s.in.Now.Add(stateful.EndWithin(groupOf(o.live, s.group))))
				return
			}
		}
		for _, a := range o.ending {
			if a.ServerTerminal() {
				if s.awaits(a) && s.ordered {
					return
				}
			} else if s.end(a, DescNotNeeded); s.ordered { // on a node that is lost
				return
			}
		}
	}
}

// awaits tells whether what was told to stop is still given the time to.
func (r *run) awaits(a *model.Allocation) bool {
	g := Find(a.Job, a.TaskGroup)
	if g == nil {
		return false
	}
	at := stateful.Ends(a, g)
	if !at.After(r.in.Now) {
		return false
	}
	r.again(at)
	return true
}

// transit counts an ordinal that something is under way of, and looks again when what
// was lost with its node has surely ended.
func (s *ordinals) transit(o *ordinal) {
	if len(o.ending) > 0 {
		s.steps++
	}
	for _, a := range o.ending {
		if at := s.goneAt(a); at.After(s.in.Now) {
			s.again(at)
		}
	}
}

// keep leaves what lives alone, or brings it to the present version where it runs.
func (s *ordinals) keep(i int) {
	o := &s.list[i]
	s.transit(o)
	if o.live == nil {
		return
	}
	switch a := o.live; {
	case s.current(a) && s.joins(a), i >= s.from && !s.current(a) && !s.outdated(a) && s.in.InPlace(a, s.group):
		o.inPlace = true
		s.out.InPlace = append(s.out.InPlace, a)
	default:
		s.out.Ignored++
	}
	if !o.well && !o.broken {
		s.steps++
	}
}

// older tells whether an instance has to be replaced to be of the present version.
func (s *ordinals) older(i int, a *model.Allocation) bool {
	return i >= s.from && !s.current(a) && (s.outdated(a) || !s.in.InPlace(a, s.group))
}

// start gives an ordinal that is free an instance, if it is its turn.
func (s *ordinals) start(i int) {
	o := &s.list[i]
	if o.live != nil {
		return
	}
	if len(o.ending) > 0 {
		s.wait(i, s.untilEnded(o.ending))
		return
	}
	if s.ordered {
		for below := range i {
			if b := &s.list[below]; b.live == nil || !b.well {
				s.wait(i, "until "+s.name(below)+" is healthy")
				return
			}
		}
	}
	s.place(i, o)
}

// place puts an instance into the free ordinal, when what ended there lets it.
func (s *ordinals) place(i int, o *ordinal) {
	p := Place{Index: i}
	if o.last != nil {
		p.Prefer = o.last.NodeID
	}
	switch a := o.last; {
	case a == nil || a.ServerTerminal() && !resumes(a):
		if !s.begins() {
			s.wait(i, "for the deployment to go on")
			return
		}
	case a.ServerTerminal() || o.lost:
		p.Previous, p.Past = a, s.stays(i, a)
		if moving(a) {
			s.out.Counts.Migrate++
		}
		if a.RescheduleTracker != nil && (p.Past || !s.outdated(a)) {
			p.Tracker = a.RescheduleTracker
		}
	case !s.revive(i, a, &p):
		return
	}
	s.steps++
	s.out.Counts.Place++
	s.out.Places = append(s.out.Places, p)
}

// revive has an instance that failed by itself replaced: at once by another version, else
// as its reschedule policy says; false for not now.
func (s *ordinals) revive(i int, a *model.Allocation, p *Place) bool {
	p.Previous, p.Past = a, s.stays(i, a)
	p.Stop = &Stop{Alloc: a, Description: DescUpdating}
	if s.outdated(a) && !p.Past {
		return true
	}
	policy := policyOf(s.in.Job, s.group)
	if p.Past {
		policy = policyOf(a.Job, Find(a.Job, s.group.Name))
	}
	at, ok := s.reschedule(a, policy)
	switch {
	case !ok:
		s.wait(i, "for an operator: it has failed, and its reschedule policy allows no more")
		return false
	case at.After(s.in.Now):
		s.wait(i, "after its failure, as its reschedule policy says: until "+at.UTC().Format(time.RFC3339))
		s.out.Counts.RescheduleLater++
		s.run.out.Later = append(s.run.out.Later, Later{Alloc: a, At: at, Description: DescDelayed})
		return false
	}
	p.Tracker, p.Avoid = s.track(a, policy)
	p.Stop.Description = DescRescheduled
	s.out.Counts.RescheduleNow++
	return true
}

// resumes tells whether what takes the place of a stopped allocation goes on with it.
func resumes(a *model.Allocation) bool {
	return awaited(a) || Updates(a.DesiredDescription)
}

// stays tells whether what replaces an instance is of the same version: below the
// partition, and as long as it is not its turn. One that failed by itself, or was stopped
// because it was broken, takes the new version, which may be the remedy: as it was it would
// be stopped for that once more, and for ever.
func (s *ordinals) stays(i int, a *model.Allocation) bool {
	switch {
	case s.current(a) || a.Job == nil || a.Job.CreateIndex != s.in.Job.CreateIndex || Find(a.Job, s.group.Name) == nil:
		return false
	case i < s.from:
		return true
	case !s.outdated(a):
		return false
	case s.mode == held:
		return true
	case !a.ServerTerminal() && a.ClientTerminal() && a.ClientStatus != model.ClientLost:
		return false
	case a.DesiredDescription == DescMending:
		return false
	}
	return s.ordered && !s.turn(i)
}

// turn tells whether all ordinals above have the present version, and are healthy.
func (s *ordinals) turn(i int) bool {
	for above := i + 1; above < s.group.Count; above++ {
		switch o := &s.list[above]; {
		case o.live != nil:
			if s.older(above, o.live) || !o.well {
				return false
			}
		case len(o.ending) > 0 || o.last != nil && (!o.last.ServerTerminal() || resumes(o.last)):
			return false
		}
	}
	return true
}

// advance stops an instance that is to move, or to be replaced by the present version:
// those first that are not healthy, the lowest first, since what is above them cannot
// start; then the highest.
func (s *ordinals) advance() {
	most, u := 1, s.update()
	if !s.ordered {
		if most = max(0, s.group.Count); u != nil {
			most = u.MaxParallel
		}
	}
	n := len(s.wanted())
	for _, k := range []int{0, 1} {
		for j := range n {
			i := j
			if k == 1 {
				i = n - 1 - j
			}
			if o := &s.list[i]; o.live != nil && o.well == (k == 1) {
				s.step(i, o, most)
			}
		}
	}
}

// step stops one instance, if it is its turn and there is room for one more.
func (s *ordinals) step(i int, o *ordinal, most int) {
	a := o.live
	older := s.mode != held && s.older(i, a)
	renewed := older && (!s.ordered || o.broken || s.turn(i))
	if !o.leaves && !renewed {
		if older {
			s.wait(i, "with its update until all above have it, and are healthy")
		}
		return
	}
	busy := s.steps
	if !o.well && !o.broken {
		busy-- // itself
	}
	if busy >= most && (s.ordered || !o.leaves) {
		s.wait(i, "with its replacement until the others are healthy")
		return
	}
	if s.ordered {
		for below := range i {
			if b := &s.list[below]; b.live == nil || !b.well {
				s.wait(i, "with its replacement until "+s.name(below)+" is healthy")
				return
			}
		}
	}
	p := Place{Index: i, Previous: a, Past: !renewed && s.stays(i, a), Prefer: a.NodeID, Frees: true, First: true,
		Stop: &Stop{Alloc: a, Description: DescUpdating}}
	if !renewed {
		p.Stop.Description = DescMigrating
		s.out.Counts.Migrate++
	} else {
		s.out.Counts.DestructiveUpdate++
		if o.broken {
			p.Stop.Description = DescMending
		}
	}
	if !o.inPlace {
		s.out.Ignored--
	}
	s.steps++
	s.out.Places = append(s.out.Places, p)
}

func (s *ordinals) name(i int) string { return fmt.Sprintf("%s[%d]", s.group.Name, i) }

// wait notes what an ordinal waits for.
func (s *ordinals) wait(i int, why string) {
	s.out.Waits = append(s.out.Waits, s.name(i)+" waits "+why)
}

// untilEnded says what holds an ordinal.
func (s *ordinals) untilEnded(list []*model.Allocation) string {
	a := list[len(list)-1]
	node := a.NodeName
	if node == "" {
		node = a.NodeID
	}
	if at := s.goneAt(a); at.After(s.in.Now) {
		return "until node " + node + " has stopped it, which is lost: until " + at.UTC().Format(time.RFC3339)
	}
	return "until it has ended on node " + node
}

// stopOrdered stops what there is of a group that is not wanted any more: the highest
// ordinal first, and the next when that has ended or had its time.
func (r *run) stopOrdered(allocs []*model.Allocation, description string) {
	top := -1
	for _, a := range allocs {
		top = max(top, a.Index())
		if a.Index() < 0 {
			r.end(a, description)
		}
	}
	byIndex := make([][]*model.Allocation, top+1)
	for _, a := range allocs {
		if i := a.Index(); i >= 0 && !a.ClientTerminal() {
			byIndex[i] = append(byIndex[i], a)
		}
	}
	for i := top; i >= 0; i-- {
		wait := false
		for _, a := range byIndex[i] {
			told := a.ServerTerminal()
			if at := r.goneAt(a); at.After(r.in.Now) {
				r.again(at)
			}
			r.end(a, description)
			switch {
			case r.lost(a) != "" && !r.spared(a):
			case !told:
				wait = true
				r.again(r.in.Now.Add(stateful.EndWithin(groupOf(a, &model.TaskGroup{Name: a.TaskGroup}))))
			default:
				wait = r.awaits(a) || wait
			}
		}
		if wait {
			return
		}
	}
}

// ordered tells whether what there is of a group is stopped one after the other: as its
// job says, or any of the versions that run.
func (r *run) ordered(group string, allocs []*model.Allocation) bool {
	if c := stateful.Of(r.in.Job, group); c != nil {
		return c.Ordered
	}
	return slices.ContainsFunc(allocs, func(a *model.Allocation) bool {
		c := stateful.Of(a.Job, group)
		return c != nil && c.Ordered && !a.ClientTerminal()
	})
}
