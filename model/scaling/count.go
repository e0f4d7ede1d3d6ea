package scaling

import "github.com/steppe-project/steppe/model"

// CheckCount compares a count with the group's scaling bounds.
func CheckCount(g *model.TaskGroup, count int) error {
	if count < 0 {
		return model.Errorf(model.CodeInvalid, "scaling action count can't be negative")
	}
	if g.Scaling == nil || !g.Scaling.Enabled {
		return nil
	}
	if int64(count) < g.Scaling.Min {
		return model.Errorf(model.CodeInvalid, "group count was less than scaling policy minimum: %d < %d", count, g.Scaling.Min)
	}
	if int64(count) > g.Scaling.Max {
		return model.Errorf(model.CodeInvalid, "group count was greater than scaling policy maximum: %d > %d", count, g.Scaling.Max)
	}
	return nil
}
