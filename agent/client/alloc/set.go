package alloc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/plugins"
)

// Set is all allocations of this node.
type Set struct {
	deps Deps
	work chan func(context.Context) // for the goroutine of Run
	done chan struct{}              // closed when Run has returned

	mu      sync.Mutex
	runners map[string]*Runner
	// known are the ended allocations whose end the servers know.
	known map[string]bool
	// strays are tasks found beside a lost state file, until the servers say
	// whether they should run.
	strays map[string]*stray
	// closed: StopAll was called, and nothing new is taken in.
	closed bool
	wg     sync.WaitGroup
}

// NewSet makes an empty set.
func NewSet(deps Deps) *Set {
	deps.starts = make(chan struct{}, max(deps.ParallelStarts, 1))
	if deps.Lease == nil {
		deps.Lease = func() (time.Duration, time.Duration) { return 0, 0 }
	}
	return &Set{
		deps: deps, work: make(chan func(context.Context)), done: make(chan struct{}),
		runners: map[string]*Runner{}, known: map[string]bool{}, strays: map[string]*stray{},
	}
}

// Restore takes over what an earlier run of the agent knew. It is called once,
// before Run. An allocation whose record cannot be used is reported and left.
func (s *Set) Restore(c *db.Contents) error {
	var errs []error
	for id, a := range c.Allocs {
		r, err := newRunner(&s.deps, a, c.Tasks[id])
		if err != nil {
			errs = append(errs, fmt.Errorf("restore allocation %s: %w", id, err))
			continue
		}
		r.haveState = true
		close(r.saved)
		s.runners[id] = r
	}
	for _, r := range s.runners {
		r.after = s.predecessors(r)
	}
	return errors.Join(append(errs, s.findStrays())...)
}

// Run runs the allocations until ctx ends, and then lets go of them without
// stopping anything.
func (s *Set) Run(ctx context.Context) error {
	defer close(s.done)
	s.mu.Lock()
	for _, r := range s.runners {
		s.launch(ctx, r)
	}
	s.mu.Unlock()
	for ctx.Err() == nil {
		select {
		case f := <-s.work:
			f(ctx)
		case <-ctx.Done():
		}
	}
	s.wg.Wait()
	return nil
}

// launch starts a runner's goroutine. The caller holds mu.
func (s *Set) launch(ctx context.Context, r *Runner) {
	s.runners[r.id] = r
	s.wg.Go(func() { r.run(ctx) })
}

// do runs f on the set's goroutine and waits for it.
func (s *Set) do(ctx context.Context, f func(context.Context)) error {
	done := make(chan struct{})
	select {
	case s.work <- func(ctx context.Context) { f(ctx); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return model.Errorf(model.CodeUnavailable, "the client is shutting down")
	}
	<-done
	return nil
}

// Apply takes an assignment in: a full set, or what changed. It returns when the
// runners know, which is before anything is on disk or has started.
func (s *Set) Apply(ctx context.Context, a *msg.NodeAssign) error {
	for _, as := range a.Allocs {
		if as == nil || as.Alloc == nil || as.Job == nil {
			return model.Errorf(model.CodeInvalid, "protocol error: an assignment without allocation or job")
		}
	}
	return s.do(ctx, func(ctx context.Context) { s.apply(ctx, a) })
}

func (s *Set) apply(ctx context.Context, a *msg.NodeAssign) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []*Runner
	var ops []db.Op
	named := make(map[string]bool, len(a.Allocs))
	for _, as := range a.Allocs {
		named[as.Alloc.ID] = true
		s.deps.Reports.Beyond(as.Alloc.ReportOrder)
		r, changed, err := s.admit(as)
		if err != nil {
			s.refuse(as, err)
			continue
		}
		if changed {
			ops = append(ops, db.PutAlloc(as))
		}
		if r != nil {
			fresh = append(fresh, r)
			ops = append(ops, r.records()...)
		}
	}
	// The end of what is not wanted any more is kept with the beginning of what takes
	// its ports: an agent that is killed in between must not begin with both.
	if a.Full {
		for id := range s.runners {
			if !named[id] {
				ops = append(ops, s.unassign(id)...)
			}
		}
		s.settleStrays(ctx, named)
	}
	for _, id := range a.Removed {
		ops = append(ops, s.unassign(id)...)
	}
	s.save(ctx, fresh, ops)
	for _, r := range fresh {
		r.after = s.predecessors(r)
		s.launch(ctx, r)
	}
}

// admit takes one assignment in. The runner is returned when it is new, changed
// tells whether the assignment has to be written.
func (s *Set) admit(a *msg.AssignedAlloc) (fresh *Runner, changed bool, err error) {
	r := s.runners[a.Alloc.ID]
	var have *msg.AssignedAlloc
	if r != nil {
		have = r.Assigned()
	}
	verdict, err := Judge(have, a, s.strays[a.Alloc.ID] != nil)
	switch {
	case err != nil || verdict == Nothing:
		return nil, false, err
	case verdict == Update:
		r.update(a)
		return nil, true, nil
	case s.closed:
		s.deps.Logger.Info("allocation not started: the client leaves", "alloc_id", a.Alloc.ID)
		return nil, false, nil
	}
	fresh, err = newRunner(&s.deps, a, s.adoptStray(a))
	return fresh, err == nil, err
}

// refuse answers an assignment that cannot be understood.
func (s *Set) refuse(a *msg.AssignedAlloc, err error) {
	s.deps.Logger.Error("assignment refused", "alloc_id", a.Alloc.ID, "error", err)
	s.deps.Reports.Put(&model.AllocUpdate{
		ID: a.Alloc.ID, ClientStatus: model.ClientFailed, ClientDescription: err.Error(), TaskStates: map[string]*model.TaskState{},
	}, true)
}

// save writes assignments and the marks of their first starts as one change,
// and lets the new runners know.
func (s *Set) save(ctx context.Context, fresh []*Runner, ops []db.Op) {
	if len(ops) == 0 {
		return
	}
	done, err := s.deps.DB.Begin(ctx, ops...)
	s.wg.Go(func() {
		if err == nil {
			err = waitFor(ctx, done)
		}
		if err != nil && ctx.Err() == nil {
			s.deps.Logger.Error("cannot keep assignments", "error", err)
		}
		for _, r := range fresh {
			r.saveErr = err
			close(r.saved)
		}
	})
}

// unassign is for an allocation that the servers do not want here any more. It
// is stopped; its directory stays until garbage collection. It returns what has to
// be written.
func (s *Set) unassign(id string) []db.Op {
	s.deps.Reports.Drop(id)
	r := s.runners[id]
	if r == nil {
		return nil
	}
	s.known[id] = true
	stop := Unassigned(r.Assigned())
	if stop == nil {
		return nil
	}
	r.update(stop)
	return []db.Op{db.PutAlloc(stop)}
}

// predecessors are the ends that an allocation has to wait for: of the one that
// it replaces, and of those that hold what it was given. One that is to stop does
// not wait: what it has left to do needs nothing of others.
func (s *Set) predecessors(r *Runner) []<-chan struct{} {
	a := r.Assigned().Alloc
	if a.Terminal() {
		return nil
	}
	var out []<-chan struct{}
	for id, other := range s.runners {
		if id == r.id || !other.EndedAt().IsZero() {
			continue
		}
		if MustWait(a, other.Assigned().Alloc) {
			out = append(out, other.ended)
		}
	}
	return out
}

// Confirmed notes statuses that the servers have committed.
func (s *Set) Confirmed(updates []*model.AllocUpdate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range updates {
		if ended(u.ClientStatus) {
			s.known[u.ID] = true
		}
	}
}

// Get returns an allocation's runner, or a not_found error.
func (s *Set) Get(id string) (*Runner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.runners[id]; r != nil {
		return r, nil
	}
	return nil, model.Errorf(model.CodeNotFound, "Unknown allocation %q", id)
}

// All lists the runners, in no order.
func (s *Set) All() []*Runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.runners))
}

// Fenced tells whether some allocation stops by itself when the node has no lease.
func (s *Set) Fenced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runners {
		if r.EndedAt().IsZero() && lease.StopAfter(groupOf(r.Assigned())) > 0 {
			return true
		}
	}
	return false
}

// Ended is an allocation that may be removed.
type Ended struct {
	ID  string
	At  time.Time
	Dir string
}

// Count is how many allocations this node keeps, and which of them have ended
// with the servers' knowledge, oldest first.
func (s *Set) Count() (all int, ended []Ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.runners {
		select {
		case <-r.ended:
		default:
			continue
		}
		if s.known[id] {
			ended = append(ended, Ended{ID: id, At: r.EndedAt(), Dir: r.dir.Path()})
		}
	}
	slices.SortFunc(ended, func(a, b Ended) int { return a.At.Compare(b.At) })
	return len(s.runners), ended
}

// Remove deletes an ended allocation: directory and records.
func (s *Set) Remove(ctx context.Context, id string) error {
	r, err := s.Get(id)
	if err != nil {
		return err
	}
	select {
	case <-r.ended:
	default:
		return model.Errorf(model.CodeInvalid, "allocation %s has not ended", id)
	}
	if err := r.dir.Remove(); err != nil {
		return err
	}
	if err := s.deps.DB.WriteLater(ctx, db.DeleteAlloc(id)...); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.runners, id)
	delete(s.known, id)
	s.mu.Unlock()
	return nil
}

// StopAll ends every task at once and waits for it: the agent goes away with
// all that is its own.
func (s *Set) StopAll(ctx context.Context) error {
	s.mu.Lock()
	// The servers replace what ends here, on this node too until it is gone.
	s.closed = true
	runners := make([]*Runner, 0, len(s.runners))
	for _, r := range s.runners {
		runners = append(runners, r)
	}
	s.mu.Unlock()
	for _, r := range runners {
		r.end()
	}
	for _, r := range runners {
		select {
		case <-r.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Note adds a driver's message to the history of its task.
func (s *Set) Note(e *plugins.TaskEvent) {
	if r, err := s.Get(e.AllocID); err == nil {
		r.noteDriver(e)
	}
}
