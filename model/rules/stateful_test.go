package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
)

// What a stateful block asks for and cannot be had is refused by name, with advice; how
// instances leave their nodes is checked.
func TestStatefulAndLeaving(t *testing.T) {
	ordered := &model.StatefulConfig{Ordered: true}
	for _, c := range []struct {
		name, kind string
		change     func(g *model.TaskGroup)
		want       string // "" for nothing
	}{
		{"ordered", "service", func(g *model.TaskGroup) { g.Stateful = ordered }, ""},
		{"partition beyond count", "service", func(g *model.TaskGroup) { g.Stateful = &model.StatefulConfig{Partition: 9} }, ""},
		{"several at a time", "service", func(g *model.TaskGroup) { g.Stateful = &model.StatefulConfig{}; g.Update.MaxParallel = 2 }, ""},
		{"batch", "batch", func(g *model.TaskGroup) { g.Stateful, g.Update = ordered, nil }, `job.group["g"].stateful: a batch job has no stateful groups`},
		{"partition", "service", func(g *model.TaskGroup) { g.Stateful = &model.StatefulConfig{Partition: -1} },
			`job.group["g"].stateful.partition: must not be negative, but is -1`},
		{"canary", "service", func(g *model.TaskGroup) { g.Stateful, g.Update.Canary = ordered, 1 },
			`job.group["g"].update.canary: a stateful group has no canaries`},
		{"all at once", "service", func(g *model.TaskGroup) { g.Stateful, g.Update.MaxParallel = ordered, 0 },
			`job.group["g"].update.max_parallel: max_parallel = 0 would replace all`},
		{"two in order", "service", func(g *model.TaskGroup) { g.Stateful, g.Update.MaxParallel = ordered, 2 },
			`job.group["g"].update.max_parallel: max_parallel = 2 cannot be had of an ordered stateful group`},
		{"none leaves", "service", func(g *model.TaskGroup) { g.Migrate.MaxParallel = 0 }, `job.group["g"].migrate.max_parallel: must be at least 1, but is 0`},
		{"both forms of stopping", "service", func(g *model.TaskGroup) {
			g.StopAfterClientDisconnect, g.Disconnect = time.Minute, model.NewDisconnectStrategy()
			g.Disconnect.StopOnClientAfter = time.Minute
		}, `job.group["g"].stop_after_client_disconnect: disconnect has stop_on_client_after: only one of them`},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := model.NewJob(c.kind)
			j.ID = "db"
			g := model.NewTaskGroup(j)
			g.Name, g.Count = "g", 2
			if c.kind == "service" {
				g.Update = model.NewUpdateStrategy()
			}
			task := model.NewTask(g)
			task.Name, task.Driver = "t", "exec"
			g.Tasks, j.TaskGroups = []*model.Task{task}, []*model.TaskGroup{g}
			c.change(g)
			j.Canonicalize()
			var got []string
			for _, p := range rules.Problems(j) {
				got = append(got, p.String())
			}
			text := strings.Join(got, "\n")
			if len(got) > 1 || (c.want == "") != (text == "") || !strings.HasPrefix(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
			if g.Stateful != nil && g.Disconnect.StopOnClientAfter != model.DefaultStateful {
				t.Errorf("its node stops it after %s", g.Disconnect.StopOnClientAfter)
			}
		})
	}
}
