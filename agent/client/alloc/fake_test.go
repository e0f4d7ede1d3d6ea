package alloc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

// machine is what outlives driver processes: the fake tasks.
type machine struct {
	mu       sync.Mutex
	tasks    map[string]*fakeTask // by driver task id
	starts   []string             // task names in order of their starts
	startErr map[string]error     // by task name
	block    chan struct{}        // starts wait for it, when set
	foreign  bool                 // the driver writes into pipes
	driver   *driverset.Driver    // the process that lives now
	gone     chan struct{}
	up       chan struct{} // closed while a process lives
}

type fakeTask struct {
	config *plugins.TaskConfig
	exit   *plugins.ExitResult
	done   chan struct{}
	signal string
}

func newMachine() *machine {
	m := &machine{tasks: map[string]*fakeTask{}, startErr: map[string]error{}}
	m.boot()
	return m
}

// boot starts a driver process that knows no task yet.
func (m *machine) boot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	decoder, err := host.NewDecoder(&plugins.Spec{Object: map[string]*plugins.Spec{}})
	if err != nil {
		panic(err)
	}
	m.gone = make(chan struct{})
	m.driver = &driverset.Driver{
		Driver: &fakeDriver{m: m, known: map[string]bool{}, gone: m.gone}, Name: "fake",
		Caps: &plugins.Capabilities{SendSignals: true, RotatesLogs: !m.foreign}, Schema: decoder, Gone: m.gone,
	}
	if m.up != nil {
		close(m.up)
	}
	m.up = nil
}

// crash ends the driver process; its tasks go on.
func (m *machine) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.gone)
	m.driver, m.up = nil, make(chan struct{})
}

// Get implements Drivers.
func (m *machine) Get(ctx context.Context, name string) (*driverset.Driver, error) {
	if name != "fake" {
		return nil, fmt.Errorf("%w: %q", driverset.ErrUnknown, name)
	}
	for {
		m.mu.Lock()
		d, up := m.driver, m.up
		m.mu.Unlock()
		if d != nil {
			return d, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// running finds the task that runs under a name.
func (m *machine) running(name string) *fakeTask {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tasks {
		if t.config.Name == name && t.exit == nil {
			return t
		}
	}
	return nil
}

func (m *machine) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, t := range m.tasks {
		if t.exit == nil {
			n++
		}
	}
	return n
}

// end ends the running task of a name.
func (m *machine) end(name string, r plugins.ExitResult) {
	t := m.running(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	t.exit = &r
	close(t.done)
}

func (m *machine) order() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.starts...)
}

// fakeDriver is one driver process on the machine.
type fakeDriver struct {
	m     *machine
	known map[string]bool
	gone  chan struct{}
}

var errGone = fmt.Errorf("%w: it was killed", plugins.ErrUnavailable)

// task finds a task that this process knows. The caller holds no lock.
func (d *fakeDriver) task(id string) (*fakeTask, error) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	select {
	case <-d.gone:
		return nil, errGone
	default:
	}
	t := d.m.tasks[id]
	if t == nil || !d.known[id] {
		return nil, plugins.ErrTaskNotFound
	}
	return t, nil
}

func (d *fakeDriver) PluginInfo(context.Context) (*plugins.Info, error) {
	return &plugins.Info{Name: "fake"}, nil
}
func (d *fakeDriver) ConfigSchema(context.Context) (*plugins.Spec, error)     { return nil, nil }
func (d *fakeDriver) SetConfig(context.Context, *plugins.Config) error        { return nil }
func (d *fakeDriver) TaskConfigSchema(context.Context) (*plugins.Spec, error) { return nil, nil }
func (d *fakeDriver) Capabilities(context.Context) (*plugins.Capabilities, error) {
	return d.m.driver.Caps, nil
}

func (d *fakeDriver) Fingerprint(ctx context.Context) (<-chan *plugins.Fingerprint, error) {
	out := make(chan *plugins.Fingerprint)
	context.AfterFunc(ctx, func() { close(out) })
	return out, nil
}

func (d *fakeDriver) StartTask(ctx context.Context, c *plugins.TaskConfig) (*plugins.TaskHandle, *plugins.NetworkOverride, error) {
	if _, err := d.task(c.ID); !errors.Is(err, plugins.ErrTaskNotFound) {
		return nil, nil, fmt.Errorf("task %s: %w", c.ID, err)
	}
	d.m.mu.Lock()
	block := d.m.block
	d.m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if err := d.m.startErr[c.Name]; err != nil {
		return nil, nil, err
	}
	d.m.starts = append(d.m.starts, c.Name)
	d.m.tasks[c.ID] = &fakeTask{config: c, done: make(chan struct{})}
	d.known[c.ID] = true
	if d.m.foreign {
		if err := os.WriteFile(c.StdoutPath, []byte("hello from "+c.Name+"\n"), 0); err != nil {
			return nil, nil, err
		}
	}
	return &plugins.TaskHandle{Version: 1, Config: c, State: plugins.StateRunning}, nil, nil
}

func (d *fakeDriver) RecoverTask(_ context.Context, h *plugins.TaskHandle) error {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.m.tasks[h.Config.ID] == nil {
		return errors.New("its process is not there")
	}
	d.known[h.Config.ID] = true
	return nil
}

func (d *fakeDriver) StopTask(_ context.Context, id string, _ time.Duration, signal string) error {
	t, err := d.task(id)
	if err != nil {
		return err
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	t.signal = signal
	if t.exit == nil {
		t.exit = &plugins.ExitResult{ExitCode: 143, Signal: 15}
		close(t.done)
	}
	return nil
}

func (d *fakeDriver) DestroyTask(_ context.Context, id string, force bool) error {
	t, err := d.task(id)
	if err != nil {
		return err
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if t.exit == nil {
		if !force {
			return errors.New("it runs")
		}
		t.exit = &plugins.ExitResult{ExitCode: 137, Signal: 9}
		close(t.done)
	}
	delete(d.m.tasks, id)
	return nil
}

func (d *fakeDriver) WaitTask(ctx context.Context, id string) (*plugins.ExitResult, error) {
	t, err := d.task(id)
	if err != nil {
		return nil, err
	}
	select {
	case <-t.done:
		return t.exit, nil
	case <-d.gone:
		return nil, errGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *fakeDriver) InspectTask(_ context.Context, id string) (*plugins.TaskStatus, error) {
	_, err := d.task(id)
	return &plugins.TaskStatus{ID: id}, err
}

func (d *fakeDriver) TaskStats(context.Context, string, time.Duration) (<-chan *plugins.TaskUsage, error) {
	return nil, errors.New("no statistics")
}

func (d *fakeDriver) SignalTask(_ context.Context, id, signal string) error {
	t, err := d.task(id)
	if err != nil {
		return err
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	t.signal = signal
	return nil
}

// exitedWell is exit code 0.
var exitedWell = &plugins.ExitResult{}
