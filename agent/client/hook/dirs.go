package hook

import (
	"context"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/plugins"
)

// directories makes the task's directories and tells the driver where they are.
func directories(_ context.Context, b *Build) error {
	b.Config.AllocDir = b.Dir.Path()
	return b.Dir.BuildTask(b.Task.Name, allocdir.Owner{
		User: b.Env.Replace(b.Task.User), Isolated: isolated(b.Caps),
	})
}

// isolated tells whether tasks of the driver have a root file system of their own.
func isolated(c *plugins.Capabilities) bool {
	return c.FSIsolation == plugins.FSChroot || c.FSIsolation == plugins.FSImage
}
