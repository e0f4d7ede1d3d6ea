package whatif_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/sim/workload"
)

var (
	casesFlag = flag.Int("whatif", 60, "so many predictions")
	caseFlag  = flag.Uint64("whatif.seed", 0, "only the case of this seed, in words")
)

// end is where an instance is in the end, and why.
type end struct{ what, node string }

// tally compares predictions with what happened.
type tally struct {
	cases, allocs, fates, places int
	what                         map[string]int
	lasts                        time.Duration
}

// TestPredictions: in random clusters, what is predicted of nodes that are lost,
// drained or added and jobs that are run, scaled or stopped is what then happens when
// production's goroutines run, allocation by allocation. -whatif=1000 runs a thousand.
func TestPredictions(t *testing.T) {
	sum := &tally{what: map[string]int{}}
	for seed := uint64(1); sum.cases < *casesFlag; seed++ {
		if *caseFlag != 0 {
			seed, sum.cases = *caseFlag, *casesFlag
		}
		synctest.Test(t, func(t *testing.T) { sum.predict(t, seed) })
	}
	t.Logf("%d cases, %d allocations: %d predicted with what becomes of them, %d with the node too; %v; %s of virtual time predicted",
		sum.cases, sum.allocs, sum.fates, sum.places, sum.what, sum.lasts)
	// Among equally urgent jobs it is a race who takes what is left: rarely enough.
	// A few questions alone may hold more races than the promise, which is of a thousand.
	fates, places := 97, 95
	if sum.cases >= 1000 {
		fates, places = 99, 98
	}
	if sum.fates*100 < fates*sum.allocs || sum.places*100 < places*sum.allocs {
		t.Errorf("of %d allocations %d were predicted, %d with the node", sum.allocs, sum.fates, sum.places)
	}
	for _, what := range []string{insight.FateMoves, insight.FateStarts, insight.FateStops, insight.FatePending, insight.FateUpdates, "stays"} {
		if sum.what[what] == 0 && *caseFlag == 0 {
			t.Errorf("nothing %s: the test is idle", what)
		}
	}
}

func (s *tally) predict(t *testing.T, seed uint64) {
	c := start(t, seed, 1+int(seed%2))
	defer c.stop()
	dice := rand.New(rand.NewPCG(seed, 6))
	var nodes []*model.Node
	for i := range 3 + dice.IntN(8) {
		nodes = append(nodes, c.node(i+1))
	}
	var jobs []*model.Job
	for i := range 1 + dice.IntN(5) {
		j := workload.Job(dice, []string{"s", "s", "s", "b", "y"}[dice.IntN(5)]+fmt.Sprint(i), nil)
		for _, g := range j.TaskGroups {
			if dice.IntN(3) == 0 && j.Type != model.JobTypeSystem {
				g.Count += dice.IntN(6)
			}
			for _, task := range g.Tasks {
				task.Resources.CPU, task.Resources.MemoryMB = max(1, task.Resources.CPU/2), max(10, task.Resources.MemoryMB/2)
			}
		}
		jobs = append(jobs, j)
		c.run(j)
	}
	time.Sleep(3 * time.Minute)
	q := question(dice, nodes, jobs)
	before := c.Store.Snapshot()
	hash := before.Hash()
	a, err := c.ask(q)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if c.Store.Snapshot().Hash() != hash {
		t.Fatalf("seed %d: asking changed the state", seed)
	}
	c.do(q, a)
	time.Sleep(min(a.Lasts, time.Hour) + 2*time.Minute)
	s.cases++
	s.lasts += a.Lasts
	wrong := s.compare(before, c.Store.Snapshot(), a)
	for _, w := range wrong {
		t.Logf("seed %d: %s", seed, w)
	}
	if *caseFlag != 0 {
		t.Logf("%+v lasts %s, made of %q, %v", q, a.Lasts, a.MadeOf, a.Unended)
	}
}

// question asks about one or two things.
func question(dice *rand.Rand, nodes []*model.Node, jobs []*model.Job) *insight.Question {
	q := &insight.Question{}
	one := func() *model.Node { return nodes[dice.IntN(len(nodes))] }
	job := jobs[dice.IntN(len(jobs))]
	for range 1 + dice.IntN(2) {
		switch dice.IntN(9) {
		case 0, 1:
			q.Lose = append(q.Lose, &insight.Selection{Node: one().ID})
		case 2:
			q.Lose = append(q.Lose, &insight.Selection{Rules: []*model.Constraint{{LTarget: "${meta.rack}", Operand: "=", RTarget: one().Meta["rack"]}}})
		case 3:
			q.Lose = append(q.Lose, &insight.Selection{Datacenter: one().Datacenter, Class: one().NodeClass})
		case 4, 5:
			if len(q.Drain) == 0 {
				deadline := []time.Duration{0, 20 * time.Second, -1}[dice.IntN(3)]
				q.Drain = append(q.Drain, &insight.Draining{Selection: insight.Selection{Node: one().ID}, Deadline: deadline})
			}
		case 6:
			if len(q.Add) == 0 {
				q.Add = append(q.Add, &insight.Addition{Count: 1 + dice.IntN(3), Like: insight.Selection{Node: one().ID}})
			}
		case 7:
			if g := job.TaskGroups[0]; job.Type == model.JobTypeService || job.Type == model.JobTypeBatch {
				q.Scale = append(q.Scale, &insight.Scaling{JobID: job.ID, Group: g.Name, Count: dice.IntN(9)})
			}
		default:
			switch {
			case len(q.Jobs)+len(q.Stop) > 0:
			case dice.IntN(4) == 0:
				q.Stop = append(q.Stop, &model.NamespacedID{ID: job.ID})
			default:
				q.Jobs = append(q.Jobs, workload.Job(dice, job.ID, nil))
			}
		}
	}
	exists := slices.ContainsFunc(q.Lose, func(s *insight.Selection) bool {
		return !slices.ContainsFunc(nodes, func(n *model.Node) bool {
			return (s.Datacenter == "" || s.Datacenter == n.Datacenter) && (s.Class == "" || s.Class == n.NodeClass)
		})
	})
	if exists || len(q.Lose)+len(q.Drain)+len(q.Add)+len(q.Scale)+len(q.Stop)+len(q.Jobs) == 0 {
		q.Lose = []*insight.Selection{{Node: one().ID}}
	}
	return q
}

// happened tells what became of every instance, with code that shares nothing with
// the answer's; those that are new come by their name.
func happened(before, after *state.Snapshot, names map[string]string) map[string]end {
	out := map[string]end{}
	taken := map[string]bool{}
	for a := range before.Allocs(state.Range{}) {
		if a.Terminal() {
			continue
		}
		taken[a.ID] = true
		now, job := after.Alloc(a.ID), after.Job(a.Namespace, a.JobID)
		if now != nil && !now.Terminal() {
			out[a.ID] = end{"stays", a.NodeID}
			continue
		}
		system := a.Job.Type == model.JobTypeSystem
		for b := range after.AllocsByJob(a.Namespace, a.JobID) {
			if before.Alloc(b.ID) != nil || b.Terminal() || b.Name != a.Name || system && b.NodeID != a.NodeID {
				continue
			}
			taken[b.ID] = true
			what := insight.FateMoves
			if b.JobVersion != a.JobVersion {
				what = insight.FateUpdates
			}
			out[a.ID] = end{what, b.NodeID}
		}
		if out[a.ID].what != "" {
			continue
		}
		out[a.ID] = end{insight.FateStops, ""}
		for _, g := range job.TaskGroups {
			if g.Name == a.TaskGroup && !job.Stop && !system && a.Index() < g.Count {
				out[a.ID] = end{insight.FatePending, ""}
			}
		}
	}
	for b := range after.Allocs(state.Range{}) {
		if !b.Terminal() && !taken[b.ID] {
			key := b.Name
			if b.Job.Type == model.JobTypeSystem {
				key += b.NodeID
			}
			out[key] = end{insight.FateStarts, b.NodeID}
		}
	}
	for id := range out {
		if a := before.Alloc(id); a != nil {
			names[id] = a.Name + " " + a.ID[:8]
		}
	}
	return out
}

// compare counts, and tells what was not as predicted.
func (s *tally) compare(before, after *state.Snapshot, a *insight.Answer) []string {
	names := map[string]string{}
	real := happened(before, after, names)
	predicted := map[string]end{}
	for id, e := range real {
		if before.Alloc(id) != nil {
			predicted[id] = end{"stays", before.Alloc(id).NodeID}
		}
		s.what[e.what]++
	}
	for _, f := range a.Allocs {
		key := f.AllocID
		if f.What == insight.FateStarts {
			if key = f.Name; before.Job(f.Namespace, f.JobID) != nil && before.Job(f.Namespace, f.JobID).Type == model.JobTypeSystem {
				key += f.ToID
			}
		}
		predicted[key] = end{f.What, f.ToID}
	}
	var wrong []string
	all := maps.Clone(predicted)
	maps.Copy(all, real)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		p, r := predicted[key], real[key]
		s.allocs++
		if p.what == r.what {
			s.fates++
		}
		if p == r {
			s.places++
		} else {
			wrong = append(wrong, fmt.Sprintf("%s: predicted %v, and it %v", cmp.Or(names[key], key), p, r))
		}
	}
	return wrong
}
