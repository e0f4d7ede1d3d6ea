package alloc

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// stray is an allocation directory without a record in the state file: the file
// was lost. Its tasks, found by what lies beside them, go on until the servers
// say whether they should.
type stray struct {
	dir   *allocdir.Dir
	tasks map[string]*strayTask
}

// strayTask is what lies beside a running task.
type strayTask struct {
	Driver string
	Handle *plugins.TaskHandle
}

// findStrays looks for allocation directories that no runner owns.
func (s *Set) findStrays() error {
	ids, err := allocdir.List(s.deps.Base)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if s.runners[id] != nil {
			continue
		}
		st, err := readStray(s.deps.Base, id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.strays[id] = st
		s.deps.Logger.Info("found an allocation that the state file does not know", "alloc_id", id, "tasks", len(st.tasks))
	}
	return errors.Join(errs...)
}

func readStray(base, id string) (*stray, error) {
	dir, err := allocdir.New(base, id)
	if err != nil {
		return nil, err
	}
	st := &stray{dir: dir, tasks: map[string]*strayTask{}}
	records, err := dir.Records()
	if err != nil {
		return nil, err
	}
	for name, data := range records {
		t := new(strayTask)
		if err := json.Unmarshal(data, t); err == nil && t.Handle != nil && t.Handle.Config != nil && t.Handle.Config.AllocID == id {
			st.tasks[name] = t
		}
	}
	return st, nil
}

// adoptStray turns what was found of an assigned allocation into records to
// restore its runner from. The caller holds mu.
func (s *Set) adoptStray(a *msg.AssignedAlloc) map[string]*db.TaskRecord {
	st := s.strays[a.Alloc.ID]
	if st == nil {
		return nil
	}
	delete(s.strays, a.Alloc.ID)
	records := map[string]*db.TaskRecord{}
	for name, t := range st.tasks {
		started := time.Now()
		if known := a.Alloc.TaskStates[name]; known != nil && !known.StartedAt.IsZero() {
			started = known.StartedAt
		}
		records[name] = &db.TaskRecord{
			ID: t.Handle.Config.ID, Handle: t.Handle,
			Status: task.Status{Phase: task.Running, Started: true, StartedAt: started},
			Events: []*model.TaskEvent{task.ReceivedEvent(time.Now())},
		}
	}
	group := groupOf(a)
	if group == nil {
		return nil // newRunner says so
	}
	for _, t := range group.Tasks {
		if records[t.Name] == nil {
			s.restoreOther(a, t, records)
		}
	}
	return records
}

// restoreOther rebuilds what can be known of a task that does not run now, from
// what the servers were told of it: what has ended well does not run again.
func (s *Set) restoreOther(a *msg.AssignedAlloc, t *model.Task, records map[string]*db.TaskRecord) {
	known := a.Alloc.TaskStates[t.Name]
	if a.Alloc.ClientTerminal() && known == nil {
		known = &model.TaskState{State: model.TaskDead, Failed: a.Alloc.ClientStatus == model.ClientFailed}
	}
	if known == nil || known.State != model.TaskDead && !a.Alloc.ClientTerminal() {
		if s.deps.Sweep != nil { // it may run without its record having been written
			if err := s.deps.Sweep(a.Alloc.ID, t.Name); err != nil {
				s.deps.Logger.Warn("cannot end what is left of a task", "alloc_id", a.Alloc.ID, "task", t.Name, "error", err)
			}
		}
		return
	}
	records[t.Name] = &db.TaskRecord{
		Events: known.Events,
		Status: task.Status{
			Phase: task.Dead, Failed: known.Failed, Started: !known.StartedAt.IsZero(), Restarts: known.Restarts,
			LastRestart: known.LastRestart, StartedAt: known.StartedAt, FinishedAt: known.FinishedAt, Overran: known.Overran,
		},
	}
}

// settleStrays ends what the servers do not want on this node. The caller holds
// mu; adopted ones have left strays before.
func (s *Set) settleStrays(ctx context.Context, assigned map[string]bool) {
	for id, st := range s.strays {
		delete(s.strays, id)
		s.wg.Go(func() { s.endStray(ctx, id, st, assigned[id]) })
	}
}

// endStray stops the tasks of an allocation that should not run and removes its
// directory; one that the servers still know (it has ended) keeps it for now.
func (s *Set) endStray(ctx context.Context, id string, st *stray, known bool) {
	for name, t := range st.tasks {
		s.endTask(ctx, id, name, t)
	}
	if s.deps.Sweep != nil {
		if err := s.deps.Sweep(id, ""); err != nil {
			s.deps.Logger.Warn("cannot end what is left of an allocation", "alloc_id", id, "error", err)
			return
		}
	}
	if known || ctx.Err() != nil {
		return
	}
	if err := st.dir.Remove(); err != nil {
		s.deps.Logger.Warn("cannot remove the directory of an unknown allocation", "alloc_id", id, "error", err)
	}
}

// endTask lets a driver take over a task and end it.
func (s *Set) endTask(ctx context.Context, id, name string, t *strayTask) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	driver, err := s.deps.Drivers.Get(ctx, t.Driver)
	if err == nil {
		if err = driver.RecoverTask(ctx, t.Handle); err == nil {
			err = driver.DestroyTask(ctx, t.Handle.Config.ID, true)
		}
	}
	if err != nil && !errors.Is(err, plugins.ErrTaskNotFound) {
		s.deps.Logger.Warn("cannot end a task through its driver", "alloc_id", id, "task", name, "error", err)
	}
}
