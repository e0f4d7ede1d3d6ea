package main

// mutant is a fault planted in the code: old, which stands exactly once in file,
// becomes with. by is what must notice.
type mutant struct {
	name, file, old, with string
	by                    []string
}

// simulator and controlPlane run seeds until one fails.
var (
	simulator    = []string{"test", "./sim", "-count=1", "-timeout=30m", "-run=TestSeeds$", "-sim.first", "-sim.seeds=400"}
	controlPlane = []string{"test", "./sim", "-count=1", "-timeout=30m", "-run=TestControlPlane$", "-sim.first", "-sim.seeds=200"}
)

// tests is the tests of a package.
func tests(pkg string) []string { return []string{"test", pkg, "-count=1", "-timeout=10m"} }

var mutants = []mutant{
	// The state machine.
	{"a status may go back", "model/course/course.go", "return next.step > now || next.step == now && (now < 2 || from == to)", "return next.step >= 0 || now > 0 || from == to", simulator},
	{"a late report is taken in", "fsm/allocs.go", "ordered := x.FeatureLevel() >= feature.Order", "ordered := x.FeatureLevel() >= feature.Order && false", tests("./fsm/...")},
	{"a report of an earlier run is taken in", "model/alloc.go", "(node == nil || up.Order > node.ReportsFrom)", "(node == nil || up.Order > 0)", tests("./fsm/...")},
	{"a refused plan's evaluation is not tried again", "sched/verify/verify.go", "e.Status = model.EvalPending", "e.Status = model.EvalComplete", tests("./sched/...")},
	{"request ids are not remembered", "fsm/fsm.go", "if seen := x.Request(c.RequestID); seen != nil {", "if seen := x.Request(c.RequestID); seen != nil && false {", simulator},
	{"snapshots lose the requests", "fsm/state/hash.go", "func() error { return visit(v, TableRequests, &s.requests.trees[byKey]) },", "func() error { return v.table(TableRequests, 0) },", tests("./fsm/...")},
	{"plans are not verified", "agent/server/planner/planner.go", "plan, result := verify.Check(basis, j.plan)", "_, result := verify.Check(basis, j.plan)\n\t\tplan := j.plan", simulator},
	{"what came with a level is taken before", "fsm/feature.go", "if need <= have {", "if need <= have || true {", tests("./fsm/...")},
	{"a level beyond the binary is applied", "fsm/feature.go", "err != nil || level.Level <= f.understands {", "err != nil || level.Level > 0 {", tests("./fsm/...")},
	{"the base level leaves a trace", "fsm/state/hash.go", "if t.Size() == 0 {\n\t\treturn nil", "if t.Size() < 0 {\n\t\treturn nil", tests("./fsm/...")},
	// Preemption.
	{"neighbours in priority displace one another", "sched/preempt.go", "priority+PreemptionDistance <= of", "priority <= of", tests("./sched/...")},
	{"an instance of an older version matters as much as the newest", "sched/preempt.go", "min(p.job.Priority, a.Job.Priority)", "p.job.Priority", simulator},
	{"one allocation gives way to two", "sched/place/yield.go", "return y.taken[v.Alloc.ID] })", "return y.taken[v.Alloc.ID] && false })", tests("./sched/...")},
	{"who gives way is looked at once for all instances", "sched/place/yield.go", "if y.rows == nil || len(moved) > 0 && len(y.k.ask.distinct) > 0 {", "if y.rows == nil {", tests("./sched")},
	{"nobody looks at a displaced job", "sched/preempt.go", "p.displaced[[2]string{a.Namespace, a.JobID}] = true", "p.displaced[[2]string{a.Namespace, \"\"}] = true", simulator},
	{"what gave way to another gives way again", "fsm/plans.go", "victim == nil || victim.ServerTerminal()", "victim == nil", tests("./fsm/...")},
	{"what waits for one thing waits on though another was refused", "fsm/plans.go", "e.Status == model.EvalBlocked && p.FeatureLevel() >= feature.Again", "false", tests("./fsm")},
	{"a refused preemptor's victims stop all the same", "fsm/plans.go", "case p.Alloc(s.PreemptedBy) == nil || now.ClientTerminal():", "case now.ClientTerminal():", tests("./fsm/...")},
	{"displaced instances are not replaced", "sched/reconcile/group.go", "if a.DesiredStatus == model.DesiredEvict {\n\t\treturn true", "if a.DesiredStatus == model.DesiredEvict {\n\t\treturn false", tests("./sched/...")},
	{"a preemptor starts beside its victim", "agent/client/alloc/judge.go", "slices.Contains(a.PreemptedAllocations, b.ID)", "slices.Contains(a.PreemptedAllocations, a.ID)", tests("./agent/client/alloc")},
	// Gangs, and work with a time limit.
	{"a part of a gang is placed", "sched/gang.go", "if n == len(g.Places) {", "if n > 0 {", tests("./sched")},
	{"a part of a gang goes into a plan", "sched/gang.go", "if n == len(g.Places) {", "if n > 0 {", simulator},
	{"a part of a gang is left of a plan", "sched/verify/verify.go", "return c.together() || again", "return again", tests("./sched")},
	{"a part of a gang is applied", "model/grant/grant.go", "case g.Together && why != \"\":", "case false:", tests("./model/grant")},
	{"what a refused gang was to replace stops", "fsm/plans.go", "if now == nil || p.spared[s.NextAllocation] {", "if now == nil {", tests("./fsm")},
	{"a gang goes on in part", "sched/gang.go", "case s.Partial() && p.partialFor(g) >= g.Group.Gang.MaxPartial:", "case s.Partial() && p.partialFor(g) < 0:", tests("./sched")},
	{"an older count makes a gang whole", "sched/reconcile/gang.go", "slices.MaxFunc(live", "slices.MinFunc(live", tests("./sched")},
	{"nobody looks at a partial gang in time", "sched/gang.go", "	case s.Partial():\n\t\tp.awaitWhole(g)\n", "", simulator},
	{"an earlier loss of a gang counts", "sched/gang.go", "e.Status != model.EvalComplete && e.CreateIndex > placed {", "e.Status != model.EvalComplete {", tests("./sched")},
	{"a gang goes on without one that has failed for good", "sched/reconcile/group.go", "		roll.broken = true", "		roll.broken = false", tests("./sched")},
	{"work goes on when its time is over", "agent/client/alloc/deadline.go", "return !at.IsZero() && !now.Before(at)", "return !at.IsZero() && now.IsZero()", simulator},
	{"a restart begins the time of work anew", "agent/client/task/step.go", "if m.s.FirstStart = m.s.RanSince(); m.s.FirstStart.IsZero() {", "if m.s.FirstStart = m.s.RanSince(); true {", tests("./agent/client/task")},
	{"work that had no time left is tried again", "sched/reconcile/reschedule.go", "if p == nil || deadline.Overran(a) {", "if p == nil || deadline.Overran(a) && p.Attempts > 1000 {", tests("./sched")},
	// Launches.
	{"overlap is not prohibited", "fsm/launches.go", "children.Pending+children.Running > 0", "children.Pending+children.Running > 1000", simulator},
	{"a slot is decided on and not noted", "fsm/launches.go", "next.Slot, next.ModifyIndex = c.Slot, x.index", "next.ModifyIndex = x.index", tests("./fsm/...")},
	{"a token stands for nothing", "fsm/launches.go", "if c.Token != \"\" {", "if c.Token != \"\" && false {", simulator},
	{"a schedule that is in force again goes on where it ended", "fsm/launches.go", "now != nil && inForce(now) && sameSlots", "now != nil && sameSlots", simulator},
	{"launches are not resumed by a new leader", "agent/server/periodic/periodic.go", "		l.note(state.JobKey(job.Namespace, job.ID), job)\n\t}\n}", "		_ = job\n\t}\n}", simulator},
	{"missed slots are never made up for", "agent/server/periodic/periodic.go", "len(slots) > 0 || t.job.Periodic.CatchUp == launch.CatchUpSkip", "len(slots) >= 0", tests("./agent/server/periodic")},
	// Votes.
	{"a demotion takes the majority", "agent/consensus/pilot/decide.go", "healthy-bit(s.Healthy) < quorum(voters-1)", "healthy-bit(s.Healthy) < 0", tests("./agent/consensus/pilot")},
	{"a migration begins too early", "agent/consensus/pilot/seats.go", "p.ready = p.arrived() >= voters", "p.ready = p.arrived() >= 1", tests("./agent/consensus/pilot")},
	{"the voter that was there loses its zone's seat", "agent/consensus/pilot/seats.go", "voting(a)-voting(b), held(a)", "voting(b)-voting(a), held(a)", tests("./agent/consensus/pilot")},
	{"an older server holds no level up", "model/feature/feature.go", "level = min(level, s.Understands)", "_ = s.Understands", tests("./model/feature")},
	// Admission and consensus glue.
	{"an unchanged node is answered with an old index", "agent/server/admit/node.go", "msg.WriteMeta{Index: snap.Index()}, NodeModifyIndex: now.ModifyIndex}, nil\n\t\t}", "msg.WriteMeta{Index: now.ModifyIndex}, NodeModifyIndex: now.ModifyIndex}, nil\n\t\t}", tests("./agent/server/admit")},
	{"a node is heard when its registration is committed", "agent/server/admit/node.go", "\td.cfg.Seen(node.ID) // it lives, however long the commit takes\n", "", tests("./agent/server/admit")},
	{"a deposed leader answers", "agent/server/admit/admit.go", "if _, err := d.cfg.Proposer.ReadIndex(ctx); err != nil {", "if _, err := d.cfg.Proposer.ReadIndex(ctx); err != nil && false {", tests("./agent/server/admit")},
	{"a minority confirms a lease", "agent/consensus/lease.go", "return times[len(times)/2], l.void != term, l.acked", "return times[0], l.void != term, l.acked", tests("./agent/consensus")},
	{"a new leader does not wait for its log", "agent/consensus/host.go", "case catching != term:", "case catching != term && false:", tests("./agent/consensus")},
	{"entry times go back", "agent/consensus/clock.go", "c.at, c.then = max(at, wall, newest), elapsed", "c.at, c.then = wall+0*newest, elapsed", tests("./agent/consensus")},
	{"outcomes go to the wrong callers", "agent/consensus/batch.go", "outcomes = outcomes[len(p.cmds):]", "outcomes = outcomes[len(outcomes)-len(p.cmds):]", tests("./agent/consensus")},
	{"a flipped bit in the log is applied", "agent/consensus/guard/guard.go", "l.Index != index || len(l.Extensions) > 0 && !bytes.Equal(l.Extensions, checksum(l))", "l.Index != index && !bytes.Equal(l.Extensions, checksum(l))", tests("./agent/consensus/...")},
	{"the newest entries may be missing", "agent/consensus/guard/tail.go", "if reached < want {", "if reached+1000 < want {", tests("./agent/consensus/...")},
	{"a failed fsync is passed over", "agent/consensus/trouble/trouble.go", "if !durable.OutOfSpace(err) && s.over", "if false && s.over", tests("./agent/consensus/trouble")},
	// Liveness.
	{"a lease is not extended", "agent/server/liveness/liveness.go", "known && !old.IsZero() && until.After(old) {", "known && !old.IsZero() && until.Before(old) {", controlPlane},
	{"time in which the leader stood still counts", "agent/server/liveness/liveness.go", "if l.due.IsZero() || now.Sub(l.due) < maxLate {", "if l.due.IsZero() || now.Sub(l.due) < maxLate*100000 {", controlPlane},
	{"a new leader remembers old leases", "agent/server/liveness/liveness.go", "l.leases[n.ID] = time.Time{}\n\t\t}\n\t}\n}\n\n// Observe", "l.leases[n.ID] = time.Unix(0, 1)\n\t\t}\n\t}\n}\n\n// Observe", controlPlane},
	{"a clock that is set ahead ends waits", "agent/consensus/clock.go", "case by >= leap:", "case by >= leap*1000000:", tests("./agent/consensus")},
	{"a lost node's jobs are not evaluated", "agent/server/liveness/liveness.go", "if a.Terminal() || concerned[key] != nil {", "if true || a.Terminal() || concerned[key] != nil {", tests("./agent/server/liveness")},
	{"what is placed on a node that is down is overlooked", "agent/server/nodeevals/nodeevals.go", "changes[i].Before == nil && c.down[a.NodeID] {", "changes[i].Before == nil && c.down[a.NodeID] && false {", tests("./agent/server/nodeevals")},
	// Broker and scheduler.
	{"blocked evaluations do not wake", "agent/server/broker/blocked.go", "if couldHelp(e.eval, class) && t.freedAt[class] > e.eval.SnapshotIndex {", "if couldHelp(e.eval, class) && t.freedAt[class] > e.eval.SnapshotIndex && false {", simulator},
	{"two evaluations of a job at once", "agent/server/broker/step.go", "if e.job.running == nil {\n\t\tb.ready.add(e)", "if e.job.running == nil || true {\n\t\tb.ready.add(e)", tests("./agent/server/broker")},
	{"what is on its way is not held", "agent/server/planner/planner.go", "p.cfg.View.Hold(plan)", "_ = p.cfg.View.Hold", simulator},
	{"a value without room holds the others back", "sched/place/rank/tally.go", "case v.open == 0:", "case v.open < 0:", tests("./sched/...")},
	{"what is liked outweighs what is spread", "sched/place/rank/rank.go", "const SpreadFactor = 8", "const SpreadFactor = 2", tests("./sched/...")},
	// Explanations and forecasts.
	{"names stay empty beside an older instance that is replaced", "sched/reconcile/group.go", "\t\t\treturn roll.past(a)\n", "\t\t\treturn roll.outdated(a)\n", tests("./sched")},
	{"what counts on the room of a refused placement is made", "model/grant/grant.go", "case wide && r.nodes[p.NodeID] != \"\":", "case false:", tests("./model/grant")},
	{"a remedy that does not help is named", "sched/advice/trial.go", "if plan.Eval.Status == model.EvalFailed || plan.Eval.FailedTGAllocs[group] != nil {", "if plan.Eval.Status == model.EvalFailed {", tests("./sched")},
	{"a remedy is larger than it has to be", "sched/advice/search.go", "if mid := (lo + hi) / 2; ok(mid) {", "if mid := (lo + hi) / 2; ok(mid) && mid > hi {", tests("./sched")},
	{"a remedy takes from the job's other groups", "sched/advice/trial.go", "if 1+m.CoalescedFailures > d.missing(name) {", "if 1+m.CoalescedFailures > d.missing(name)+1000 {", tests("./sched")},
	{"explaining counts what is placed twice", "sched/advice/advice.go", "			b.Book(p.NodeID, g.TaskGroup, grant)\n", "			b.Book(p.NodeID, g.TaskGroup, grant)\n\t\t\tb.Book(p.NodeID, g.TaskGroup, grant)\n", tests("./sched")},
	{"what if a node is lost loses all", "agent/server/whatif/stage.go", "c.Renew(now.Add(2*maxHorizon), alive...)", "c.Renew(now, alive...)", tests("./agent/server/whatif")},
	{"in forecasts nothing ever starts", "agent/server/whatif/reactions.go", "case a.ClientStatus == model.ClientPending:", "case a.ClientStatus == model.ClientPending && false:", tests("./agent/server/whatif")},
	{"in forecasts no plan is applied", "agent/server/whatif/stage.go", "if now := basis.Eval(e.ID); now == nil || now.ModifyIndex != e.ModifyIndex {", "if now := basis.Eval(e.ID); now != nil {", tests("./agent/server/whatif")},
	{"what waits counts as not wanted", "agent/server/whatif/conclude.go", "return g != nil && a.Index() < g.Count", "return g != nil && a.Index() > g.Count", tests("./agent/server/whatif")},
	{"a forecast is made on the state of long ago", "agent/server/forecast/source.go", "	return view.At(ctx, 0)\n", "	_ = view\n\treturn fleet.New(state.New()).At(ctx, 0)\n", tests("./agent/server/forecast")},
	// Drains.
	{"a drain takes more than max_parallel", "agent/server/drain/drain.go", "room := healthy - (g.Count - max(1, policy.MaxParallel))", "room := healthy", tests("./agent/server/drain")},
	{"a drain is complete when the servers want it", "agent/server/drain/drain.go", "if a.ClientTerminal() {\n\t\t\tcontinue", "if a.Terminal() {\n\t\t\tcontinue", tests("./agent/server/drain")},
	{"a drain is complete before its tasks have ended", "agent/server/drain/drain.go", "if a.ClientTerminal() {\n\t\t\tcontinue", "if a.Terminal() {\n\t\t\tcontinue", simulator},
	{"a drain is complete while its node is down", "agent/server/drain/drain.go", "if n.Status == model.NodeStatusDown {", "if n.Status == model.NodeStatusDown && false {", tests("./agent/server/drain")},
	{"what is drained stops before it has a place", "sched/reconcile/job.go", "return n != nil && n.DrainStrategy != nil && !drain.Forced(n.DrainStrategy, r.in.Now)", "return n != nil && n.DrainStrategy != nil && !drain.Forced(n.DrainStrategy, r.in.Now) && false", tests("./agent/server/drain")},
	{"a drain that is called off goes on", "fsm/drain.go", "if m := a.DesiredTransition.Migrate; m != nil && *m && !a.Terminal() {", "if m := a.DesiredTransition.Migrate; m != nil && *m && !a.Terminal() && false {", tests("./agent/server/drain")},
	// Tenancy.
	{"a version that is gone back to is not asked of its tenancy", "fsm/versions.go", "if err := x.admit(to, now); err != nil {", "if err := x.admit(to, now); err != nil && false {", tests("./fsm")},
	{"what goes back by itself is not asked of its tenancy", "fsm/deployments.go", "if err := x.admit(stable, job); err != nil {", "if err := x.admit(stable, job); err != nil && false {", tests("./fsm")},
	{"a quota of a tenancy is not asked", "fsm/tenants.go", "if quota := x.Quota(ns.Quota); quota != nil {", "if quota := x.Quota(ns.Quota); quota != nil && false {", simulator},
	{"the rules of a tenancy are not asked", "fsm/tenants.go", "if err := ns.Admits(next); err != nil {", "if err := ns.Admits(next); err != nil && false {", simulator},
	{"a tenancy is deleted while jobs go on", "fsm/tenants.go", "if j.Status != model.JobStatusDead || x.busy(j) {", "if false {", simulator},
	{"the scheduler places outside of the tenancy's pool", "sched/place/ask.go", "return a.Pool == model.AllNodePool || a.Pool == pool", "return a.Pool != \"\" || a.Pool == pool", simulator},
	{"a quota of a tenancy counts one namespace", "fsm/usage/usage.go", "if ns.Quota != quota {", "if ns.Quota != quota || use.Jobs > 0 {", tests("./fsm")},
	{"a limit of a tenancy is set below what is in use", "model/tenancy/check.go", "before != nil && was[i] != 0 && limit >= was[i] {", "before != nil && was[i] >= 0 {", tests("./fsm")},
	{"what has completed counts against a tenancy", "fsm/usage/usage.go", "if !f.exact {", "if true || !f.exact {", tests("./fsm")},
	{"a batch that is looked at again is free in a tenancy", "fsm/tenants.go", "e == nil || e.TriggeredBy != model.TriggerJobRegister {", "true || e.TriggeredBy != model.TriggerJobRegister {", tests("./fsm")},
	// Stateful groups.
	{"two stateful instances start at once", "sched/reconcile/stateful.go", "b.live == nil || !b.well {\n\t\t\t\ts.wait(i, \"until", "b.live == nil && b.well {\n\t\t\t\ts.wait(i, \"until", simulator},
	{"two stateful instances are moved at once", "sched/reconcile/stateful.go", "if busy >= most && (s.ordered || !o.leaves) {", "if busy >= most+1 && (s.ordered || !o.leaves) {", tests("./sched")},
	{"the order of stateful updates is inverted", "sched/reconcile/stateful.go", "for above := i + 1; above < s.group.Count; above++ {", "for above := 0; above < i; above++ {", tests("./sched")},
	{"it is every stateful instance's turn", "sched/reconcile/stateful.go", "if s.older(above, o.live) || !o.well {", "if s.older(above, o.live) && !o.well {", simulator},
	{"a broken stateful instance comes back in the version that it was stopped for", "sched/reconcile/stateful.go", "case a.DesiredDescription == DescMending:\n\t\treturn false", "case a.DesiredDescription == DescMending:\n\t\treturn true", tests("./sched")},
	{"the order of stateful stops is inverted", "sched/reconcile/stateful.go", "for i := top; i >= 0; i-- {", "for j := top; j >= 0; j-- {\n\t\ti := top - j", simulator},
	{"the partition of stateful groups is ignored", "sched/reconcile/stateful.go", "return i >= s.from && !s.current(a)", "return !s.current(a)", simulator},
	{"what is lost below the partition of a stateful group is updated", "sched/reconcile/stateful.go", "	case i < s.from:\n\t\treturn true", "	case i < s.from:\n\t\treturn false", tests("./sched")},
	{"a stateful instance is replaced while its node may run it", "sched/reconcile/stateful.go", "case s.unsure(a) || a.ClientTerminal():", "case a.ClientTerminal():", simulator},
	{"a stateful instance is replaced before it has ended", "sched/reconcile/stateful.go", "	case a.ServerTerminal():\n\t\to.ending = append(o.ending, a)", "	case a.ServerTerminal():\n\t\to.last = a", tests("./sched")},
	{"a stateful name is placed twice by a plan that comes late", "model/stateful/stateful.go", "a.Name == name && !a.ClientTerminal() && !givenUp(a, stops)", "a.Name == name && false && !givenUp(a, stops)", tests("./fsm")},
	{"nobody looks when a stateful instance has ended", "agent/server/ordinals/ordinals.go", "before != nil && news(before, after) {", "before != nil && news(before, after) && false {", tests("./agent/server/ordinals")},
	// Deployments.
	{"an update takes more than max_parallel", "sched/reconcile/deploy.go", "left := max(0, most-r.unhealthy-r.moves)", "left := most", tests("./agent/server/deployments")},
	{"an update takes more than max_parallel when versions come fast", "sched/reconcile/deploy.go", "min(left-count[0]-count[1], count[2])", "min(left, count[2])", simulator},
	{"an update goes on beside what is not healthy", "sched/reconcile/deploy.go", "left := max(0, most-r.unhealthy-r.moves)", "left := most", simulator},
	{"an update does not mind a drain", "sched/reconcile/deploy.go", "most-r.unhealthy-r.moves)", "most-r.unhealthy)", tests("./agent/server/deployments")},
	{"canaries are promoted that are not healthy", "fsm/deployments.go", "n < s.DesiredCanaries {", "n < 0 {", tests("./agent/server/deployments")},
	{"canaries promote themselves too early", "model/deploy/deploy.go", "!a.Terminal() && Healthy(a) {", "!a.Terminal() {", simulator},
	{"a failed job goes back to what asks for the same", "fsm/deployments.go", "sameSpec(stable, job); err != nil || same {", "sameSpec(stable, job); err != nil || same && false {", tests("./agent/server/deployments")},
	{"a job goes back to its present version", "fsm/deployments.go", "v.Stable && v.Version < job.Version", "v.Version <= job.Version", tests("./agent/server/deployments")},
	{"the deadline does not end a deployment", "agent/server/deployments/deployments.go", "case !p.now.Before(by):", "case false:", tests("./agent/server/deployments")},
	{"a deployment that cannot go on has no end", "agent/server/deployments/deployments.go", "case !p.now.Before(by):", "case false:", simulator},
	{"a new leader forgets what is being deployed", "agent/server/deployments/deployments.go", "		w.note(d.ID, d)\n\t}\n}\n\n// Observe", "		_ = d\n\t}\n}\n\n// Observe", tests("./agent/server/deployments")},
	{"a deployment is successful while the old version runs", "agent/server/deployments/deployments.go", "if done && !p.older(d, job) && ", "if done && ", simulator},
	{"what is lost while an update is held gets the new version", "sched/reconcile/deploy.go", "return r.mode == held && r.outdated(a) &&", "return false && r.mode == held && r.outdated(a) &&", tests("./agent/server/deployments")},
	{"a lost instance is counted still", "model/deploy/count.go", "if !a.Terminal() {\n\t\tw.live++", "if !a.ServerTerminal() {\n\t\tw.live++", tests("./fsm")},
	{"a report from before the deployment counts", "model/deploy/count.go", "(was.Healthy != nil || report.ModifyIndex < was.ModifyIndex)", "was.Healthy != nil", tests("./fsm")},
	{"a newer version lets the older one's deployment go on", "fsm/jobs.go", "	x.supersede(next)\n", "", tests("./fsm")},
	{"an instance that restarts is healthy", "agent/client/alloc/health.go", "case t.status.Phase != task.Running:", "case !t.status.Started:", tests("./agent/client/alloc")},
	// Dependencies.
	{"a dependency is met when it is not", "sched/readiness/readiness.go", "if c.have >= c.want {", "if c.have < c.want {", simulator},
	{"what waits for a dependency and for room is woken by no room", "sched/readiness/readiness.go", "len(m.Waits) == 0 || m.NodePool != \"\" {", "len(m.Waits) == 0 {", tests("./sched/readiness")},
	{"a dependency that has only begun is healthy", "sched/readiness/instance.go", "if !ok || at.After(r.now) {", "if !ok && at.After(r.now) {", tests("./sched/...")},
	{"what waits for a dependency is not woken", "agent/server/dependents/dependents.go", "if m != nil && len(m.Waits) > 0 && waits[group] == nil {", "if m != nil && len(m.Waits) > 0 && waits[group] == nil && false {", simulator},
	{"a new leader forgets who waits for a dependency", "agent/server/dependents/dependents.go", "			w.note(e.ID, e)\n", "			_ = e\n", tests("./agent/server/dependents")},
	{"a cycle of dependencies over jobs is admitted", "fsm/tenants.go", "if err := precedence.Check(next, x.Job); err != nil {", "if err := precedence.Check(next, x.Job); err != nil && false {", tests("./fsm")},
	{"a cycle of dependencies is not seen", "model/precedence/precedence.go", "if s.state[k] == open {", "if s.state[k] == open && false {", tests("./model/precedence")},
	{"updates do not go in the order of dependencies", "sched/reconcile/roll.go", "case r.in.Waits[r.group.Name] == ToUpdate:", "case false:", simulator},
	{"a stopped job ends in no order of dependencies", "sched/reconcile/order.go", "case !a.Terminal() && !moving(a) && r.lost(a) == \"\":", "case false && at.IsZero():", simulator},
	// The node.
	{"a flipped bit in the client's state is believed", "agent/client/db/records.go", "if len(value) < 5 || value[0] != sealed ||", "if len(value) < 5 || value[0] != sealed || false &&", tests("./agent/client/db")},
	{"changed wishes are not heard", "agent/client/alloc/judge.go", "if was := have.Alloc; a.AllocModifyIndex == was.AllocModifyIndex && a.DesiredStatus == was.DesiredStatus {", "if was := have.Alloc; was != nil {", simulator},
	{"what is not assigned goes on", "agent/client/alloc/judge.go", "if have.Alloc.ServerTerminal() {", "if have.Alloc.ServerTerminal() || true {", simulator},
	{"ports are not waited for", "agent/client/alloc/judge.go", "b.Terminal() && overlap(a.AllocatedResources, b.AllocatedResources)", "b.Terminal() && overlap(a.AllocatedResources, b.AllocatedResources) && false", simulator},
	{"a task that was told to stop restarts", "agent/client/task/step.go", "if m.d.Stop {\n\t\tm.wantStopped()", "if m.d.Stop && m.s.Phase != Delaying {\n\t\tm.wantStopped()", tests("./agent/client/task")},
	{"newer statuses are thought acknowledged", "agent/client/report/report.go", "if e.sent != 0 && e.sent <= seq {", "if seq >= 0 {", simulator},
	{"unconfirmed statuses are not sent again", "agent/client/report/report.go", "for _, e := range q.entries {\n\t\te.sent = 0", "for _, e := range q.entries {\n\t\t_ = e.sent", simulator},
	{"after an election all nodes renew at once", "agent/client/session/session.go", "if took < min(together, every/waitShare) {", "if took < min(together, every/waitShare)+every {", tests("./agent/client/session")},
	{"stops are not told to nodes", "agent/server/session/hub.go", "return a != nil && !(a.ServerTerminal() && a.ClientTerminal())", "return a != nil", tests("./agent/server/session")},
}
