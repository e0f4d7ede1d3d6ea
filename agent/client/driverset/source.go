package driverset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

// supervised is a driver in a process of its own.
type supervised struct {
	name       string
	options    host.Options
	supervisor *host.Supervisor
	remember   func([]byte) error

	mu    sync.Mutex
	saved *host.Reattach
}

// newSupervised makes a source of a plugin process. saved is what remember was
// last given, remember keeps how to find the process again (nil = forget it).
func newSupervised(name string, c host.SupervisorConfig, saved []byte, remember func([]byte) error) (*supervised, error) {
	s := &supervised{name: name, options: c.Options, remember: remember}
	if saved != nil {
		c.Saved = new(host.Reattach)
		if err := json.Unmarshal(saved, c.Saved); err != nil {
			return nil, fmt.Errorf("driver %s: how to find its process: %w", name, err)
		}
	}
	c.Save = s.save
	s.supervisor = host.NewSupervisor(c)
	return s, nil
}

func (s *supervised) save(r *host.Reattach) error {
	s.mu.Lock()
	s.saved = r
	s.mu.Unlock()
	if r == nil {
		return s.remember(nil)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.remember(data)
}

// Name implements Source.
func (s *supervised) Name() string { return s.name }

// Run implements Source.
func (s *supervised) Run(ctx context.Context) error { return s.supervisor.Run(ctx) }

// Instance implements Source.
func (s *supervised) Instance(ctx context.Context) (plugins.Driver, <-chan struct{}, error) {
	i, err := s.supervisor.Instance(ctx)
	if err != nil {
		return nil, nil, err
	}
	if i.Driver == nil {
		return nil, nil, fmt.Errorf("plugin %s is not a driver", s.name)
	}
	return i.Driver, i.Done(), nil
}

// Failure implements Source.
func (s *supervised) Failure() (<-chan struct{}, error) {
	changed := s.supervisor.Changed()
	status := s.supervisor.Status()
	if status.Up {
		return changed, nil
	}
	return changed, status.Err
}

// Stop implements Source: the process was left running by the supervisor.
func (s *supervised) Stop(ctx context.Context) error {
	s.mu.Lock()
	saved := s.saved
	s.mu.Unlock()
	if saved == nil {
		return nil
	}
	p, err := host.Attach(ctx, s.options, *saved)
	if errors.Is(err, host.ErrGone) {
		return s.save(nil)
	}
	if err != nil {
		return err
	}
	return errors.Join(p.Stop(ctx), s.save(nil))
}

// InProcess is a driver without a process of its own: for tests, and for
// simulated nodes.
type InProcess struct {
	Driver plugins.Driver
	// DriverName is the name in job files.
	DriverName string

	once sync.Once
	done chan struct{}
}

func (p *InProcess) init() { p.once.Do(func() { p.done = make(chan struct{}) }) }

// Name implements Source.
func (p *InProcess) Name() string { return p.DriverName }

// Run implements Source.
func (p *InProcess) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Instance implements Source.
func (p *InProcess) Instance(context.Context) (plugins.Driver, <-chan struct{}, error) {
	p.init()
	return p.Driver, p.done, nil
}

// Failure implements Source.
func (p *InProcess) Failure() (<-chan struct{}, error) {
	p.init()
	return p.done, nil
}

// Stop implements Source.
func (p *InProcess) Stop(context.Context) error { return nil }
