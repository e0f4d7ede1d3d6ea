package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	filter "github.com/opencontainers/runc/libcontainer/seccomp"

	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/drivers/shim/tasks"
	"github.com/steppe-project/steppe/plugins"
)

// Name of the driver in job files; version of this implementation.
const (
	Name    = "exec"
	version = "1.0.0"
)

// modePrivate and modeHost are the values of pid_mode and ipc_mode.
const (
	modePrivate = "private"
	modeHost    = "host"
)

// Driver implements plugins.Driver, SignalTasker, ExecTasker, EventSource and
// Lifecycle.
type Driver struct {
	*tasks.Set
	mu     sync.Mutex
	config config
}

// config is the agent's plugin block.
type config struct {
	pidMode, ipcMode       string
	noPivotRoot            bool
	allowCaps              []string
	deniedUIDs, deniedGIDs tasks.IDRanges
	chroot                 map[string]string // nil = defaultChroot
}

// New returns the driver on this machine's control groups.
func New() *Driver {
	return &Driver{
		Set:    tasks.NewSet(Name, cgroup.Detect(), nil),
		config: config{pidMode: modePrivate, ipcMode: modePrivate, allowCaps: defaultCaps},
	}
}

// PluginInfo implements plugins.Base.
func (d *Driver) PluginInfo(context.Context) (*plugins.Info, error) {
	return &plugins.Info{Type: plugins.TypeDriver, Name: Name, Version: version, APIVersions: []string{plugins.APIVersion}}, nil
}

// ConfigSchema implements plugins.Base.
func (d *Driver) ConfigSchema(context.Context) (*plugins.Spec, error) {
	return &plugins.Spec{Object: map[string]*plugins.Spec{
		"no_pivot_root":    plugins.WithDefault(plugins.Attr("no_pivot_root", "bool", false), "false"),
		"default_pid_mode": plugins.WithDefault(plugins.Attr("default_pid_mode", "string", false), `"private"`),
		"default_ipc_mode": plugins.WithDefault(plugins.Attr("default_ipc_mode", "string", false), `"private"`),
		"allow_caps":       plugins.Attr("allow_caps", "list(string)", false),
		"denied_host_uids": plugins.Attr("denied_host_uids", "string", false),
		"denied_host_gids": plugins.Attr("denied_host_gids", "string", false),
		"chroot_env":       plugins.Attr("chroot_env", "map(string)", false),
	}}, nil
}

// SetConfig implements plugins.Base.
func (d *Driver) SetConfig(_ context.Context, c *plugins.Config) error {
	b := settings.Parse(c.Msgpack)
	next := config{
		noPivotRoot: b.Bool("no_pivot_root"),
		pidMode:     or(b.String("default_pid_mode"), modePrivate),
		ipcMode:     or(b.String("default_ipc_mode"), modePrivate),
		allowCaps:   b.Strings("allow_caps"),
		chroot:      b.Map("chroot_env"),
	}
	var uidErr, gidErr, capErr error
	next.deniedUIDs, uidErr = tasks.ParseIDRanges(b.String("denied_host_uids"))
	next.deniedGIDs, gidErr = tasks.ParseIDRanges(b.String("denied_host_gids"))
	if next.allowCaps == nil {
		next.allowCaps = defaultCaps
	} else {
		next.allowCaps, capErr = normalizeCaps(next.allowCaps)
	}
	err := errors.Join(b.Err(), uidErr, gidErr, capErr,
		checkMode("default_pid_mode", next.pidMode), checkMode("default_ipc_mode", next.ipcMode), checkChroot(next.chroot))
	if err != nil {
		return err
	}
	d.SetTopology(c.Topology)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config = next
	return nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func checkMode(name, value string) error {
	if value != modePrivate && value != modeHost {
		return fmt.Errorf("%s must be %q or %q, not %q", name, modePrivate, modeHost, value)
	}
	return nil
}

func (d *Driver) settings() config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config
}

// TaskConfigSchema implements plugins.Driver.
func (d *Driver) TaskConfigSchema(context.Context) (*plugins.Spec, error) {
	return &plugins.Spec{Object: map[string]*plugins.Spec{
		"command":            plugins.Attr("command", "string", true),
		"args":               plugins.Attr("args", "list(string)", false),
		"work_dir":           plugins.Attr("work_dir", "string", false),
		"pid_mode":           plugins.Attr("pid_mode", "string", false),
		"ipc_mode":           plugins.Attr("ipc_mode", "string", false),
		"cap_add":            plugins.Attr("cap_add", "list(string)", false),
		"cap_drop":           plugins.Attr("cap_drop", "list(string)", false),
		"pids_limit":         plugins.Attr("pids_limit", "number", false),
		"oom_score_adj":      plugins.Attr("oom_score_adj", "number", false),
		"cgroup_v1_override": plugins.Attr("cgroup_v1_override", "map(string)", false),
	}}, nil
}

// Capabilities implements plugins.Driver.
func (d *Driver) Capabilities(context.Context) (*plugins.Capabilities, error) {
	return &plugins.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: plugins.FSChroot,
		NetModes: []plugins.NetMode{plugins.NetHost, plugins.NetGroup, plugins.NetNone}, RotatesLogs: true,
	}, nil
}

// Fingerprint implements plugins.Fingerprinter. Nothing about this driver
// changes while it runs, so one report is all.
func (d *Driver) Fingerprint(ctx context.Context) (<-chan *plugins.Fingerprint, error) {
	out := make(chan *plugins.Fingerprint, 1)
	out <- d.fingerprint()
	context.AfterFunc(ctx, func() { close(out) })
	return out, nil
}

func (d *Driver) fingerprint() *plugins.Fingerprint {
	if err := d.usable(); err != nil {
		return &plugins.Fingerprint{Health: plugins.Undetected, Description: err.Error()}
	}
	yes, groups := true, d.Tree().Version().String()
	return &plugins.Fingerprint{
		Health: plugins.Healthy, Description: "Healthy",
		Attributes: map[string]plugins.Attribute{
			"driver.exec":         {Bool: &yes},
			"driver.exec.cgroups": {String: &groups},
		},
	}
}

// usable says in words why this machine cannot run containers.
func (d *Driver) usable() error {
	if !filter.Enabled {
		return errors.New("the exec driver needs a binary that was built with the tag seccomp")
	}
	if os.Geteuid() != 0 {
		return errors.New("the exec driver needs the agent to run as root")
	}
	if d.Tree().Version() == cgroup.None {
		return errors.New("the exec driver needs control groups: " + d.Tree().Reason())
	}
	return nil
}
