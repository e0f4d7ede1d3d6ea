package alloc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// target is the allocation of the first argument, and the task that the second
// one or an option names; "" when none does.
func target(ctx context.Context, o *base.IO, args []string, option string) (*model.Allocation, string, error) {
	a, err := o.Alloc(ctx, args[0])
	if err != nil {
		return nil, "", err
	}
	task, err := named(a, args, option)
	return a, task, err
}

// named is the task that the second argument or an option names, if any; it must
// exist.
func named(a *model.Allocation, args []string, option string) (string, error) {
	if len(args) == 2 {
		if option != "" && option != args[1] {
			return "", model.Errorf(model.CodeInvalid, "two tasks are named: %q and %q", option, args[1])
		}
		option = args[1]
	}
	if option == "" {
		return "", nil
	}
	return taskOf(a, option)
}

func taskText(task string) string {
	if task == "" {
		return "All running tasks"
	}
	return fmt.Sprintf("Task %q", base.Clean(task))
}

// taskOf is the task of that name, or the only one for "".
func taskOf(a *model.Allocation, task string) (string, error) {
	names := tasks(a)
	id := base.ShortID(a.ID, false)
	switch {
	case slices.Contains(names, task):
		return task, nil
	case task == "" && len(names) == 1:
		return names[0], nil
	case task == "":
		return "", model.Errorf(model.CodeInvalid, "allocation %s has several tasks, name one: %s", id, strings.Join(names, ", "))
	}
	hint := ""
	if c := base.Closest(task, names); c != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", c)
	}
	return "", model.Errorf(model.CodeNotFound, "allocation %s has no task %q%s; it has: %s", id, task, hint, strings.Join(names, ", "))
}

// tasks are the names of an allocation's tasks, in the job's order.
func tasks(a *model.Allocation) []string {
	var names []string
	if a.Job != nil {
		for _, g := range a.Job.TaskGroups {
			if g.Name != a.TaskGroup {
				continue
			}
			for _, t := range g.Tasks {
				names = append(names, t.Name)
			}
		}
	}
	if names == nil {
		names = base.Keys(a.TaskStates)
	}
	return names
}

// allocOf is an allocation by its id, or one of a job: of those that run the
// newest, else the newest.
func allocOf(ctx context.Context, o *base.IO, id string, isJob bool) (*model.Allocation, error) {
	if !isJob {
		return o.Alloc(ctx, id)
	}
	job, err := o.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	all, _, err := o.Client.Jobs().Allocations(ctx, job.ID, false, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, model.Errorf(model.CodeNotFound, "job %q has no allocations", job.ID)
	}
	best := slices.MaxFunc(all, func(a, b *model.AllocListStub) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.CreateIndex, b.CreateIndex), strings.Compare(b.Name, a.Name))
	})
	a, _, err := o.Client.Allocations().Get(ctx, best.ID, nil)
	return a, err
}

func rank(a *model.AllocListStub) int {
	if a.ClientStatus == model.ClientRunning {
		return 1
	}
	return 0
}
