package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/proxy"
)

// Times of supervision.
const (
	// firstBackoff is the wait after a second death in a row; the first restart
	// comes at once, as tasks wait for their driver.
	firstBackoff = 250 * time.Millisecond
	// maxBackoff bounds the wait before each further restart.
	maxBackoff = 30 * time.Second
	// stableTime is how long a process has to live for its death to count as the
	// first again.
	stableTime = time.Minute
	// configureTimeout bounds the calls that make a process ready.
	configureTimeout = time.Minute
	// pingInterval and pingTimeout are of the watchdog: a process that answers
	// nothing for so long is hung and is replaced.
	pingInterval = 30 * time.Second
	pingTimeout  = time.Minute
)

// SupervisorConfig says which plugin to keep running.
type SupervisorConfig struct {
	Options Options
	// Config is the agent's config block for the plugin.
	Config map[string]any
	// MinPort, MaxPort and Topology are told to drivers.
	MinPort, MaxPort int
	Topology         *plugins.Topology
	// Build changes when the program does; a saved process of another build is
	// stopped and a new one started.
	Build string
	// Saved is the process of an earlier run, if there is one.
	Saved *Reattach
	// Save keeps what finds the process again, nil when there is none any more.
	// It is called before the process is used; its error stops the process.
	Save func(*Reattach) error
}

// Instance is one life of a plugin's process, ready for use.
type Instance struct {
	*Process
	Info *plugins.Info
	// Driver or Device speaks to it, by its type.
	Driver *proxy.Driver
	Device *proxy.Device
	// Generation counts the processes of this supervisor, from 1; Reattached says
	// that this one was found running.
	Generation int
	Reattached bool
}

// Status is how a supervisor fares.
type Status struct {
	// Up says that an Instance is ready.
	Up bool
	// Starts counts processes, failed ones too.
	Starts int
	// Err is why there is none, or why the last one ended; nil before.
	Err error
}

// Supervisor keeps one plugin's process running.
type Supervisor struct {
	config SupervisorConfig

	mu      sync.Mutex
	current *Instance
	status  Status
	changed chan struct{} // closed and replaced with every change
	stopped bool
}

// NewSupervisor prepares; Run does the work.
func NewSupervisor(c SupervisorConfig) *Supervisor {
	if c.Save == nil {
		c.Save = func(*Reattach) error { return nil }
	}
	return &Supervisor{config: c, changed: make(chan struct{})}
}

// Status is how it fares now.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Changed is closed at the next change of Status; ask for it before Status.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Instance waits until a process is ready, until ctx ends, or until Run has
// ended: then the error wraps plugins.ErrUnavailable. An instance whose process
// ends has its Done closed; the next one then comes from here.
func (s *Supervisor) Instance(ctx context.Context) (*Instance, error) {
	for {
		s.mu.Lock()
		current, changed, stopped, cause := s.current, s.changed, s.stopped, s.status.Err
		s.mu.Unlock()
		switch {
		case current != nil:
			return current, nil
		case stopped:
			return nil, fmt.Errorf("plugin %s: %w: it has been stopped", s.config.Options.Name, plugins.ErrUnavailable)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("plugin %s: %w: %w", s.config.Options.Name, plugins.ErrUnavailable, ctx.Err()), cause)
		}
	}
}

// update changes the status and wakes who waits.
func (s *Supervisor) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Run keeps the process running until ctx ends. Then a detached process is left
// running for the next agent, any other one stopped. The error is of that stop:
// failing processes are started again for ever, and told in Status.
func (s *Supervisor) Run(ctx context.Context) error {
	defer s.update(func() { s.stopped = true })
	log := s.config.Options.log()
	backoff := time.Duration(0)
	for {
		inst, err := s.up(ctx)
		began := time.Now()
		if err == nil {
			log.Info("plugin is ready", "pid", inst.PID(), "version", inst.Info.Version, "reattached", inst.Reattached)
			s.update(func() { s.current, s.status.Up, s.status.Err = inst, true, nil })
			err = s.watch(ctx, inst)
			s.update(func() { s.current, s.status.Up, s.status.Err = nil, false, err })
		} else {
			s.update(func() { s.status.Err = err })
		}
		if ctx.Err() != nil {
			return s.down(inst)
		}
		if time.Since(began) > stableTime {
			backoff = 0
		}
		log.Error("plugin is not running", "error", err, "again_in", backoff)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return nil
		}
		backoff = next(backoff)
	}
}

// next doubles a wait, with some chance in it so that plugins do not restart in
// step.
func next(d time.Duration) time.Duration {
	if d == 0 {
		return firstBackoff
	}
	return min(maxBackoff, d*2+rand.N(d/4+1))
}

// up gives a process that is ready: the saved one if it still runs and is of
// this build, else a new one.
func (s *Supervisor) up(ctx context.Context) (*Instance, error) {
	p := s.reattach(ctx)
	reattached := p != nil
	if p == nil {
		s.update(func() { s.status.Starts++ })
		var err error
		if p, err = Launch(ctx, s.config.Options); err != nil {
			return nil, err
		}
		p.reattach.Build = s.config.Build
	}
	inst, err := s.configure(ctx, p)
	if err != nil {
		return nil, errors.Join(err, s.discard(ctx, p))
	}
	inst.Reattached = reattached
	return inst, nil
}

// discard stops a process that did not become ready; at the end of supervision
// a detached one stays, as it may have tasks.
func (s *Supervisor) discard(ctx context.Context, p *Process) error {
	if ctx.Err() != nil && s.config.Options.Detach {
		return p.Release()
	}
	return errors.Join(p.Stop(context.WithoutCancel(ctx)), s.config.Save(nil))
}

// reattach finds the saved process, once; nil means that a new one is needed.
func (s *Supervisor) reattach(ctx context.Context) *Process {
	saved := s.config.Saved
	s.config.Saved = nil
	if saved == nil {
		return nil
	}
	log := s.config.Options.log()
	p, err := Attach(ctx, s.config.Options, *saved)
	if err != nil {
		log.Info("the plugin's earlier process is not there", "error", err)
		return nil
	}
	if saved.Build == s.config.Build {
		return p
	}
	log.Info("stopping the plugin's earlier process, which is of another build", "pid", p.PID())
	if err := p.Stop(ctx); err != nil {
		log.Error("stopping the plugin's earlier process", "error", err)
	}
	return nil
}

// configure makes a process ready.
func (s *Supervisor) configure(ctx context.Context, p *Process) (*Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, configureTimeout)
	defer cancel()
	reattach := p.Reattach()
	if err := s.config.Save(&reattach); err != nil {
		return nil, fmt.Errorf("keeping the plugin's process id: %w", err)
	}
	d, err := introduce(ctx, p, s.config.Config, plugins.Config{
		MinPort: s.config.MinPort, MaxPort: s.config.MaxPort, Topology: s.config.Topology,
	})
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", s.config.Options.Name, err)
	}
	inst := &Instance{Process: p, Info: d.Info}
	s.mu.Lock()
	s.status.Starts = max(s.status.Starts, 1)
	inst.Generation = s.status.Starts
	s.mu.Unlock()
	if d.Info.Type == plugins.TypeDevice {
		inst.Device = proxy.NewDevice(p.Conn())
		return inst, nil
	}
	inst.Driver = proxy.NewDriver(p.Conn())
	if err := inst.Driver.Init(ctx); err != nil {
		return nil, fmt.Errorf("plugin %s: preparing it: %w", s.config.Options.Name, err)
	}
	return inst, nil
}

// watch returns when the process has ended, with why, or when ctx ends. A
// process that hangs is killed.
func (s *Supervisor) watch(ctx context.Context, inst *Instance) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-inst.Done():
			err := fmt.Errorf("plugin %s: %w: process %d has ended", s.config.Options.Name, plugins.ErrUnavailable, inst.PID())
			r := inst.Reattach()
			removeSockets(r.Network, r.Addr, r.SocketDir)
			return errors.Join(err, inst.Release(), s.config.Save(nil))
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			ping, cancel := context.WithTimeout(ctx, pingTimeout)
			err := inst.Ping(ping)
			cancel()
			if errors.Is(ping.Err(), context.DeadlineExceeded) && err != nil {
				s.config.Options.log().Error("plugin hangs and is killed", "pid", inst.PID(), "error", err)
				if err := inst.kill(ctx); err != nil {
					return fmt.Errorf("killing a hung plugin: %w", err)
				}
			}
		}
	}
}

// down ends supervision: the process stays, or is shut down.
func (s *Supervisor) down(inst *Instance) error {
	if inst == nil {
		return nil
	}
	if s.config.Options.Detach {
		return inst.Release()
	}
	return errors.Join(inst.Shutdown(), s.config.Save(nil))
}

// Shutdown stops the process after telling it so.
func (i *Instance) Shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	var told error
	if i.Driver != nil {
		if told = i.Driver.Shutdown(ctx); errors.Is(told, plugins.ErrUnavailable) {
			told = nil // it has ended already
		}
	}
	return errors.Join(told, i.Stop(context.Background()))
}
