package alloc

import (
	"context"
	"log/slog"
	"time"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/report"
	"github.com/steppe-project/steppe/model"
)

// Drivers finds running drivers; *driverset.Set is one.
type Drivers interface {
	Get(ctx context.Context, name string) (*driverset.Driver, error)
}

// Deps is what runners need of the rest of the agent.
type Deps struct {
	DB      *db.DB
	Drivers Drivers
	Reports *report.Queue
	// Node is the node as it is now; its result is not changed.
	Node   func() *model.Node
	Region string
	// Base is where allocation directories are made.
	Base string
	// HostEnv is what tasks inherit of the agent's environment.
	HostEnv map[string]string
	// MaxKillTimeout bounds the kill_timeout of jobs.
	MaxKillTimeout time.Duration
	// ParallelStarts bounds how many tasks are being started at a time.
	ParallelStarts int
	// Lease is for how long the node's lease has not been confirmed, and how long a
	// confirmed one lasts; nil: it always holds.
	Lease func() (silent, lasts time.Duration)
	// Sweep ends what is left of a task that no driver knows, by its labels.
	Sweep func(allocID, task string) error
	// Place makes the control groups that drivers of others expect.
	Place  func(allocID, task string, reserved bool) error
	Logger *slog.Logger

	starts chan struct{} // holds one element for each start under way
}

// acquire waits for the right to start a task.
func (d *Deps) acquire(ctx context.Context) error {
	select {
	case d.starts <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Deps) release() { <-d.starts }

const (
	// startGrace is how long a start under way may take to finish when the
	// agent goes away or the task is to stop. Cutting a driver off in the middle
	// would leave it open whether the task runs.
	startGrace = 5 * time.Second
	// callTimeout bounds driver calls that should return at once.
	callTimeout = 30 * time.Second
	// retryPause paces repeated attempts to stop or recover a task.
	retryPause = 500 * time.Millisecond
	// recoverPause is about how long a driver needs to learn of a task.
	recoverPause = 20 * time.Millisecond
	// waitNotice is how long a start may wait for an earlier allocation before
	// the task's history says so.
	waitNotice = 5 * time.Second
	// mailbox is how many events may wait for one runner.
	mailbox = 16
	// maxFixpoint bounds the rounds in which tasks of a group react on each
	// other without any new event: each round moves at least one task.
	maxFixpoint = 1000
)
