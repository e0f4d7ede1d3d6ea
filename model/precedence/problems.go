package precedence

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
)

// MaxDependencies bounds those of one block: each is looked at in every decision.
const MaxDependencies = 64

// Problems finds what is wrong with the dependencies of a canonical job.
func Problems(j *model.Job) []model.Problem {
	if !Uses(j) {
		return nil
	}
	c := &checker{job: j}
	c.list(model.JobPath, nil, j.DependsOn)
	for _, g := range j.TaskGroups {
		c.list(model.JobPath.Label("group", g.Name), g, g.DependsOn)
	}
	if len(c.problems) == 0 {
		if err := Check(j, func(string, string) *model.Job { return nil }); err != nil {
			c.add(model.JobPath, err.(*model.Error).Message, "")
		}
	}
	return c.problems
}

type checker struct {
	job      *model.Job
	problems []model.Problem
}

func (c *checker) add(p model.Path, message, hint string) {
	c.problems = append(c.problems, model.Problem{Path: string(p), Message: message, Hint: hint})
}

// list checks the blocks of a group, or of the job (nil).
func (c *checker) list(p model.Path, g *model.TaskGroup, list []*depends.Dependency) {
	if len(list) > MaxDependencies {
		c.add(p, fmt.Sprintf("%d depends_on blocks are too many", len(list)), fmt.Sprintf("at most %d", MaxDependencies))
		return
	}
	seen := map[string]bool{}
	for _, d := range list {
		at := p.Label("depends_on", d.Name)
		if seen[d.Name] {
			c.add(at, fmt.Sprintf("the label %q is used twice", d.Name), "")
		}
		seen[d.Name] = true
		if !slices.Contains(depends.Conditions(), d.Asks()) {
			c.add(at.Attr("condition"), fmt.Sprintf("%q is not a valid value", d.Condition), "one of: "+strings.Join(depends.Conditions(), ", "))
			continue
		}
		for _, s := range []string{d.Name, d.Job, d.Namespace, d.Group} {
			if len(s) > model.MaxNameLength || strings.ContainsFunc(s, unicode.IsControl) {
				c.add(at, fmt.Sprintf("%.40q is no name", s), fmt.Sprintf("at most %d bytes, no control characters", model.MaxNameLength))
			}
		}
		c.target(at, g, d)
	}
}

// target checks what a dependency is about.
func (c *checker) target(at model.Path, g *model.TaskGroup, d *depends.Dependency) {
	switch {
	case d.Name == "":
		c.add(at, "a dependency needs a label", `depends_on "db" { ... }: a group of this job, or any name with job = "..." in it`)
	case d.Job == "" && (d.Namespace != "" || d.Group != ""):
		c.add(at, "namespace and group say more of another job, and none is named", `job = "..."; a group of this job is named by the label alone`)
	case d.Job == "" && g == nil:
		c.add(at, "a dependency of the whole job is one on another job", `job = "..."; what is between groups of this job is written in the groups`)
	case !Own(c.job, d):
	case g == nil || Group(d) == "":
		c.add(at, "the job would wait for itself", "name another job, or write it in a group and name a group of this job")
	default:
		c.own(at, g, d)
	}
}

// own checks a dependency on a group of the same job.
func (c *checker) own(at model.Path, g *model.TaskGroup, d *depends.Dependency) {
	name := Group(d)
	switch {
	case find(c.job, name) == nil:
		var names []string
		for _, other := range c.job.TaskGroups {
			if other != g {
				names = append(names, other.Name)
			}
		}
		hint := `another job is named with job = "..."`
		if len(names) > 0 {
			hint = "the job's other groups: " + strings.Join(names[:min(len(names), 10)], ", ") + "; " + hint
		}
		c.add(at, fmt.Sprintf("the job has no group %q", name), hint)
	case name == g.Name:
		c.add(at, fmt.Sprintf("group %q would wait for itself", name), "name another group")
	default:
		if message, hint := Unfit(c.job, d.Asks()); message != "" {
			c.add(at.Attr("condition"), message, hint)
		}
	}
}

// Unfit tells why a condition can never be met by groups of a job, and what to write; ""
// when it can.
func Unfit(target *model.Job, condition string) (message, hint string) {
	batch := target.Type == model.JobTypeBatch || target.Type == model.JobTypeSysbatch
	switch {
	case condition == depends.Completed && !batch:
		return fmt.Sprintf("a %s job does not complete", target.Type), `condition = "healthy" or "started"`
	case condition == depends.Healthy && batch:
		return fmt.Sprintf("nothing of a %s job is ever called healthy", target.Type), `condition = "completed" or "started"`
	}
	return "", ""
}

// Misfits finds a condition on another job that this one, as lookup has it (nil: it does
// not exist), can never meet.
func Misfits(j *model.Job, lookup func(namespace, id string) *model.Job) error {
	for _, g := range j.TaskGroups {
		for _, d := range Of(j, g) {
			id := Target(j, d)
			target := lookup(id.Namespace, id.ID)
			if target == nil || Own(j, d) {
				continue
			}
			if message, hint := Unfit(target, d.Asks()); message != "" {
				return model.Errorf(model.CodeInvalid, "group %q depends on job %q being %s, and %s: write %s", g.Name, id.ID, d.Asks(), message, hint)
			}
		}
	}
	return nil
}
