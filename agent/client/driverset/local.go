package driverset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

// Names of drivers that are off unless asked for.
const (
	rawExec    = "raw_exec"
	mockDriver = "mock_driver"
)

// inspectTimeout bounds finding out what the programs of the plugin folder are.
const inspectTimeout = 30 * time.Second

// Block is the agent's configuration of one plugin.
type Block struct {
	Args   []string
	Config map[string]any
}

// Local says which drivers a node has.
type Local struct {
	// Options are the client's: driver.allowlist, driver.denylist,
	// driver.raw_exec.enable, driver.mock.enable.
	Options map[string]string
	// Blocks are plugin blocks by name of the built-in driver or of the program.
	Blocks    map[string]Block
	PluginDir string
	// SocketDir is where driver processes listen, and where records say how they
	// are reached in case that Saved is lost.
	SocketDir string
	// Attached processes end with the agent, however it ends.
	Attached bool
	Topology *plugins.Topology
	// MinPort and MaxPort are the node's dynamic ports.
	MinPort, MaxPort int
	// Saved is what Remember was last told, by driver.
	Saved map[string][]byte
	// Remember keeps how to reach a driver's process; nil data = forget it.
	Remember func(name string, data []byte) error
	Logger   *slog.Logger
}

// Sources finds the drivers: built-in ones, and programs of the plugin folder
// that have a block. absent are those that are switched off, with the reason.
func (l *Local) Sources(ctx context.Context) (sources []Source, absent map[string]string, err error) {
	absent = map[string]string{}
	byName := map[string]Source{}
	for name := range builtin {
		if why := l.off(name); why != "" {
			absent[name] = why
			continue
		}
		config := host.SupervisorConfig{
			Options: host.Options{Name: name, Path: host.Self, Args: []string{mainArg, name}},
			Config:  l.config(name), Build: buildOf(host.Self, l.config(name)),
		}
		if byName[name], err = l.source(name, config); err != nil {
			return nil, nil, err
		}
	}
	external, err := l.external(ctx)
	if err != nil {
		return nil, nil, err
	}
	for name, config := range external {
		if why := l.listed(name); why != "" {
			absent[name] = why
			continue
		}
		if byName[name], err = l.source(name, config); err != nil {
			return nil, nil, err
		}
		delete(absent, name)
	}
	return slices.Collect(maps.Values(byName)), absent, nil
}

// source makes a supervised driver of a configuration.
func (l *Local) source(name string, c host.SupervisorConfig) (Source, error) {
	c.Options.Log, c.Options.Detach, c.Options.SocketDir = l.Logger, !l.Attached, l.SocketDir
	c.MinPort, c.MaxPort, c.Topology = l.MinPort, l.MaxPort, l.Topology
	saved, remember, err := l.memory(name)
	if err != nil {
		return nil, err
	}
	return newSupervised(name, c, saved, remember)
}

// memory is how the driver's process was last reached, and what keeps that: in
// the client's state, and beside the sockets in case that the state is lost.
func (l *Local) memory(name string) (saved []byte, remember func([]byte) error, err error) {
	dir := l.SocketDir
	if l.Attached { // it has ended with its agent
		dir = ""
	}
	beside, saved := recordOf(dir, name), l.Saved[name]
	if saved == nil {
		if saved, err = beside.read(); err != nil {
			return nil, nil, err
		}
		if saved != nil && json.Unmarshal(saved, new(host.Reattach)) != nil {
			l.Logger.Warn("the record of a driver's process is damaged, a new process is started", "driver", name)
			saved = nil
		}
	}
	return saved, func(data []byte) error { return errors.Join(beside.write(data), l.Remember(name, data)) }, nil
}

// off is why a built-in driver is not offered, "" when it is.
func (l *Local) off(name string) string {
	block, configured := l.Blocks[name]
	switch name {
	case rawExec:
		if enabled, _ := block.Config["enabled"].(bool); !enabled && !l.option("driver.raw_exec.enable") {
			return `disabled: set enabled = true in its plugin block`
		}
	case mockDriver:
		if !configured && !l.option("driver.mock.enable") {
			return `disabled: it is for tests (option driver.mock.enable)`
		}
	}
	return l.listed(name)
}

// listed applies the operator's lists.
func (l *Local) listed(name string) string {
	if allow := l.list("driver.allowlist"); len(allow) > 0 && !slices.Contains(allow, name) {
		return "not in driver.allowlist"
	}
	if slices.Contains(l.list("driver.denylist"), name) {
		return "in driver.denylist"
	}
	return ""
}

func (l *Local) list(option string) []string {
	return strings.FieldsFunc(l.Options[option], func(r rune) bool { return r == ',' || r == ' ' })
}

func (l *Local) option(name string) bool {
	on, err := strconv.ParseBool(l.Options[name])
	return err == nil && on
}

// config is the block's, with what options say.
func (l *Local) config(name string) map[string]any {
	config := maps.Clone(l.Blocks[name].Config)
	if name == rawExec {
		if config == nil {
			config = map[string]any{}
		}
		config["enabled"] = true
	}
	return config
}

// external asks the programs of the plugin folder what they are.
func (l *Local) external(ctx context.Context) (map[string]host.SupervisorConfig, error) {
	var names []string
	for name := range l.Blocks {
		if builtin[name] == nil {
			names = append(names, name)
		}
	}
	if l.PluginDir == "" || len(names) == 0 {
		for _, name := range names {
			l.Logger.Warn("plugin is configured and there is no plugin_dir", "plugin", name)
		}
		return nil, nil
	}
	found, warnings, err := host.Scan(l.PluginDir, names)
	for _, w := range warnings {
		l.Logger.Warn(w)
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	out := map[string]host.SupervisorConfig{}
	for _, c := range found {
		wg.Go(func() {
			config := host.SupervisorConfig{
				Options: host.Options{Name: c.Name, Path: c.Path, Args: l.Blocks[c.Name].Args, Log: l.Logger, SocketDir: l.SocketDir},
				Config:  l.Blocks[c.Name].Config, Build: buildOf(c.Path, l.Blocks[c.Name].Config),
			}
			d, err := host.Inspect(ctx, config.Options, config.Config)
			switch {
			case err != nil:
				l.Logger.Error("plugin cannot be used", "plugin", c.Name, "error", err)
			case d.Info.Type != plugins.TypeDriver:
				l.Logger.Warn("device plugins are not used by this version", "plugin", c.Name)
			default:
				mu.Lock()
				out[d.Info.Name] = config
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out, err
}

// buildOf changes when a program or its configuration does.
func buildOf(path string, config map[string]any) string {
	identity := path
	if info, err := os.Stat(path); err == nil {
		identity = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			identity += fmt.Sprint("-", st.Dev, "-", st.Ino)
		}
	}
	data, err := json.Marshal(config)
	if err != nil {
		return identity // Launch reports what is wrong with it
	}
	return identity + " " + string(data)
}
