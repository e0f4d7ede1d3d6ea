package rules_test

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
)

// What an update block asks for and its job cannot have is refused by name.
func TestUpdates(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		count      int
		change     func(j *model.Job, u *model.UpdateStrategy)
		want       string // "" for nothing
	}{
		{"canaries", "service", 3, func(_ *model.Job, u *model.UpdateStrategy) { u.Canary, u.AutoPromote, u.AutoRevert = 3, true, true }, ""},
		{"too many canaries", "service", 2, func(_ *model.Job, u *model.UpdateStrategy) { u.Canary = 3 },
			`job.group["g"].update.canary: canary 3 is above the count 2 of group "g"`},
		{"a group without instances", "service", 0, func(_ *model.Job, u *model.UpdateStrategy) { u.Canary = 1 }, ""},
		{"all at once", "service", 2, func(_ *model.Job, u *model.UpdateStrategy) { u.MaxParallel, u.AutoRevert = 0, true },
			`job.group["g"].update.auto_revert: auto_revert has no effect with max_parallel = 0`},
		{"told once", "service", 2, func(j *model.Job, u *model.UpdateStrategy) {
			j.Update.MaxParallel, u.MaxParallel, j.Update.HealthCheck, u.HealthCheck = 0, 0, "manual", "manual"
		},
			`job.update.health_check: health_check has no effect`},
		{"deadlines", "service", 2, func(_ *model.Job, u *model.UpdateStrategy) { u.ProgressDeadline = u.HealthyDeadline - 1 },
			`job.group["g"].update.progress_deadline: must not be shorter than healthy_deadline`},
		{"auto_promote without canaries", "service", 2, func(_ *model.Job, u *model.UpdateStrategy) { u.AutoPromote = true },
			`job.group["g"].update.auto_promote: auto_promote needs canary`},
		{"a system job", "system", 1, func(_ *model.Job, u *model.UpdateStrategy) { u.Canary = 1 },
			`job.group["g"].update.canary: canary is not supported for system jobs`},
		{"a system job's deadline", "system", 1, func(_ *model.Job, u *model.UpdateStrategy) { u.ProgressDeadline++ },
			`job.group["g"].update.progress_deadline: progress_deadline is not supported for system jobs`},
		{"a batch job", "batch", 1, func(*model.Job, *model.UpdateStrategy) {}, `job.group["g"].update: batch jobs have no rolling updates`},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := model.NewJob(c.kind)
			j.ID = "web"
			g := model.NewTaskGroup(j)
			g.Name, g.Count, g.Update = "g", c.count, model.NewUpdateStrategy()
			task := model.NewTask(g)
			task.Name, task.Driver = "t", "exec"
			g.Tasks, j.TaskGroups = []*model.Task{task}, []*model.TaskGroup{g}
			c.change(j, g.Update)
			j.Canonicalize()
			var got []string
			for _, p := range rules.Problems(j) {
				got = append(got, p.String())
			}
			text := strings.Join(got, "\n")
			if len(got) > 1 || (c.want == "") != (text == "") || !strings.HasPrefix(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}
