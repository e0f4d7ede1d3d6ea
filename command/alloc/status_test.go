package alloc

import (
	"fmt"
	"testing"

	"github.com/steppe-project/steppe/model"
)

func TestScores(t *testing.T) {
	header, rows := scores([]*model.NodeScoreMeta{
		{NodeID: "n1", Scores: map[string]float64{"binpack": 0.25, "node-affinity": -0.3333}, NormScore: 0.1},
		{NodeID: "n2", Scores: map[string]float64{"binpack": 1, "allocation-spread": -1}, NormScore: -0.5},
	})
	got := fmt.Sprint(header, rows)
	want := "[Node allocation-spread binpack node-affinity Final Score] [[n1 0 0.25 -0.333 0.1] [n2 -1 1 0 -0.5]]"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
