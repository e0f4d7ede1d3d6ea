package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
)

func TestProblems(t *testing.T) {
	waits := func(j *model.Job) {
		j.TaskGroups[0].Tasks[0].DispatchPayload = &model.DispatchPayloadConfig{File: "in"}
	}
	for _, c := range []struct {
		name   string
		kind   string
		change func(*model.Job)
		want   string // "" = valid; else part of the one problem
	}{
		{"plain", model.JobTypeService, func(*model.Job) {}, ""},
		{"periodic", model.JobTypeBatch, cron("*/5 * * * *"), ""},
		{"periodic sysbatch", model.JobTypeSysbatch, cron("@daily", "0 30 9 * * mon-fri *"), ""},
		{"periodic service", model.JobTypeService, cron("@daily"), "job.periodic: a service job cannot be periodic"},
		{"no cron", model.JobTypeBatch, cron(), "needs a cron specification"},
		{"cron and crons", model.JobTypeBatch, func(j *model.Job) { cron("@daily")(j); j.Periodic.Spec = "@daily" }, "cannot both be set"},
		{"syntax", model.JobTypeBatch, cron("@daily", "61 * * * *"), `job.periodic.crons: "61 * * * *" is not a cron expression`},
		{"never", model.JobTypeBatch, func(j *model.Job) { j.Periodic = &model.PeriodicConfig{Spec: "0 0 30 2 *"} }, `job.periodic.cron: "0 0 30 2 *" never comes true`},
		{"many", model.JobTypeBatch, cron(strings.Split(strings.Repeat("@daily,", 65), ",")...), "too many"},
		{"zone", model.JobTypeBatch, func(j *model.Job) { cron("@daily")(j); j.Periodic.TimeZone = "Mars" }, `job.periodic.time_zone: there is no time zone "Mars"`},
		{"catch_up", model.JobTypeBatch, func(j *model.Job) { cron("@daily")(j); j.Periodic.CatchUp = "all" }, `job.periodic.catch_up: "all" is not a valid value (one of: last, skip)`},
		{"parameterized", model.JobTypeBatch, param("required", "a", "b"), ""},
		{"parameterized system", model.JobTypeSystem, param("", "a"), "a system job cannot be parameterized"},
		{"both", model.JobTypeBatch, func(j *model.Job) { cron("@daily")(j); param("")(j) }, "both periodic and parameterized"},
		{"payload", model.JobTypeBatch, param("maybe"), `job.parameterized.payload: "maybe"`},
		{"meta twice", model.JobTypeBatch, func(j *model.Job) { param("", "a")(j); j.ParameterizedJob.MetaOptional = []string{"a"} }, `"a" is named twice`},
		{"meta empty", model.JobTypeBatch, param("", ""), "a meta key is empty"},
		{"waits for a payload", model.JobTypeBatch, func(j *model.Job) { param("")(j); waits(j) }, ""},
		{"waits in vain", model.JobTypeBatch, waits, `job.group["g"].task["t"].dispatch_payload: there will be no payload`},
		{"waits for what is forbidden", model.JobTypeBatch, func(j *model.Job) { param("forbidden")(j); waits(j) }, "there will be no payload"},
		{"file leads out", model.JobTypeBatch, func(j *model.Job) { param("")(j); waits(j); j.TaskGroups[0].Tasks[0].DispatchPayload.File = "../x" }, "is not a file in the task's directory"},
		{"bounded", model.JobTypeSysbatch, func(j *model.Job) { j.TaskGroups[0].MaxRunDuration = time.Minute }, ""},
		{"bounded service", model.JobTypeService, func(j *model.Job) { j.TaskGroups[0].MaxRunDuration = time.Minute }, `job.group["g"].max_run_duration: max_run_duration is for work that ends, and a service job is meant to stay`},
		{"bounded system", model.JobTypeSystem, func(j *model.Job) { j.TaskGroups[0].MaxRunDuration = time.Minute }, "make this work a job of type"},
		{"bounded before", model.JobTypeBatch, func(j *model.Job) { j.TaskGroups[0].MaxRunDuration = -time.Minute }, "must be above 0, but is -1m0s"},
		{"gang", model.JobTypeService, func(j *model.Job) { j.TaskGroups[0].Gang = &model.GangConfig{} }, ""},
		{"gang of a batch", model.JobTypeBatch, func(j *model.Job) { j.TaskGroups[0].Gang = &model.GangConfig{MaxPartial: time.Minute} }, ""},
		{"system gang", model.JobTypeSystem, func(j *model.Job) { j.TaskGroups[0].Gang = &model.GangConfig{} }, `job.group["g"].gang: a system job runs once on every node, and cannot have gangs`},
		{"partial before", model.JobTypeBatch, func(j *model.Job) { j.TaskGroups[0].Gang = &model.GangConfig{MaxPartial: -1} }, `job.group["g"].gang.max_partial: must not be negative`},
		{"gang with canaries", model.JobTypeService, func(j *model.Job) {
			j.TaskGroups[0].Gang, j.TaskGroups[0].Count = &model.GangConfig{}, 2
			j.TaskGroups[0].Update = model.NewUpdateStrategy()
			j.TaskGroups[0].Update.Canary = 1
		}, `job.group["g"].gang: a gang is updated as a whole, and cannot have canaries`},
		{"no file", model.JobTypeBatch, func(j *model.Job) { param("")(j); waits(j); j.TaskGroups[0].Tasks[0].DispatchPayload.File = "" }, "is not a file in the task's directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := model.NewJob(c.kind)
			j.ID = "j"
			g := model.NewTaskGroup(j)
			g.Name = "g"
			task := model.NewTask(g)
			task.Name, task.Driver = "t", "raw_exec"
			g.Tasks, j.TaskGroups = []*model.Task{task}, []*model.TaskGroup{g}
			c.change(j)
			j.Canonicalize()
			got := rules.Problems(j)
			switch {
			case c.want == "" && len(got) > 0, c.want != "" && len(got) != 1:
				t.Errorf("%v", got)
			case c.want != "" && !strings.Contains(got[0].String(), c.want):
				t.Errorf("%v, want %s", got[0], c.want)
			}
		})
	}
}

// The bounds of a count are checked beside what this version does not act on.
func TestScalingBounds(t *testing.T) {
	j := model.NewJob(model.JobTypeService)
	g := model.NewTaskGroup(j)
	g.Name, j.TaskGroups = "g", []*model.TaskGroup{g}
	for want, s := range map[string]*model.ScalingPolicy{
		"count 1 is not between scaling's min 2 and max 3": {Type: "horizontal", Min: 2, Max: 3},
		"scaling needs 0 <= min <= max":                    {Type: "horizontal", Min: 2, Max: 1},
		`"up" is not a valid value`:                        {Type: "up", Max: 1},
	} {
		g.Scaling = s
		if got := fmt.Sprint(rules.Problems(j)); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func cron(specs ...string) func(*model.Job) {
	return func(j *model.Job) { j.Periodic = &model.PeriodicConfig{Enabled: true, Specs: specs} }
}

func param(payload string, meta ...string) func(*model.Job) {
	return func(j *model.Job) {
		j.ParameterizedJob = &model.ParameterizedJobConfig{Payload: payload, MetaRequired: meta}
	}
}
