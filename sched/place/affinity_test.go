package place

import (
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

func affinity(left, operator, right string, weight int8) *model.Affinity {
	return &model.Affinity{LTarget: left, Operand: operator, RTarget: right, Weight: weight}
}

func TestLikes(t *testing.T) {
	linux := affinity("${attr.kernel.name}", "=", "linux", 100)
	for _, c := range []struct {
		name string
		list []*model.Affinity
		want float64
	}{
		{"none", nil, 0},
		{"met", []*model.Affinity{linux}, 1},
		{"disliked", []*model.Affinity{affinity("${node.datacenter}", "=", "dc1", -1)}, -1},
		{"not met", []*model.Affinity{affinity("${attr.kernel.name}", "!=", "linux", -100)}, 0},
		{"absent", []*model.Affinity{affinity("${attr.none}", "<", "5", 100)}, 0},
		{"absent is unequal", []*model.Affinity{affinity("${attr.none}", "!=", "5", 100)}, 1},
		{"part", []*model.Affinity{linux, affinity("${attr.none}", relation.IsSet, "", 100)}, 0.5},
		{"against", []*model.Affinity{linux, affinity("${node.unique.name}", relation.Regexp, "^n7$", -50)}, 1.0 / 3},
		{"even", []*model.Affinity{affinity("${node.class}", "=", "", 30), affinity("${attr.kernel.name}", relation.SetContains, "linux", -30)}, 0},
		{"weight 0", []*model.Affinity{linux, affinity("${attr.kernel.name}", "=", "linux", 0)}, 1},
	} {
		job := testJob(1)
		job.TaskGroups[0].Affinities = c.list
		a := NewAsk(job, job.TaskGroups[0])
		if got := a.likes(testNode(7)); got != c.want {
			t.Errorf("%s: %g, want %g", c.name, got, c.want)
		}
		f := testFleet(8)
		s := NewBoard(f, Settings{}).Select(a)
		row, _ := f.row("node-00007")
		if got := s.score(row, false).liking; got != c.want {
			t.Errorf("%s: the selector says %g, want %g", c.name, got, c.want)
		}
		if n := s.Metrics().NodesFiltered; n != 0 {
			t.Errorf("%s: %d nodes were filtered", c.name, n)
		}
	}
}

// TestLevelsOfAffinity: job, group and tasks may all prefer nodes.
func TestLevelsOfAffinity(t *testing.T) {
	job := testJob(1)
	job.Affinities = []*model.Affinity{affinity("${node.datacenter}", "=", "dc1", 20)}
	job.TaskGroups[0].Affinities = []*model.Affinity{affinity("${node.datacenter}", "=", "dc2", 30)}
	job.TaskGroups[0].Tasks[0].Affinities = []*model.Affinity{affinity("${node.datacenter}", "=", "dc1", 50)}
	if got := NewAsk(job, job.TaskGroups[0]).likes(testNode(1)); got != 0.7 {
		t.Errorf("%g", got)
	}
}

// TestDislikedNodesShareTheLoad: where all nodes are disliked, instances are no
// reason for more of them.
func TestDislikedNodesShareTheLoad(t *testing.T) {
	job := testJob(10)
	job.Affinities = []*model.Affinity{affinity("${attr.kernel.name}", "=", "linux", -100)}
	s := NewBoard(testFleet(5), Settings{}).Select(NewAsk(job, job.TaskGroups[0]))
	got := map[string]int{}
	for range 10 {
		got[s.Next(nil).NodeID]++
	}
	for id, n := range got {
		if n != 2 {
			t.Errorf("%s has %d instances, want 2: %v", id, n, got)
		}
	}
}

// TestFailureOutweighsAffinity: an instance that failed on the node it likes best
// goes elsewhere, and back if there is nowhere else.
func TestFailureOutweighsAffinity(t *testing.T) {
	job := testJob(1)
	job.Affinities = []*model.Affinity{affinity("${node.unique.name}", "=", "n1", 100)}
	ask := NewAsk(job, job.TaskGroups[0])
	if got := NewBoard(testFleet(2), Settings{}).Select(ask).Next(nil).NodeID; got != "node-00001" {
		t.Errorf("%s is not the preferred one", got)
	}
	if got := NewBoard(testFleet(2), Settings{}).Select(ask).Next([]string{"node-00001"}).NodeID; got != "node-00000" {
		t.Errorf("%s has failed", got)
	}
	f := testFleet(2)
	f.DeleteNode("node-00000")
	if NewBoard(f, Settings{}).Select(ask).Next([]string{"node-00001"}) == nil {
		t.Error("with no other node the avoided one serves")
	}
}
