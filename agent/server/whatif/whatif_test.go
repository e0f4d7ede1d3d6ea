package whatif_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
)

// small is a cluster of equal nodes with room for four instances of web each.
func small(t *testing.T, nodes int) (*cluster, []*model.Node) {
	c := start(t, 1, 1)
	var list []*model.Node
	for i := range nodes {
		n := machine(i)
		n.NodeResources.Memory.MemoryMB, n.Datacenter, n.ComputedClass = 1000, []string{"dc1", "dc2"}[i%2], ""
		c.register(n)
		list = append(list, n)
	}
	return c, list
}

func (c *cluster) mustAsk(q *insight.Question) *insight.Answer {
	c.t.Helper()
	a, err := c.ask(q)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func fates(a *insight.Answer) map[string]int {
	n := map[string]int{}
	for _, f := range a.Allocs {
		n[f.What]++
	}
	return n
}

// A node is lost: what it ran moves, after its lease.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := small(t, 4)
		defer c.stop()
		c.run(service("web", 8, 250))
		time.Sleep(time.Minute)
		on := 0
		for a := range c.Store.Snapshot().AllocsByNode(nodes[0].ID) {
			if !a.Terminal() {
				on++
			}
		}
		a := c.mustAsk(&insight.Question{Lose: []*insight.Selection{{Node: nodes[0].Name}}})
		if n := fates(a); n[insight.FateMoves] != on || len(n) > 1 || a.Stays != 8-on || a.Brake.Engages || a.Brake.Vanished != 1 || a.Brake.Nodes != 4 {
			t.Errorf("of %d: %v, %d stay, brake %+v", on, n, a.Stays, a.Brake)
		}
		for _, f := range a.Allocs {
			if f.NodeID != nodes[0].ID || f.ToID == f.NodeID || f.After < time.Second || f.After > 30*time.Second || !strings.Contains(f.Reason, "lost") {
				t.Errorf("%+v", f)
			}
		}
		if a.Before[0].Nodes+a.Before[1].Nodes != 4 || a.After[0].Nodes+a.After[1].Nodes != 3 {
			t.Errorf("full: %+v, then %+v", a.Before[0], a.After[0])
		}
	})
}

// Too many at once: the brake holds them, gives up six a minute, and what has no room
// waits, with what would help.
func TestBrake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := small(t, 8)
		defer c.stop()
		c.run(service("web", 24, 250))
		time.Sleep(time.Minute)
		a := c.mustAsk(&insight.Question{Lose: []*insight.Selection{{Datacenter: "dc1"}}})
		if !a.Brake.Engages || a.Brake.Vanished != 4 || a.Brake.Lasts < 40*time.Second || a.Brake.Lasts > time.Minute || a.Lasts < a.Brake.Lasts {
			t.Errorf("brake %+v, %s in all", a.Brake, a.Lasts)
		}
		if !slices.ContainsFunc(a.MadeOf, func(s string) bool { return strings.Contains(s, "gives up 6 a minute") }) {
			t.Errorf("made of %q", a.MadeOf)
		}
		g := a.Groups[0]
		if g.Pending != 8 || g.After != 16 || len(g.Remedies) == 0 || g.Why.DimensionExhausted["memory"] != 4 {
			t.Errorf("%+v", g)
		}
	})
}

// Added nodes, and a job that is scaled, in one question.
func TestGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := small(t, 2)
		defer c.stop()
		c.run(service("web", 8, 250))
		time.Sleep(time.Minute)
		more := &insight.Scaling{JobID: "web", Count: 6, Relative: true}
		full := c.mustAsk(&insight.Question{Scale: []*insight.Scaling{more}})
		if g := full.Groups[0]; g.Pending != 6 || g.Start != 0 || g.Count != 14 {
			t.Errorf("without nodes: %+v", g)
		}
		a := c.mustAsk(&insight.Question{Scale: []*insight.Scaling{more}, Add: []*insight.Addition{{Count: 2, Like: insight.Selection{Node: nodes[1].ID[:8]}}}})
		if g := a.Groups[0]; g.Pending != 0 || g.Start != 6 || len(a.Added) != 2 || a.Stays != 8 {
			t.Errorf("with nodes: %+v", g)
		}
	})
}

// A drain takes a few of a group at a time, and stops what has no place at its
// deadline.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := small(t, 3)
		defer c.stop()
		c.run(service("web", 8, 250))
		time.Sleep(time.Minute)
		q := &insight.Question{Drain: []*insight.Draining{{Selection: insight.Selection{Node: nodes[0].ID}, Deadline: time.Hour}}}
		a := c.mustAsk(q)
		n := fates(a)
		if n[insight.FatePending] != 0 || n[insight.FateMoves] == 0 || a.Lasts < 10*time.Second || a.Lasts > 10*time.Minute || a.Unended != "" {
			t.Errorf("%v in %s: %s", n, a.Lasts, a.Unended)
		}
		c.run(service("more", 4, 250))
		time.Sleep(time.Minute)
		stuck := c.mustAsk(q)
		if n := fates(stuck); n[insight.FatePending] == 0 || stuck.Lasts < time.Hour || stuck.Lasts > time.Hour+time.Minute {
			t.Errorf("without room: %v in %s", n, stuck.Lasts)
		}
		q.Horizon = time.Minute
		if early := c.mustAsk(q); !strings.Contains(early.Unended, "still being drained") {
			t.Errorf("not looked so far: %q", early.Unended)
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := small(t, 2)
		defer c.stop()
		c.run(service("web", 1, 250))
		two := service("two", 1, 100)
		g := *two.TaskGroups[0]
		g.Name = "h"
		two.TaskGroups = append(two.TaskGroups, &g)
		c.run(two)
		time.Sleep(time.Minute)
		bad := service("bad", 1, 100)
		bad.TaskGroups[0].Tasks[0].Driver = ""
		for want, q := range map[string]*insight.Question{
			"nothing is to happen":                    {},
			"no node \"n9\"":                          {Lose: []*insight.Selection{{Node: "n9"}}},
			"a selection of nodes is empty":           {Lose: []*insight.Selection{{}}},
			"no node is selected by datacenter \"x\"": {Drain: []*insight.Draining{{Selection: insight.Selection{Datacenter: "x"}}}},
			"a constraint on the node alone":          {Lose: []*insight.Selection{{Rules: []*model.Constraint{{Operand: "distinct_hosts"}}}}},
			"regexp":                                  {Lose: []*insight.Selection{{Rules: []*model.Constraint{{LTarget: "${meta.a}", Operand: "regexp", RTarget: "("}}}}},
			"an addition needs a count":               {Add: []*insight.Addition{{Like: insight.Selection{Node: nodes[0].ID}}}},
			"job \"none\" not found":                  {Scale: []*insight.Scaling{{JobID: "none", Count: 1}}},
			"several groups, name one: g, h":          {Scale: []*insight.Scaling{{JobID: "two", Count: 1}}},
			"no group \"x\"; it has: g":               {Scale: []*insight.Scaling{{JobID: "web", Group: "x", Count: 1}}},
			"count can't be negative":                 {Scale: []*insight.Scaling{{JobID: "web", Count: -5, Relative: true}}},
			"job \"gone\" not found":                  {Stop: []*model.NamespacedID{{ID: "gone"}}},
			"driver":                                  {Jobs: []*model.Job{bad}},
			"missing job to run":                      {Jobs: []*model.Job{nil}},
			"the horizon is":                          {Horizon: -1, Lose: []*insight.Selection{{Node: nodes[0].ID}}},
		} {
			if _, err := c.ask(q); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
	})
}
