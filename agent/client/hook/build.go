package hook

import (
	"context"
	"fmt"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// Decoder encodes a task's config block for its driver, with ${...} replaced
// by vars. *host.Decoder is one.
type Decoder interface {
	Decode(config map[string]any, vars map[string]string) ([]byte, error)
}

// Build is the preparation of one start of one task. The first block is given,
// Env and Config are made.
type Build struct {
	TaskID string // of this start: <alloc id>/<task>/<8 hex>
	Alloc  *model.Allocation
	Job    *model.Job
	Group  *model.TaskGroup
	Task   *model.Task
	Node   *model.Node
	Region string
	Dir    *allocdir.Dir
	Caps   *plugins.Capabilities
	Schema Decoder
	// HostEnv is the part of the agent's environment that tasks inherit.
	HostEnv map[string]string

	Env    *Env
	Config *plugins.TaskConfig
}

// Step is one part of the preparation.
type Step struct {
	Name string
	Run  func(context.Context, *Build) error
}

// Steps is the chain, in order.
var Steps = []Step{
	{"identity", identity},
	{"environment", environment},
	{"directories", directories},
	{"dispatch payload", payload},
	{"resources", resources},
	{"logs", logs},
	{"driver configuration", driverConfig},
}

// Prepare runs the chain. The error is in words for the job's author.
func Prepare(ctx context.Context, b *Build) error {
	b.Config = &plugins.TaskConfig{}
	for _, s := range Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.Run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// identity says whose task it is.
func identity(_ context.Context, b *Build) error {
	c := b.Config
	c.ID, c.Name, c.AllocID = b.TaskID, b.Task.Name, b.Alloc.ID
	c.JobID, c.JobName, c.ParentJobID = b.Alloc.JobID, b.Job.Name, b.Job.ParentID
	c.GroupName, c.Namespace = b.Group.Name, b.Alloc.Namespace
	c.NodeID, c.NodeName = b.Node.ID, b.Node.Name
	return nil
}
