// Package suite is the conformance suite of the plugin contracts: the same cases
// hold for a driver in process, behind the proxy, and as a subprocess.
//
// A driver's test says how its task configuration expresses a Program and runs
// the suite over every transport:
//
//	func TestMain(m *testing.M) { suite.Main(m, newDriver) }
//
//	func TestConformance(t *testing.T) {
//		suite.All(t, newDriver, suite.Options{
//			Config: func(p suite.Program) map[string]any {
//				return map[string]any{"command": "/bin/sh", "args": []string{"-c", p.Shell()}}
//			},
//		})
//	}
//
// Cases run in parallel on one driver, as an agent would use it; those that end
// the driver's process have one of their own. A case whose Program Config
// answers with nil is skipped, as are those of optional interfaces that the
// driver's Capabilities deny.
package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

// patience is how long the suite waits for what must happen; only a failure
// takes so long, so it is generous to slow machines.
const patience = 30 * time.Second

// Options describe a driver to the suite.
type Options struct {
	// PluginConfig is the agent's config block for the driver.
	PluginConfig map[string]any
	// Config is the task's config block that runs p; nil skips the case.
	Config func(p Program) map[string]any
	// Exec is the command line of an exec into a task that does p; without it,
	// /bin/sh -c p.Shell().
	Exec func(p Program) []string
	// Prepare completes a task's configuration: resources, user, cgroup.
	Prepare func(t testing.TB, c *plugins.TaskConfig)
	// Vars are variables for ${...} in config blocks.
	Vars map[string]string
	// Skip maps the names of cases to the reason why they do not apply.
	Skip map[string]string
	// ProcessBound says that tasks end with the driver's process, so that there is
	// nothing to recover after its death.
	ProcessBound bool
}

// Maker makes a driver that is ready for SetConfig, and cleans up with t. If it
// has a method Crash(), that ends the driver's process without warning.
type Maker func(t *testing.T) plugins.Driver

// crasher is what a Maker's driver may have.
type crasher interface{ Crash() }

// cases of the suite by name.
var cases = []struct {
	name string
	run  func(t *testing.T, e *env)
}{
	{"info", caseInfo},
	{"schema", caseSchema},
	{"capabilities", caseCapabilities},
	{"fingerprint", caseFingerprint},
	{"exit", caseExit},
	{"running", caseRunning},
	{"start-twice", caseStartTwice},
	{"start-missing", caseStartMissing},
	{"start-many", caseStartMany},
	{"environment", caseEnvironment},
	{"output", caseOutput},
	{"wait-canceled", caseWaitCanceled},
	{"stop", caseStop},
	{"stop-escalates", caseStopEscalates},
	{"stop-children", caseStopChildren},
	{"stop-exited", caseStopExited},
	{"destroy", caseDestroy},
	{"unknown-task", caseUnknownTask},
	{"signal", caseSignal},
	{"stats", caseStats},
	{"exec", caseExec},
	{"exec-timeout", caseExecTimeout},
	{"exec-stream", caseExecStream},
	{"exec-terminal", caseExecTerminal},
	{"events", caseEvents},
	{"recover-known", caseRecoverKnown},
	{"recover-garbage", caseRecoverGarbage},
}

// crashCases end the driver's process.
var crashCases = []struct {
	name string
	run  func(t *testing.T, e *env)
}{
	{"recover-running", caseRecoverRunning},
	{"recover-exited", caseRecoverExited},
}

// Driver runs the suite against the drivers that mk makes.
func Driver(t *testing.T, mk Maker, opts Options) {
	t.Run("shared", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t, mk, opts)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				if why, ok := opts.Skip[c.name]; ok {
					t.Skip(why)
				}
				t.Parallel()
				c.run(t, e)
			})
		}
	})
	for _, c := range crashCases {
		t.Run(c.name, func(t *testing.T) {
			if why, ok := opts.Skip[c.name]; ok {
				t.Skip(why)
			}
			if opts.ProcessBound {
				t.Skip("tasks end with the driver's process")
			}
			t.Parallel()
			c.run(t, newEnv(t, mk, opts))
		})
	}
}

// env is a driver under test and what the cases need to know of it.
type env struct {
	mk      Maker
	opts    Options
	driver  plugins.Driver
	caps    *plugins.Capabilities
	decoder *host.Decoder
	// destroyed are the ids that a cleanup has dealt with.
	destroyed sync.Map
}

func newEnv(t *testing.T, mk Maker, opts Options) *env {
	t.Helper()
	e := &env{mk: mk, opts: opts}
	e.driver = e.make(t)
	ctx := deadline(t)
	caps, err := e.driver.Capabilities(ctx)
	if err != nil {
		t.Fatalf("Capabilities: %v", err)
	}
	spec, err := e.driver.TaskConfigSchema(ctx)
	if err != nil {
		t.Fatalf("TaskConfigSchema: %v", err)
	}
	if e.decoder, err = host.NewDecoder(spec); err != nil {
		t.Fatalf("TaskConfigSchema: %v", err)
	}
	e.caps = caps
	return e
}

// make makes a driver and configures it as an agent does.
func (e *env) make(t *testing.T) plugins.Driver {
	t.Helper()
	ctx := deadline(t)
	d := e.mk(t)
	spec, err := d.ConfigSchema(ctx)
	if err != nil {
		t.Fatalf("ConfigSchema: %v", err)
	}
	encoded, err := host.DecodeConfig(spec, e.opts.PluginConfig, nil)
	if err != nil {
		t.Fatalf("plugin configuration: %v", err)
	}
	if err := d.SetConfig(ctx, &plugins.Config{Msgpack: encoded, APIVersion: plugins.APIVersion}); err != nil {
		t.Fatalf("SetConfig: %v", err)
	}
	if l, ok := d.(plugins.Lifecycle); ok {
		if err := l.Init(ctx); err != nil {
			t.Fatalf("Init: %v", err)
		}
	}
	return d
}

// deadline is a context for calls that must return.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// taskNumber keeps ids of one run of the suite apart.
var taskNumber atomic.Int64

// task is a configuration that runs p, with the folders that a host makes.
func (e *env) task(t *testing.T, p Program) *plugins.TaskConfig {
	t.Helper()
	block := e.opts.Config(p)
	if block == nil {
		t.Skipf("the driver cannot run %q", p.Name)
	}
	encoded, err := e.decoder.Decode(block, e.opts.Vars)
	if err != nil {
		t.Fatalf("task configuration of %q: %v", p.Name, err)
	}
	n := taskNumber.Add(1)
	alloc := fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), n)
	dir := filepath.Join(t.TempDir(), alloc)
	makeFolders(t, dir, "task")
	c := &plugins.TaskConfig{
		ID: fmt.Sprintf("%s/task/%08x", alloc, n), Name: "task", AllocID: alloc,
		JobID: "suite", JobName: "suite", GroupName: "group", Namespace: "default",
		NodeID: "00000000-0000-4000-8000-000000000000", NodeName: "node",
		Msgpack:  encoded,
		Env:      map[string]string{"PATH": os.Getenv("PATH"), "GREETING": "hello from the suite"},
		AllocDir: dir,
		Resources: &plugins.Resources{
			CPUShares: 100, MemoryMB: 128,
			Linux: &plugins.LinuxResources{CPUShares: 100, MemoryLimitBytes: 128 << 20},
		},
	}
	e.attachOutput(t, c)
	if e.opts.Prepare != nil {
		e.opts.Prepare(t, c)
	}
	return c
}

// makeFolders makes an allocation directory that any user may write to.
func makeFolders(t *testing.T, dir, task string) {
	t.Helper()
	for _, sub := range []string{"alloc/data", "alloc/logs", "alloc/tmp", task + "/local", task + "/secrets", task + "/private", task + "/tmp"} {
		path := filepath.Join(dir, sub)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts p and destroys it with the test.
func (e *env) start(t *testing.T, p Program) (*plugins.TaskConfig, *plugins.TaskHandle) {
	t.Helper()
	c := e.task(t, p)
	return c, e.startTask(t, c)
}

func (e *env) startTask(t *testing.T, c *plugins.TaskConfig) *plugins.TaskHandle {
	t.Helper()
	e.cleanup(t, c.ID)
	h, _, err := e.driver.StartTask(deadline(t), c)
	if err != nil {
		t.Fatalf("StartTask: %v", err)
	}
	if h == nil {
		t.Fatal("StartTask gave no handle")
	}
	return h
}

// cleanup destroys a task, whatever became of it, before its folders go. A case
// that changes the driver calls it again, as the new one's connection closes
// before the first cleanup comes.
func (e *env) cleanup(t *testing.T, id string) {
	t.Cleanup(func() {
		if _, done := e.destroyed.LoadOrStore(id, true); done {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.driver.DestroyTask(ctx, id, true); err != nil && !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("DestroyTask at the end: %v", err)
		}
	})
}

// wait waits for the task's end.
func (e *env) wait(t *testing.T, id string) *plugins.ExitResult {
	t.Helper()
	exit, err := e.driver.WaitTask(deadline(t), id)
	if err != nil {
		t.Fatalf("WaitTask: %v", err)
	}
	if exit == nil {
		t.Fatal("WaitTask gave no result")
	}
	return exit
}

// state is the task's state as inspected.
func (e *env) state(t *testing.T, id string) plugins.TaskState {
	t.Helper()
	s, err := e.driver.InspectTask(deadline(t), id)
	if err != nil {
		t.Fatalf("InspectTask: %v", err)
	}
	return s.State
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// closed waits for a channel's end, whatever still comes over it.
func closed[T any](t *testing.T, what string, ch <-chan T) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-timeout:
			t.Fatalf("%s: channel not closed within %s", what, patience)
		}
	}
}

// lockedBuffer collects output that another goroutine writes.
type lockedBuffer struct {
	mu   sync.Mutex
	data []byte
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
