package exec

import (
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/tasks"
	"github.com/steppe-project/steppe/plugins"
)

func stateOf(c *plugins.TaskConfig) tasks.State {
	return tasks.State{Dir: tasks.ControlDir(c), Reserved: tasks.IsReserved(c)}
}

func tasksOn(tree *cgroup.Tree) *tasks.Set { return tasks.NewSet(Name, tree, nil) }
