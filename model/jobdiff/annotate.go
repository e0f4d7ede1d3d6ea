package jobdiff

import (
	"strconv"

	"github.com/steppe-project/steppe/model"
)

// What a change means for the instances of a group, as clients know it.
const (
	ForcesCreate  = "forces create"
	ForcesDestroy = "forces destroy"
	ForcesInPlace = "forces in-place update"
	ForcesReplace = "forces create/destroy update"
)

// Annotate adds what a plan does to the instances of each group, and what of it the
// changed fields bring about.
func (d *Job) Annotate(updates map[string]*model.DesiredUpdates) {
	for _, g := range d.TaskGroups {
		u := updates[g.Name]
		if u == nil {
			continue
		}
		g.count(u)
		for _, f := range g.Fields {
			f.annotate()
		}
		for _, t := range g.Tasks {
			if t.Type == None || g.Type == Added || g.Type == Deleted {
				continue
			}
			switch {
			case u.DestructiveUpdate > 0 || u.Canary > 0:
				t.Annotations = []string{ForcesReplace}
			case u.InPlaceUpdate > 0:
				t.Annotations = []string{ForcesInPlace}
			}
		}
	}
}

func (g *TaskGroup) count(u *model.DesiredUpdates) {
	for name, n := range map[string]uint64{
		"ignore": u.Ignore, "create": u.Place, "migrate": u.Migrate, "destroy": u.Stop, "canary": u.Canary,
		"in-place update": u.InPlaceUpdate, "create/destroy update": u.DestructiveUpdate, "preemptions": u.Preemptions,
		"reschedule now": u.RescheduleNow, "reschedule later": u.RescheduleLater,
	} {
		if n == 0 {
			continue
		}
		if g.Updates == nil {
			g.Updates = make(map[string]uint64)
		}
		g.Updates[name] = n
	}
}

// annotate says what a changed count does.
func (f *Field) annotate() {
	before, _ := strconv.Atoi(f.Old)
	after, _ := strconv.Atoi(f.New)
	switch {
	case f.Name != "Count" || before == after:
	case after > before:
		f.Annotations = []string{ForcesCreate}
	default:
		f.Annotations = []string{ForcesDestroy}
	}
}
