package mock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/plugins"
)

// Name of the driver in job files; version of this implementation.
const (
	Name    = "mock_driver"
	version = "1.0.0"
)

// handleVersion is TaskHandle.Version of this driver.
const handleVersion = 1

// Driver implements plugins.Driver, SignalTasker and ExecTasker.
type Driver struct {
	mu          sync.Mutex
	tasks       map[string]*task
	fsIsolation plugins.FSIsolation
	changeEvery time.Duration
}

// New returns a driver without tasks.
func New() *Driver { return &Driver{tasks: map[string]*task{}} }

// PluginInfo implements plugins.Base.
func (d *Driver) PluginInfo(context.Context) (*plugins.Info, error) {
	return &plugins.Info{Type: plugins.TypeDriver, Name: Name, Version: version, APIVersions: []string{plugins.APIVersion}}, nil
}

// ConfigSchema implements plugins.Base.
func (d *Driver) ConfigSchema(context.Context) (*plugins.Spec, error) {
	return &plugins.Spec{Object: map[string]*plugins.Spec{
		"fs_isolation":            plugins.WithDefault(plugins.Attr("fs_isolation", "string", false), `"none"`),
		"shutdown_periodic_after": plugins.Attr("shutdown_periodic_after", "bool", false),
		// Whole seconds: the time until, and between, changes of health.
		"shutdown_periodic_duration": plugins.Attr("shutdown_periodic_duration", "number", false),
	}}, nil
}

// SetConfig implements plugins.Base.
func (d *Driver) SetConfig(_ context.Context, c *plugins.Config) error {
	b := settings.Parse(c.Msgpack)
	isolation, periodic, every := b.String("fs_isolation"), b.Bool("shutdown_periodic_after"), b.Int("shutdown_periodic_duration")
	if err := b.Err(); err != nil {
		return err
	}
	modes := map[string]plugins.FSIsolation{
		"": plugins.FSNone, "none": plugins.FSNone, "chroot": plugins.FSChroot, "image": plugins.FSImage, "unveil": plugins.FSUnveil,
	}
	mode, ok := modes[isolation]
	if !ok {
		return fmt.Errorf("fs_isolation %q is not none, chroot, image or unveil", isolation)
	}
	if periodic && every <= 0 {
		return errors.New("shutdown_periodic_duration must be positive when shutdown_periodic_after is set")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fsIsolation, d.changeEvery = mode, 0
	if periodic {
		d.changeEvery = time.Duration(every) * time.Second
	}
	return nil
}

// TaskConfigSchema implements plugins.Driver.
func (d *Driver) TaskConfigSchema(context.Context) (*plugins.Spec, error) { return taskSpec(), nil }

// Capabilities implements plugins.Driver.
func (d *Driver) Capabilities(context.Context) (*plugins.Capabilities, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &plugins.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: d.fsIsolation, RotatesLogs: true,
		NetModes: []plugins.NetMode{plugins.NetHost, plugins.NetGroup},
	}, nil
}

// Fingerprint implements plugins.Fingerprinter. With shutdown_periodic_after the
// driver is healthy and undetected by turns.
func (d *Driver) Fingerprint(ctx context.Context) (<-chan *plugins.Fingerprint, error) {
	d.mu.Lock()
	every := d.changeEvery
	d.mu.Unlock()
	out := make(chan *plugins.Fingerprint, 1)
	out <- fingerprint(true)
	if every == 0 {
		context.AfterFunc(ctx, func() { close(out) })
		return out, nil
	}
	go func() {
		defer close(out)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for healthy := false; ; healthy = !healthy {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case <-ctx.Done():
				return
			case out <- fingerprint(healthy):
			}
		}
	}()
	return out, nil
}

func fingerprint(healthy bool) *plugins.Fingerprint {
	if !healthy {
		return &plugins.Fingerprint{Health: plugins.Undetected, Description: "disabled for a while"}
	}
	yes := true
	return &plugins.Fingerprint{
		Health: plugins.Healthy, Description: "Healthy",
		Attributes: map[string]plugins.Attribute{"driver." + Name: {Bool: &yes}},
	}
}

// state is the DriverState of a handle.
type state struct {
	StartedAt time.Time `json:"started_at"`
}

// StartTask implements plugins.TaskRunner.
func (d *Driver) StartTask(ctx context.Context, c *plugins.TaskConfig) (*plugins.TaskHandle, *plugins.NetworkOverride, error) {
	if c == nil || c.ID == "" {
		return nil, nil, errors.New("a task needs an id")
	}
	conf, err := parseTask(c.Msgpack)
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-time.After(conf.startBlockFor):
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if conf.startErr != "" {
		err := errors.New(conf.startErr)
		if conf.startErrRecoverable {
			err = plugins.Recoverable(err)
		}
		return nil, nil, err
	}
	if conf.pluginExitAfter > 0 {
		time.AfterFunc(conf.pluginExitAfter, func() { os.Exit(1) })
	}
	now := time.Now()
	if err := d.add(c, conf, now, true); err != nil {
		return nil, nil, err
	}
	b, err := json.Marshal(state{now})
	if err != nil {
		return nil, nil, err
	}
	return &plugins.TaskHandle{Version: handleVersion, Config: c, State: plugins.StateRunning, DriverState: b}, conf.network(), nil
}

func (t *taskConfig) network() *plugins.NetworkOverride {
	ports, _ := t.ports() // checked when it was parsed
	if t.driverIP == "" && ports == nil {
		return nil
	}
	return &plugins.NetworkOverride{IP: t.driverIP, AutoAdvertise: t.driverAdvertise, PortMap: ports}
}

func (d *Driver) add(c *plugins.TaskConfig, conf *taskConfig, started time.Time, fresh bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.tasks[c.ID]; taken {
		return fmt.Errorf("task %s has already been started", c.ID)
	}
	t := newTask(c, conf, started)
	if fresh {
		if err := t.write(); err != nil {
			return err
		}
	}
	t.run(fresh)
	d.tasks[c.ID] = t
	return nil
}

// RecoverTask implements plugins.TaskRunner.
func (d *Driver) RecoverTask(_ context.Context, h *plugins.TaskHandle) error {
	if h == nil || h.Config == nil || h.Config.ID == "" {
		return errors.New("a task handle needs a task's configuration")
	}
	if _, err := d.get(h.Config.ID); err == nil {
		return nil
	}
	var s state
	if err := json.Unmarshal(h.DriverState, &s); err != nil {
		return fmt.Errorf("the task's handle is damaged: %w", err)
	}
	conf, err := parseTask(h.Config.Msgpack)
	if err != nil {
		return err
	}
	return d.add(h.Config, conf, s.StartedAt, false)
}

func (d *Driver) get(id string) (*task, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t, ok := d.tasks[id]; ok {
		return t, nil
	}
	return nil, plugins.ErrTaskNotFound
}
