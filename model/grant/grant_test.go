package grant

import (
	"maps"
	"slices"
	"testing"

	"github.com/steppe-project/steppe/model"
)

func TestRefused(t *testing.T) {
	allocs := map[string]*model.Allocation{
		"runs":  {ID: "runs", DesiredStatus: model.DesiredRun, ClientStatus: model.ClientRunning},
		"stops": {ID: "stops", DesiredStatus: model.DesiredStop, ClientStatus: model.ClientRunning},
		"made":  {ID: "made", DesiredStatus: model.DesiredRun},
	}
	plan := &model.Plan{Groups: []*model.PlanGroup{
		nil,
		{Placements: []*model.Placement{
			nil,
			{ID: "before", NodeID: "n1"},
			{ID: "bereft", NodeID: "n1", Preempts: []string{"runs", "stops"}},
			{ID: "alone", NodeID: "n3", Preempts: []string{"gone"}},
			{ID: "made", NodeID: "n4", Preempts: []string{"stops"}},
		}},
		{Placements: []*model.Placement{
			{ID: "after", NodeID: "n1", Preempts: []string{"runs"}},
			{ID: "elsewhere", NodeID: "n2", Preempts: []string{"runs"}},
			{ID: "beside", NodeID: "n4"},
		}},
	}}
	for _, c := range []struct {
		wide bool
		want []string
	}{
		{false, []string{"alone", "bereft"}},
		{true, []string{"after", "alone", "before", "bereft"}},
	} {
		got := Refused(plan, func(id string) *model.Allocation { return allocs[id] }, c.wide)
		if s := slices.Sorted(maps.Keys(got)); !slices.Equal(s, c.want) {
			t.Errorf("wide %v: refused %v, want %v", c.wide, s, c.want)
		}
	}
}
