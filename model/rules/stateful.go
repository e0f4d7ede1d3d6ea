package rules

import (
	"strconv"

	"github.com/steppe-project/steppe/model"
)

// stateful finds what stateful blocks ask for and cannot be had.
func (c *checker) stateful() {
	for _, g := range c.job.TaskGroups {
		if g == nil || g.Stateful == nil {
			continue
		}
		s, p := g.Stateful, model.JobPath.Label("group", g.Name)
		if c.job.Type != model.JobTypeService {
			c.add(p.Attr("stateful"), "a "+c.job.Type+" job has no stateful groups", `type = "service"`)
			continue
		}
		if s.Partition < 0 {
			c.add(p.Attr("stateful").Attr("partition"), "must not be negative, but is "+strconv.Itoa(s.Partition),
				"0 updates all instances, count none")
		}
		u := g.Update
		if u == nil {
			continue
		}
		up := p.Attr("update")
		switch {
		case u.Canary > 0:
			c.add(up.Attr("canary"), "a stateful group has no canaries: a second instance of an ordinal never runs beside it",
				"use stateful.partition: with count - 1 the highest ordinal alone takes the new version, and lowering it updates the others")
		case u.MaxParallel == 0:
			c.add(up.Attr("max_parallel"), "max_parallel = 0 would replace all instances of a stateful group at once", "max_parallel = 1")
		case s.Ordered && u.MaxParallel > 1:
			c.add(up.Attr("max_parallel"), "max_parallel = "+strconv.Itoa(u.MaxParallel)+" cannot be had of an ordered stateful group: its instances are updated one at a time",
				"max_parallel = 1, or ordered = false in the stateful block")
		}
	}
}
