package tasks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

// killWait bounds how long a killed task may take to vanish: one that hangs in
// the kernel longer than this is reported instead of waited for.
const killWait = 30 * time.Second

// HandleVersion is the TaskHandle.Version of all drivers of this package.
const HandleVersion = 1

// Task is one task of a driver.
type Task struct {
	Config *plugins.TaskConfig
	Shim   *shim.Task
	Scope  *cgroup.Scope
	State  State

	explain sync.Once
	exit    plugins.ExitResult
}

// Set is the register of a driver's tasks.
type Set struct {
	driver  string
	tree    *cgroup.Tree
	events  *Events
	cleanup func(*Task) error

	mu    sync.Mutex
	tasks map[string]*Task
	mhz   float64 // of one core
}

// NewSet makes the register of the named driver. cleanup, if any, frees what the
// driver made for an ended task besides its shim and control group.
func NewSet(driver string, tree *cgroup.Tree, cleanup func(*Task) error) *Set {
	return &Set{driver: driver, tree: tree, events: newEvents(), cleanup: cleanup, tasks: map[string]*Task{}}
}

// Tree is the control group tree that the driver's tasks live in.
func (s *Set) Tree() *cgroup.Tree { return s.tree }

// Reserve claims id for a start; done gives it up again unless Add was called.
func (s *Set) Reserve(id string) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.tasks[id]; taken {
		return nil, fmt.Errorf("task %s has already been started", id)
	}
	s.tasks[id] = nil
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.tasks[id] == nil {
			delete(s.tasks, id)
		}
	}, nil
}

// Add registers a started task and returns its handle. Settings that the kernel
// refused become events of the task.
func (s *Set) Add(t *Task) (*plugins.TaskHandle, error) {
	state, err := t.State.encode()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.tasks[t.Config.ID] = t
	s.mu.Unlock()
	for _, w := range t.Shim.Warnings {
		s.events.Emit(t.Config, w, nil)
	}
	return &plugins.TaskHandle{
		Version: HandleVersion, Config: t.Config, State: plugins.StateRunning, DriverState: state,
	}, nil
}

// Get finds a task or returns plugins.ErrTaskNotFound.
func (s *Set) Get(id string) (*Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil {
		return t, nil
	}
	return nil, plugins.ErrTaskNotFound
}

// WaitTask implements plugins.TaskObserver.
func (s *Set) WaitTask(ctx context.Context, id string) (*plugins.ExitResult, error) {
	t, err := s.Get(id)
	if err != nil {
		return nil, err
	}
	if _, err := t.Shim.Wait(ctx); err != nil {
		return nil, err
	}
	return s.result(t), nil
}

// InspectTask implements plugins.TaskObserver.
func (s *Set) InspectTask(_ context.Context, id string) (*plugins.TaskStatus, error) {
	t, err := s.Get(id)
	if err != nil {
		return nil, err
	}
	status := &plugins.TaskStatus{
		ID: id, Name: t.Config.Name, State: plugins.StateRunning, StartedAt: t.Shim.StartedAt(),
		Attributes: map[string]string{"pid": strconv.Itoa(t.Shim.PID())},
	}
	if exit, over := t.Shim.Exited(); over {
		status.State = plugins.StateExited
		status.CompletedAt = exit.At
		status.Exit = s.result(t)
	}
	return status, nil
}

// SignalTask implements plugins.SignalTasker: to the task's main process.
func (s *Set) SignalTask(_ context.Context, id, signal string) error {
	t, err := s.Get(id)
	if err != nil {
		return err
	}
	sig, err := ParseSignal(signal)
	if err != nil {
		return err
	}
	return t.Shim.Signal(sig)
}

// StopTask implements plugins.TaskRunner. The default signal is SIGINT.
func (s *Set) StopTask(ctx context.Context, id string, timeout time.Duration, signal string) error {
	t, err := s.Get(id)
	if err != nil {
		return err
	}
	if signal == "" {
		signal = "SIGINT"
	}
	sig, err := ParseSignal(signal)
	if err != nil {
		return err
	}
	if err := t.Shim.Signal(sig); err != nil && !errors.Is(err, shim.ErrExited) {
		return fmt.Errorf("signal the task: %w", err)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.Shim.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return t.kill(ctx)
	}
}

func (t *Task) kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	return t.Shim.Kill(ctx)
}

// DestroyTask implements plugins.TaskRunner.
func (s *Set) DestroyTask(ctx context.Context, id string, force bool) error {
	t, err := s.Get(id)
	if err != nil {
		return err
	}
	if _, over := t.Shim.Exited(); !over {
		if !force {
			return errors.New("the task is still running: stop it first, or force its destruction")
		}
		if err := t.kill(ctx); err != nil {
			return err
		}
	}
	s.result(t) // while the control group still tells why
	var errs []error
	if s.cleanup != nil {
		errs = append(errs, s.cleanup(t))
	}
	errs = append(errs, t.Scope.Remove(), t.Shim.Remove())
	if err := errors.Join(errs...); err != nil {
		return err // the task stays known, so that this can be repeated
	}
	s.mu.Lock()
	delete(s.tasks, id)
	s.mu.Unlock()
	return nil
}

// Shutdown implements the second half of plugins.Lifecycle: it lets go of all
// tasks without touching them, for a process about to end.
func (s *Set) Shutdown(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.tasks {
		if t != nil {
			t.Shim.Release()
			delete(s.tasks, id)
		}
	}
	return nil
}

// Init implements the first half of plugins.Lifecycle: nothing to prepare.
func (s *Set) Init(context.Context) error { return nil }

// TaskEvents implements plugins.EventSource.
func (s *Set) TaskEvents(ctx context.Context) (<-chan *plugins.TaskEvent, error) {
	return s.events.Subscribe(ctx), nil
}

// Emit tells the author of a task something.
func (s *Set) Emit(c *plugins.TaskConfig, message string) { s.events.Emit(c, message, nil) }
