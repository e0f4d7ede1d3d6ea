package forecast

import (
	"context"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/server/fleet"
	"github.com/steppe-project/steppe/fsm/state"
)

const (
	// idle is how long a view of the fleet is kept that nobody asks: it holds the state
	// as it was when it was last asked.
	idle = time.Minute
	// maxWorlds bounds the forecasts that are made at once: each takes a core, which the
	// server has other uses for.
	maxWorlds = 2
)

// Source makes worlds of a store. The view of the fleet, which reads the whole state,
// is made once and kept current while there are questions. For concurrent use.
type Source struct {
	store *state.Store
	room  chan struct{}

	mu    sync.Mutex
	view  *fleet.View
	timer *time.Timer
	asked time.Time // when the view was last asked for
}

// NewSource makes a source.
func NewSource(store *state.Store) *Source {
	return &Source{store: store, room: make(chan struct{}, maxWorlds)}
}

// Basis is the state as it is, with its fleet.
func (s *Source) Basis(ctx context.Context) (*fleet.Basis, error) {
	s.mu.Lock()
	if s.view == nil {
		s.view = fleet.New(s.store)
		s.timer = time.AfterFunc(idle, func() { s.drop(idle) })
	} else {
		s.timer.Reset(idle)
	}
	s.asked = time.Now()
	view := s.view
	s.mu.Unlock()
	return view.At(ctx, 0)
}

// drop forgets the view if nobody asked for so long.
func (s *Source) drop(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil && time.Since(s.asked) >= after {
		s.view.Close()
		s.view = nil
	}
}

// Close forgets the view at once. The source can still be asked.
func (s *Source) Close() {
	s.mu.Lock()
	timer := s.timer
	s.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	s.drop(0)
}

// Enter waits for a turn to make a forecast; leave ends it.
func (s *Source) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.room <- struct{}{}:
		return func() { <-s.room }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// World forks the state as it is. The clock stands at now. Close ends it.
func (s *Source) World(ctx context.Context, now time.Time) (*World, error) {
	leave, err := s.Enter(ctx)
	if err != nil {
		return nil, err
	}
	basis, err := s.Basis(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	w := newWorld(s.store, basis, now)
	w.leave = leave
	return w, nil
}
