package driverset

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

const (
	// retryMin and retryMax pace reopening of a driver's streams.
	retryMin = 100 * time.Millisecond
	retryMax = 30 * time.Second
	// renewal is how long a source may need to notice the end of its process.
	renewal = 2 * time.Millisecond
	// healthGrace is how long a driver may be away before the servers hear of it:
	// a restart takes a fraction of it.
	healthGrace = 5 * time.Second
	// setupTimeout bounds the questions to a new process.
	setupTimeout = 30 * time.Second
	// stopTimeout bounds the graceful end of one process.
	stopTimeout = 5 * time.Second
)

// ErrUnknown is the error of Get for a driver that this node does not have.
var ErrUnknown = errors.New("driver is not available on this node")

// Driver is a driver whose process runs.
type Driver struct {
	plugins.Driver
	Name   string
	Caps   *plugins.Capabilities
	Schema *host.Decoder // of task configurations
	Gone   <-chan struct{}
}

// Source keeps the process of one driver running; it is a plugin supervisor, or
// a driver in this process.
type Source interface {
	Name() string
	// Run keeps the process running until ctx ends.
	Run(ctx context.Context) error
	// Instance waits for a running, configured process. done closes when it has
	// died or cannot be reached any more.
	Instance(ctx context.Context) (d plugins.Driver, done <-chan struct{}, err error)
	// Failure is why there is no process now, nil when there is one or none was
	// tried yet; changed closes when that may have changed.
	Failure() (changed <-chan struct{}, err error)
	// Stop ends the process for good, after Run has returned. Tasks go on.
	Stop(ctx context.Context) error
}

// Config is what a Set is made of.
type Config struct {
	Sources []Source
	// Absent are drivers that this node knows and does not offer, with the reason.
	Absent map[string]string
	// Changed is called after health or attributes of a driver changed, from any
	// goroutine.
	Changed func()
	// Event takes the messages of drivers on their tasks.
	Event  func(*plugins.TaskEvent)
	Logger *slog.Logger
}

// Set keeps drivers running.
type Set struct {
	cfg   Config
	names []string
	slots map[string]*slot
	ready chan struct{} // closed when every driver has said what it can do, or failed
}

// New makes a set; Run brings it to life.
func New(cfg Config) *Set {
	s := &Set{cfg: cfg, slots: map[string]*slot{}, ready: make(chan struct{})}
	for _, source := range cfg.Sources {
		s.slots[source.Name()] = newSlot(s, source)
	}
	s.names = slices.Sorted(maps.Keys(s.slots))
	return s
}

// Ready closes when every driver has reported once, or failed to start once.
func (s *Set) Ready() <-chan struct{} { return s.ready }

// Run launches all drivers and keeps them running until ctx ends. Processes are
// left alone then: see Stop.
func (s *Set) Run(ctx context.Context) error {
	var all, first sync.WaitGroup
	errs := make([]error, len(s.names))
	for i, name := range s.names {
		sl := s.slots[name]
		first.Add(1)
		sl.reported = sync.OnceFunc(first.Done)
		all.Go(func() { errs[i] = sl.run(ctx) })
	}
	all.Go(func() {
		first.Wait()
		close(s.ready)
	})
	all.Wait()
	return errors.Join(errs...)
}

// Stop ends the driver processes, for an agent that goes away on purpose. It is
// called after Run has returned.
func (s *Set) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(s.names))
	for i, name := range s.names {
		wg.Go(func() { errs[i] = s.slots[name].source.Stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Get returns the running driver of that name and waits while it is being
// started again. A driver that never came up is an error at once.
func (s *Set) Get(ctx context.Context, name string) (*Driver, error) {
	sl := s.slots[name]
	if sl == nil {
		if why, known := s.cfg.Absent[name]; known {
			return nil, fmt.Errorf("%w: %q is %s", ErrUnknown, name, why)
		}
		return nil, fmt.Errorf("%w: %q (it has %v)", ErrUnknown, name, s.names)
	}
	return sl.get(ctx)
}

// Infos says for every driver what it can do, as the servers see it, and which
// attributes the node has by it.
func (s *Set) Infos() (map[string]*model.DriverInfo, map[string]string) {
	infos, attrs := make(map[string]*model.DriverInfo, len(s.slots)), map[string]string{}
	for name, why := range s.cfg.Absent {
		infos[name] = &model.DriverInfo{HealthDescription: why}
	}
	for name, sl := range s.slots {
		info := sl.info()
		infos[name] = info
		if info.Detected {
			maps.Copy(attrs, info.Attributes)
			attrs["driver."+name] = "1"
		}
	}
	return infos, attrs
}

func (s *Set) changed() {
	if s.cfg.Changed != nil {
		s.cfg.Changed()
	}
}
