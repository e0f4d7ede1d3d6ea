package client

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/agent/client/fingerprint"
	"github.com/steppe-project/steppe/agent/client/gc"
	"github.com/steppe-project/steppe/agent/client/hook"
	"github.com/steppe-project/steppe/agent/client/report"
	"github.com/steppe-project/steppe/agent/client/session"
	"github.com/steppe-project/steppe/agent/client/stats"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

const (
	// driversPatience is how long registration waits for slow drivers; they are
	// announced later.
	driversPatience = 3 * time.Second
	// startsPerCore and minStarts bound the tasks being started at a time: enough
	// to hide waiting for the disk and the drivers, few enough not to trample each
	// other (a hundred containers on two cores: 4.2 s with 4, 6.2 s with 16).
	startsPerCore = 2
	minStarts     = 4
	// rememberTimeout bounds a write to a disk that is stuck.
	rememberTimeout = 10 * time.Second
	// devStopTimeout bounds ending everything in dev mode.
	devStopTimeout = 20 * time.Second
)

// Client is the node agent of one machine.
type Client struct {
	cfg   Config
	log   *slog.Logger
	board *board
	// describing orders the changes of board.
	describing sync.Mutex
	store      *db.DB
	drivers    *driverset.Set
	allocs     *alloc.Set
	reports    *report.Queue
	session    *session.Session
	lease      *session.Lease
	gc         *gc.Collector
	host       *stats.Host
	tasks      *stats.Tasks
	streams    chan struct{} // one element for each stream under way
	started    chan struct{} // closed when the first session stands
	startup    sync.Once
	retired    atomic.Bool
}

// Retire makes the end of Run stop and remove everything, as in dev mode: the
// node will not come back.
func (c *Client) Retire() { c.retired.Store(true) }

// New prepares a client: its directories, identity, state and drivers. Nothing
// runs before Run. The error is in words for the operator.
func New(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, model.Errorf(model.CodeInvalid, "client configuration: %w", err)
	}
	c := &Client{
		cfg: cfg, log: cfg.Logger, reports: report.New(), tasks: stats.NewTasks(),
		streams: make(chan struct{}, maxStreams), started: make(chan struct{}),
	}
	if err := prepareDirs(&cfg); err != nil {
		return nil, err
	}
	if err := c.openState(); err != nil {
		return nil, err
	}
	if err := c.assemble(ctx); err != nil {
		return nil, errors.Join(err, c.closeState())
	}
	return c, nil
}

// closeState closes the state file of a client that will not run.
func (c *Client) closeState() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return c.store.Run(ended)
}

// assemble makes all parts.
func (c *Client) assemble(ctx context.Context) error {
	cfg := &c.cfg
	id, err := cfg.NodeID, error(nil)
	if id == "" {
		id, err = identity(cfg.StateDir, idFile)
	}
	if err != nil {
		return err
	}
	secret, err := identity(cfg.StateDir, secretFile)
	if err != nil {
		return err
	}
	facts, err := fingerprint.Collect(fingerprint.Config{
		AllocDir: cfg.AllocDir, NetworkInterface: cfg.NetworkInterface, Loopback: cfg.Dev && cfg.NetworkInterface == "",
		HostNetworks: cfg.HostNetworks, TotalMHz: cfg.TotalMHz, MemoryMB: cfg.MemoryMB, DiskMB: cfg.DiskMB, DiskFreeMB: cfg.DiskFreeMB,
		ReservableCores: cfg.ReservableCores,
	})
	if err != nil {
		return model.Errorf(model.CodeInvalid, "fingerprint: %w", err)
	}
	if c.board, err = newBoard(cfg, id, secret, facts, c.reports.From()); err != nil {
		return err
	}
	if err := c.assembleDrivers(ctx, facts.Topology); err != nil {
		return err
	}
	c.lease = c.openLease()
	c.allocs = alloc.NewSet(alloc.Deps{
		DB: c.store, Drivers: c.drivers, Reports: c.reports, Node: c.board.current, Region: cfg.Region, Base: cfg.AllocDir,
		HostEnv: hook.HostEnv(cfg.environ(), cfg.deniedEnv()), MaxKillTimeout: cfg.MaxKillTimeout, ParallelStarts: max(minStarts, startsPerCore*runtime.NumCPU()),
		Lease: c.lease.State, Sweep: driverset.Sweep, Place: driverset.Place, Logger: c.log,
	})
	if err := c.allocs.Restore(c.store.Contents()); err != nil {
		c.log.Error("not everything could be restored", "error", err)
	}
	c.store.Forget()
	c.gc = gc.New(gc.Config{
		Interval: cfg.GC.Interval, MaxAllocs: cfg.GC.MaxAllocs, MaxAge: cfg.GC.MaxAge,
		DiskPercent: cfg.GC.DiskPercent, InodePercent: cfg.GC.InodePercent,
		Usage: func() (float64, float64, error) { return stats.Disk(cfg.AllocDir) },
	}, c.allocs, c.log)
	c.host = stats.NewHost(cfg.AllocDir, facts.Resources.Cpu.CpuShares)
	c.session = session.New(session.Config{
		Servers: cfg.Servers, Node: c.board.Node, Reports: c.reports, Apply: c.allocs.Apply, Confirmed: c.allocs.Confirmed,
		Lease: c.lease, Handlers: cfg.Handlers, Registered: func() { c.startup.Do(func() { close(c.started) }) }, Logger: c.log,
	})
	c.handle(cfg.Handlers)
	return nil
}

// assembleDrivers finds the drivers of this node.
func (c *Client) assembleDrivers(ctx context.Context, topology *plugins.Topology) error {
	local := driverset.Local{
		Options: c.cfg.Options, Blocks: c.cfg.blocks(), PluginDir: c.cfg.PluginDir, SocketDir: c.cfg.StateDir, Attached: c.cfg.Dev,
		Topology: topology, MinPort: c.cfg.MinDynamicPort, MaxPort: c.cfg.MaxDynamicPort,
		Saved: c.store.Contents().Drivers, Remember: c.remember, Logger: c.log,
	}
	sources, absent, err := local.Sources(ctx)
	if err != nil {
		return err
	}
	c.drivers = driverset.New(driverset.Config{
		Sources: sources, Absent: absent, Changed: c.describe, Event: func(e *plugins.TaskEvent) { c.allocs.Note(e) }, Logger: c.log,
	})
	return nil
}

// remember keeps how to reach a driver's process, durably: a process that nobody
// can find again would stay for ever.
func (c *Client) remember(name string, data []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), rememberTimeout)
	defer cancel()
	op := db.PutDriver(name, data)
	if data == nil {
		op = db.DeleteDriver(name)
	}
	return c.store.Write(ctx, op)
}

// blocks are the plugin blocks with what other settings say about drivers.
func (c *Config) blocks() map[string]driverset.Block {
	out := make(map[string]driverset.Block, len(c.Plugins)+1)
	for name, b := range c.Plugins {
		out[name] = b
	}
	if len(c.ChrootEnv) > 0 {
		exec := out["exec"]
		config := map[string]any{"chroot_env": c.ChrootEnv}
		for k, v := range exec.Config {
			config[k] = v
		}
		exec.Config = config
		out["exec"] = exec
	}
	return out
}

func (c *Config) environ() []string {
	if c.Environ != nil {
		return c.Environ
	}
	return os.Environ()
}

// deniedEnv are variables that the operator keeps from tasks.
func (c *Config) deniedEnv() []string {
	return strings.FieldsFunc(c.Options["env.denylist"], func(r rune) bool { return r == ',' || r == ' ' })
}

// describe puts what the drivers can do on the board.
func (c *Client) describe() {
	c.describing.Lock() // an older look must not come last
	defer c.describing.Unlock()
	c.board.drivers(c.drivers.Infos())
}

// Node is the node as it is now; it must not be changed.
func (c *Client) Node() *model.Node { return c.board.current() }

// NodeID is the node's id, which never changes.
func (c *Client) NodeID() string { return c.board.current().ID }

// HasAlloc tells whether an allocation is on this node.
func (c *Client) HasAlloc(id string) bool {
	_, err := c.allocs.Get(id)
	return err == nil
}

// StopTasks ends every task at once and waits for it, as dev mode does at the
// end. Call it while Run runs.
func (c *Client) StopTasks(ctx context.Context) error { return c.allocs.StopAll(ctx) }

// Started closes when the client has registered for the first time.
func (c *Client) Started() <-chan struct{} { return c.started }

// Servers are the servers that the client knows, and which one it talks to ("" =
// none now).
func (c *Client) Servers() (all []string, current string) {
	return c.session.Servers(), c.session.Server()
}

// layer is a set of parts that end together.
type layer struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	err    error
}

func newLayer(parent context.Context) *layer {
	ctx, cancel := context.WithCancel(parent)
	return &layer{ctx: ctx, cancel: cancel}
}

// run runs a part; its failure is failed's to act on.
func (l *layer) run(f func(context.Context) error, failed func()) {
	l.wg.Go(func() {
		if err := f(l.ctx); err != nil {
			l.mu.Lock()
			l.err = errors.Join(l.err, err)
			l.mu.Unlock()
			failed()
		}
	})
}

// end ends the parts and returns their errors.
func (l *layer) end() error {
	l.cancel()
	l.wg.Wait()
	return l.err
}

// Run runs the client until ctx ends or a part of it fails. Parts end in the
// reverse order of their dependence: whoever writes ends before the state file.
func (c *Client) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	base := context.WithoutCancel(ctx)
	state, drivers, allocs, talk := newLayer(base), newLayer(base), newLayer(base), newLayer(base)
	state.run(c.store.Run, stop)
	drivers.run(c.drivers.Run, stop)
	allocs.run(c.allocs.Run, stop)
	talk.run(c.gc.Run, stop)
	talk.run(c.talk, stop)
	<-ctx.Done()
	var errs []error
	forGood := c.cfg.Dev || c.retired.Load()
	if forGood {
		errs = append(errs, c.stopEverything(base))
	}
	errs = append(errs, talk.end())
	c.tasks.Close()
	errs = append(errs, allocs.end(), drivers.end())
	if !c.cfg.Dev {
		errs = append(errs, c.drivers.Stop(base))
	}
	errs = append(errs, state.end())
	if forGood {
		errs = append(errs, driverset.RemoveGroups())
	}
	return errors.Join(errs...)
}

// talk opens the session once the drivers have said what they can do.
func (c *Client) talk(ctx context.Context) error {
	timer := time.NewTimer(driversPatience)
	defer timer.Stop()
	select {
	case <-c.drivers.Ready():
	case <-timer.C:
		c.log.Warn("some drivers are slow to start; the node registers without them")
	case <-ctx.Done():
		return nil
	}
	c.describe()
	return c.session.Run(ctx)
}

// stopEverything ends all tasks and removes all directories.
func (c *Client) stopEverything(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devStopTimeout)
	defer cancel()
	errs := []error{c.allocs.StopAll(ctx)}
	ids, err := allocdir.List(c.cfg.AllocDir)
	errs = append(errs, err)
	for _, id := range ids {
		dir, err := allocdir.New(c.cfg.AllocDir, id)
		if err == nil {
			err = errors.Join(driverset.Sweep(id, ""), dir.Remove())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
