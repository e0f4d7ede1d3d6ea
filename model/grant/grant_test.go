package grant

import (
	"maps"
	"slices"
	"testing"

	"github.com/steppe-project/steppe/model"
)

func TestRefused(t *testing.T) {
	plan := &model.Plan{Groups: []*model.PlanGroup{
		nil,
		{TaskGroup: "a", Placements: []*model.Placement{
			nil,
			{ID: "before", NodeID: "n1"},
			{ID: "faulty-yield", NodeID: "n1", Preempts: []string{"x"}},
			{ID: "faulty-alone", NodeID: "n2"},
		}},
		{TaskGroup: "b", Placements: []*model.Placement{
			{ID: "after", NodeID: "n1", Preempts: []string{"y"}},
			{ID: "beside", NodeID: "n2"},
			{ID: "behind", NodeID: "n4"},
		}},
		{TaskGroup: "gang", Together: true, Placements: []*model.Placement{
			{ID: "gang-1", NodeID: "n3"},
			{ID: "gang-2", NodeID: "n4", Preempts: []string{"z"}},
		}},
		{TaskGroup: "gang", Together: true, Placements: []*model.Placement{{ID: "gang-faulty", NodeID: "n5"}}},
	}}
	for _, c := range []struct {
		name   string
		wide   bool
		faults string
		want   []string
	}{
		{"nothing", true, "none", nil},
		{"what counts on the room of one", true, "faulty-yield", []string{"after", "before", "faulty-yield"}},
		{"by servers before", false, "faulty-yield", []string{"faulty-yield"}},
		{"it needed no room", true, "faulty-alone", []string{"faulty-alone"}},
		{"a gang, and what counts on its room", true, "gang-faulty", []string{"behind", "gang-1", "gang-2", "gang-faulty"}},
		{"a gang alone", false, "gang-faulty", []string{"gang-1", "gang-2", "gang-faulty"}},
	} {
		got := Refused(plan, func(_ *model.PlanGroup, p *model.Placement) string {
			if p.ID == c.faults {
				return "fault"
			}
			return ""
		}, c.wide)
		if s := slices.Sorted(maps.Keys(got)); !slices.Equal(s, c.want) {
			t.Errorf("%s: refused %v, want %v", c.name, s, c.want)
		}
	}
}
