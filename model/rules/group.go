package rules

import (
	"fmt"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deadline"
	"github.com/steppe-project/steppe/model/gang"
)

// groups finds what groups ask for and cannot be had of their job.
func (c *checker) groups() {
	for _, g := range c.job.TaskGroups {
		if g == nil {
			continue
		}
		p := model.JobPath.Label("group", g.Name)
		if message, hint := deadline.Problem(c.job, g); message != "" {
			c.add(p.Attr("max_run_duration"), message, hint)
		}
		for _, wrong := range gang.Problems(c.job, g) {
			at := p.Attr("gang")
			if wrong.Attr != "" {
				at = at.Attr(wrong.Attr)
			}
			c.add(at, wrong.Message, wrong.Hint)
		}
		c.scaling(p.Attr("scaling"), g)
		c.alone(p, g)
		c.devices(p, g)
	}
}

// alone refuses what decides on the start of a group twice: which of them would go first
// is not settled.
func (c *checker) alone(p model.Path, g *model.TaskGroup) {
	waits := len(g.DependsOn)+len(c.job.DependsOn) > 0
	switch {
	case g.Stateful != nil && g.Gang != nil:
		c.add(p.Attr("gang"), "a stateful group starts one after the other, a gang all at once: a group cannot be both", "delete one of the blocks")
	case g.Stateful != nil && waits:
		c.add(p.Attr("stateful"), "a group that depends on others cannot be stateful yet", "delete its depends_on, or the stateful block; others may depend on a stateful group")
	case g.Gang != nil && waits:
		c.add(p.Attr("gang"), "a group that depends on others cannot be a gang yet", "delete its depends_on, or the gang block; others may depend on a gang")
	}
}

// scaling checks the bounds of a group's count.
func (c *checker) scaling(p model.Path, g *model.TaskGroup) {
	s := g.Scaling
	if s == nil {
		return
	}
	c.oneOf(p.Attr("type"), s.Type, "horizontal")
	if s.Min < 0 || s.Max < s.Min || s.Max > model.MaxCount {
		c.add(p, fmt.Sprintf("scaling needs 0 <= min <= max <= %d, not min %d and max %d", model.MaxCount, s.Min, s.Max), "")
	} else if n := int64(g.Count); n < s.Min || n > s.Max {
		c.add(p, fmt.Sprintf("count %d is not between scaling's min %d and max %d", n, s.Min, s.Max), "")
	}
}
