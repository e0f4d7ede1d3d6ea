package driverset

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

// slot is the place of one driver and its succession of processes.
type slot struct {
	set      *Set
	source   Source
	log      *slog.Logger
	reported func() // first report made

	mu      sync.Mutex
	current *Driver
	failure error         // of the last attempt, while there is no process
	moved   chan struct{} // closed and replaced when current or failure changes
	state   model.DriverInfo
}

func newSlot(s *Set, source Source) *slot {
	return &slot{
		set: s, source: source, log: s.cfg.Logger.With("driver", source.Name()),
		reported: func() {}, moved: make(chan struct{}),
		state: model.DriverInfo{HealthDescription: "starting"},
	}
}

// get waits for a running process.
func (sl *slot) get(ctx context.Context) (*Driver, error) {
	for {
		sl.mu.Lock()
		current, failure, moved := sl.current, sl.failure, sl.moved
		sl.mu.Unlock()
		switch {
		case current != nil:
			return current, nil
		case failure != nil:
			return nil, plugins.Recoverable(fmt.Errorf("%w: driver %q does not start: %w", plugins.ErrUnavailable, sl.source.Name(), failure))
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (sl *slot) move(change func()) {
	sl.mu.Lock()
	change()
	close(sl.moved)
	sl.moved = make(chan struct{})
	sl.mu.Unlock()
}

// run follows the driver's processes until ctx ends.
func (sl *slot) run(ctx context.Context) error {
	defer sl.reported()
	var wg sync.WaitGroup
	wg.Go(func() { sl.complain(ctx) })
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := sl.live(ctx); err != nil && ctx.Err() == nil {
				sl.log.Error("driver is not usable", "error", err)
				sl.move(func() { sl.failure = err })
				rest(ctx, retryMin)
			}
		}
	})
	err := sl.source.Run(ctx)
	wg.Wait()
	return err
}

// rest waits for d or the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// live is the life of one process.
func (sl *slot) live(ctx context.Context) error {
	driver, done, err := sl.source.Instance(ctx)
	if err != nil {
		return err
	}
	d, err := sl.learn(ctx, driver, done)
	if err != nil && ended(done) {
		rest(ctx, renewal) // it was the instance that has just ended
		return nil
	}
	if err != nil {
		return err
	}
	sl.move(func() { sl.current, sl.failure = d, nil })
	watch, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { sl.fingerprint(watch, d) })
	if source, ok := driver.(plugins.EventSource); ok {
		wg.Go(func() { sl.events(watch, source) })
	}
	select {
	case <-done:
		sl.log.Warn("driver process has ended, it is started again")
	case <-ctx.Done():
	}
	sl.move(func() { sl.current = nil })
	cancel()
	wg.Wait()
	return nil
}

// ended tells whether a process has ended.
func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// learn asks a new process what it is.
func (sl *slot) learn(ctx context.Context, driver plugins.Driver, done <-chan struct{}) (*Driver, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	d := &Driver{Driver: driver, Name: sl.source.Name(), Gone: done}
	var err error
	if d.Caps, err = d.Capabilities(ctx); err != nil {
		return nil, fmt.Errorf("ask for its capabilities: %w", err)
	}
	schema, err := d.TaskConfigSchema(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for its task configuration: %w", err)
	}
	if d.Schema, err = host.NewDecoder(schema); err != nil {
		return nil, err
	}
	return d, nil
}

// complain tells the servers of a driver that does not start, or stays away.
func (sl *slot) complain(ctx context.Context) {
	for ctx.Err() == nil {
		changed, failure := sl.source.Failure()
		if failure != nil {
			if sl.info().Healthy {
				rest(ctx, healthGrace)
				changed, failure = sl.source.Failure()
			}
			if failure != nil && ctx.Err() == nil {
				sl.move(func() {
					if sl.current == nil {
						sl.failure = failure
					}
				})
				sl.report(model.DriverInfo{HealthDescription: "driver does not start: " + failure.Error()})
				sl.reported()
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// fingerprint follows what the driver says of itself.
func (sl *slot) fingerprint(ctx context.Context, d *Driver) {
	sl.follow(ctx, func() error {
		reports, err := d.Fingerprint(ctx)
		if err != nil {
			sl.report(model.DriverInfo{Detected: true, HealthDescription: "failed to fingerprint driver: " + err.Error()})
			sl.reported()
			return err
		}
		for f := range reports {
			sl.report(infoOf(f))
			sl.reported()
		}
		return nil
	})
}

// events passes on the driver's messages.
func (sl *slot) events(ctx context.Context, source plugins.EventSource) {
	sl.follow(ctx, func() error {
		events, err := source.TaskEvents(ctx)
		if err != nil {
			return err
		}
		for e := range events {
			if sl.set.cfg.Event != nil {
				sl.set.cfg.Event(e)
			}
		}
		return nil
	})
}

// follow opens a stream again, with pauses, until ctx ends.
func (sl *slot) follow(ctx context.Context, stream func() error) {
	for pause := retryMin; ctx.Err() == nil; pause = min(2*pause, retryMax) {
		err := stream()
		if ctx.Err() != nil {
			return
		}
		sl.log.Debug("driver stream ended", "error", err)
		rest(ctx, pause)
	}
}

// report takes a new state in and passes real changes on.
func (sl *slot) report(next model.DriverInfo) {
	sl.mu.Lock()
	last := sl.state
	next.UpdateTime = time.Now()
	same := last.Detected == next.Detected && last.Healthy == next.Healthy &&
		last.HealthDescription == next.HealthDescription && maps.Equal(last.Attributes, next.Attributes)
	sl.state = next
	sl.mu.Unlock()
	if !same {
		sl.set.changed()
	}
}

func (sl *slot) info() *model.DriverInfo {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	out := sl.state
	return &out
}

// infoOf is a fingerprint as the servers keep it.
func infoOf(f *plugins.Fingerprint) model.DriverInfo {
	info := model.DriverInfo{
		Attributes: map[string]string{}, Detected: f.Health != plugins.Undetected,
		Healthy: f.Health == plugins.Healthy, HealthDescription: f.Description,
	}
	for k, a := range f.Attributes {
		info.Attributes[k] = attributeText(a)
	}
	if f.Err != nil {
		info.Healthy, info.HealthDescription = false, f.Err.Error()
	}
	return info
}

// attributeText is an attribute's value with its unit.
func attributeText(a plugins.Attribute) string {
	var text string
	switch {
	case a.String != nil:
		text = *a.String
	case a.Bool != nil:
		text = strconv.FormatBool(*a.Bool)
	case a.Int != nil:
		text = strconv.FormatInt(*a.Int, 10)
	case a.Float != nil:
		text = strconv.FormatFloat(*a.Float, 'g', -1, 64)
	}
	if a.Unit != "" {
		text += " " + a.Unit
	}
	return text
}
