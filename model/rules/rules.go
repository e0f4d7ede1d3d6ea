// Package rules is everything that is asked of a job before it may be registered: what
// model.Validate and model.Unsupported find, and what jobs that launch others must
// keep. The CLI, the HTTP API and the leader ask the same. It is part of the model:
// pure data and rules.
//
// Example:
//
//	job.Canonicalize()
//	problems := rules.Problems(job)
package rules

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/precedence"
)

// Problems finds what is wrong with a canonical job, or asks for what this version
// does not act on.
func Problems(j *model.Job) []model.Problem {
	c := &checker{job: j, batch: j.Type == model.JobTypeBatch || j.Type == model.JobTypeSysbatch}
	if j.Periodic != nil {
		c.periodic(model.JobPath.Attr("periodic"), j.Periodic)
	}
	if j.ParameterizedJob != nil {
		c.parameterized(model.JobPath.Attr("parameterized"), j.ParameterizedJob)
	}
	c.payloads()
	c.updates()
	c.leaves()
	c.stateful()
	c.groups()
	return slices.Concat(model.Validate(j), c.problems, precedence.Problems(j), model.Unsupported(j))
}

type checker struct {
	job      *model.Job
	batch    bool
	problems []model.Problem
}

func (c *checker) add(p model.Path, message, hint string) {
	c.problems = append(c.problems, model.Problem{Path: string(p), Message: message, Hint: hint})
}

// template checks what all jobs that launch others have in common.
func (c *checker) template(p model.Path, what string) {
	if !c.batch {
		c.add(p, "a "+c.job.Type+" job cannot be "+what, `type = "batch" or "sysbatch"`)
	}
}

func (c *checker) oneOf(p model.Path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.add(p, strconv.Quote(value)+" is not a valid value", "one of: "+strings.Join(allowed, ", "))
	}
}

func (c *checker) periodic(p model.Path, conf *model.PeriodicConfig) {
	c.template(p, "periodic")
	c.oneOf(p.Attr("spec_type"), conf.SpecType, "cron")
	c.oneOf(p.Attr("catch_up"), cmp.Or(conf.CatchUp, launch.CatchUpLast), launch.CatchUpLast, launch.CatchUpSkip)
	switch {
	case conf.Spec == "" && len(conf.Specs) == 0:
		c.add(p, "a periodic block needs a cron specification", `crons = ["*/15 * * * *"]`)
		return
	case conf.Spec != "" && len(conf.Specs) > 0:
		c.add(p, "cron and crons cannot both be set", "")
		return
	case len(conf.Specs) > cron.MaxSpecs:
		c.add(p.Attr("crons"), strconv.Itoa(len(conf.Specs))+" expressions are too many", "at most "+strconv.Itoa(cron.MaxSpecs))
		return
	}
	if _, err := cron.Zone(conf.TimeZone); err != nil {
		c.add(p.Attr("time_zone"), err.Error(), `such as "UTC" or "Europe/Berlin"`)
	}
	name, specs := "crons", conf.Specs
	if conf.Spec != "" {
		name, specs = "cron", []string{conf.Spec}
	}
	for _, spec := range specs {
		if _, err := cron.Parse(spec); err != nil {
			c.add(p.Attr(name), err.Error(), "minute, hour, day of month, month, day of week; seconds before and a year after them may be added together")
		}
	}
}

func (c *checker) parameterized(p model.Path, conf *model.ParameterizedJobConfig) {
	c.template(p, "parameterized")
	if c.job.Periodic != nil {
		c.add(p, "a job cannot be both periodic and parameterized", "")
	}
	c.oneOf(p.Attr("payload"), cmp.Or(conf.Payload, launch.PayloadOptional), launch.PayloadOptional, launch.PayloadRequired, launch.PayloadForbidden)
	seen := map[string]bool{}
	for _, k := range slices.Concat(conf.MetaRequired, conf.MetaOptional) {
		switch {
		case k == "":
			c.add(p, "a meta key is empty", "")
		case seen[k]:
			c.add(p, "the meta key "+strconv.Quote(k)+" is named twice in meta_required and meta_optional", "")
		}
		seen[k] = true
	}
}

// payloads finds tasks that wait for a payload which no dispatch can bring.
func (c *checker) payloads() {
	conf := c.job.ParameterizedJob
	if conf != nil && conf.Payload != launch.PayloadForbidden {
		return
	}
	for _, g := range c.job.TaskGroups {
		for _, t := range g.Tasks {
			if t.DispatchPayload == nil {
				continue
			}
			p := model.JobPath.Label("group", g.Name).Label("task", t.Name).Attr("dispatch_payload")
			c.add(p, "there will be no payload", `it comes with a dispatch: the job needs a parameterized block, and not payload = "forbidden" in it`)
		}
	}
}
