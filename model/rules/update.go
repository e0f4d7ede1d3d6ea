package rules

import (
	"strconv"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// updates finds what update blocks ask for and cannot be had of their job.
func (c *checker) updates() {
	told := map[model.Path]bool{}
	for _, g := range c.job.TaskGroups {
		if g == nil || g.Update == nil {
			continue
		}
		p := model.JobPath.Label("group", g.Name).Attr("update")
		if c.job.Update != nil && *g.Update == *c.job.Update {
			p = model.JobPath.Attr("update")
		}
		if !told[p] {
			told[p] = true
			c.update(p, g.Update)
		}
		if u := g.Update; c.job.Type == model.JobTypeService && u.Canary > g.Count && g.Count > 0 {
			c.add(p.Attr("canary"), "canary "+strconv.Itoa(u.Canary)+" is above the count "+strconv.Itoa(g.Count)+" of group "+strconv.Quote(g.Name),
				"at most count; canary = count runs old and new version side by side until the new one is promoted")
		}
	}
}

// update checks a block by the type of its job.
func (c *checker) update(p model.Path, u *model.UpdateStrategy) {
	switch c.job.Type {
	case model.JobTypeService:
		if u.MaxParallel == 0 {
			c.needless(p, u, "has no effect with max_parallel = 0, which replaces all instances at once", "max_parallel of at least 1")
		}
	case model.JobTypeSystem:
		c.needless(p, u, "is not supported for system jobs: they are updated node by node, without a deployment", "delete it: max_parallel, min_healthy_time and stagger work")
		usual := model.NewUpdateStrategy()
		if u.HealthyDeadline != usual.HealthyDeadline {
			c.add(p.Attr("healthy_deadline"), "healthy_deadline is not supported for system jobs", "delete it")
		}
		if u.ProgressDeadline != usual.ProgressDeadline {
			c.add(p.Attr("progress_deadline"), "progress_deadline is not supported for system jobs", "delete it")
		}
	default:
		if c.job.Update == nil { // else model.Validate says so
			c.add(p, c.job.Type+" jobs have no rolling updates", "delete the block")
		}
	}
}

// needless refuses what only deployments act on.
func (c *checker) needless(p model.Path, u *model.UpdateStrategy, why, hint string) {
	for _, attr := range []struct {
		name string
		set  bool
	}{
		{"canary", u.Canary > 0}, {"auto_revert", u.AutoRevert}, {"auto_promote", u.AutoPromote}, {"health_check", u.HealthCheck == deploy.Manual},
	} {
		if attr.set {
			c.add(p.Attr(attr.name), attr.name+" "+why, hint)
		}
	}
}
