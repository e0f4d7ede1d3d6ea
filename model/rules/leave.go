package rules

import (
	"strconv"
	"time"

	"github.com/steppe-project/steppe/model"
)

// leaves checks how instances of groups leave their nodes: drained, or cut off.
func (c *checker) leaves() {
	for _, g := range c.job.TaskGroups {
		if g == nil {
			continue
		}
		p := model.JobPath.Label("group", g.Name)
		c.migrate(p.Attr("migrate"), g.Migrate)
		if d := g.Disconnect; d != nil {
			c.notNegative(p.Attr("disconnect").Attr("stop_on_client_after"), d.StopOnClientAfter)
			if d.StopOnClientAfter > 0 && g.StopAfterClientDisconnect > 0 {
				c.add(p.Attr("stop_after_client_disconnect"), "disconnect has stop_on_client_after: only one of them may be written", "it is the old form of disconnect")
			}
		}
	}
}

func (c *checker) migrate(p model.Path, m *model.MigrateStrategy) {
	if m == nil {
		return
	}
	if m.MaxParallel < 1 {
		c.add(p.Attr("max_parallel"), "must be at least 1, but is "+strconv.Itoa(m.MaxParallel), "")
	}
	c.oneOf(p.Attr("health_check"), m.HealthCheck, "checks", "task_states")
	c.notNegative(p.Attr("min_healthy_time"), m.MinHealthyTime)
	if m.HealthyDeadline <= m.MinHealthyTime {
		c.add(p.Attr("healthy_deadline"), "must be longer than min_healthy_time ("+m.MinHealthyTime.String()+"), but is "+m.HealthyDeadline.String(), "")
	}
}

func (c *checker) notNegative(p model.Path, d time.Duration) {
	if d < 0 {
		c.add(p, "must not be negative, but is "+d.String(), "")
	}
}
