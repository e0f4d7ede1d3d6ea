package rawexec

import (
	"context"
	"errors"
	"sync"

	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/drivers/shim/tasks"
	"github.com/steppe-project/steppe/plugins"
)

// Name of the driver in job files; version of this implementation.
const (
	Name    = "raw_exec"
	version = "1.0.0"
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
	enabled       bool
	noCgroups     bool
	deniedUIDs    tasks.IDRanges
	deniedGIDs    tasks.IDRanges
	deniedEnvVars []string
}

// New returns the driver on this machine's control groups.
func New() *Driver { return NewOn(cgroup.Detect()) }

// NewOn is New with a given control group tree, for tests.
func NewOn(tree *cgroup.Tree) *Driver { return &Driver{Set: tasks.NewSet(Name, tree, nil)} }

// PluginInfo implements plugins.Base.
func (d *Driver) PluginInfo(context.Context) (*plugins.Info, error) {
	return &plugins.Info{Type: plugins.TypeDriver, Name: Name, Version: version, APIVersions: []string{plugins.APIVersion}}, nil
}

// ConfigSchema implements plugins.Base.
func (d *Driver) ConfigSchema(context.Context) (*plugins.Spec, error) {
	return &plugins.Spec{Object: map[string]*plugins.Spec{
		"enabled":          plugins.WithDefault(plugins.Attr("enabled", "bool", false), "false"),
		"no_cgroups":       plugins.WithDefault(plugins.Attr("no_cgroups", "bool", false), "false"),
		"denied_host_uids": plugins.Attr("denied_host_uids", "string", false),
		"denied_host_gids": plugins.Attr("denied_host_gids", "string", false),
		"denied_envvars":   plugins.Attr("denied_envvars", "list(string)", false),
	}}, nil
}

// SetConfig implements plugins.Base.
func (d *Driver) SetConfig(_ context.Context, c *plugins.Config) error {
	b := settings.Parse(c.Msgpack)
	next := config{enabled: b.Bool("enabled"), noCgroups: b.Bool("no_cgroups"), deniedEnvVars: b.Strings("denied_envvars")}
	uids, uidErr := tasks.ParseIDRanges(b.String("denied_host_uids"))
	gids, gidErr := tasks.ParseIDRanges(b.String("denied_host_gids"))
	if err := errors.Join(b.Err(), uidErr, gidErr); err != nil {
		return err
	}
	next.deniedUIDs, next.deniedGIDs = uids, gids
	d.SetTopology(c.Topology)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config = next
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
		"cgroup_v1_override": plugins.Attr("cgroup_v1_override", "map(string)", false),
		"cgroup_v2_override": plugins.Attr("cgroup_v2_override", "string", false),
		"denied_envvars":     plugins.Attr("denied_envvars", "list(string)", false),
		"oom_score_adj":      plugins.Attr("oom_score_adj", "number", false),
	}}, nil
}

// Capabilities implements plugins.Driver.
func (d *Driver) Capabilities(context.Context) (*plugins.Capabilities, error) {
	return &plugins.Capabilities{
		SendSignals: true, Exec: true, FSIsolation: plugins.FSNone,
		NetModes: []plugins.NetMode{plugins.NetHost, plugins.NetGroup}, NoMounts: true, RotatesLogs: true,
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
	c := d.settings()
	if !c.enabled {
		return &plugins.Fingerprint{Health: plugins.Undetected, Description: "disabled: set enabled = true in the plugin's configuration"}
	}
	yes, groups := true, d.Tree().Version().String()
	description := "Healthy"
	switch {
	case c.noCgroups:
		groups, description = "none", "Healthy; tasks are followed by process tree alone: no_cgroups is set"
	case d.Tree().Version() == cgroup.None:
		description = "Healthy; tasks are followed by process tree alone: " + d.Tree().Reason()
	}
	return &plugins.Fingerprint{
		Health: plugins.Healthy, Description: description,
		Attributes: map[string]plugins.Attribute{
			"driver.raw_exec":         {Bool: &yes},
			"driver.raw_exec.cgroups": {String: &groups},
		},
	}
}
