package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/proxy"
)

// Candidate is a program in a plugin folder.
type Candidate struct{ Name, Path string }

// Scan lists the programs of a plugin folder that names has a configuration
// block for; a program's name is its file's without ".exe". The warnings name
// programs without a block and blocks without a program. No folder, no programs.
func Scan(dir string, names []string) (found []Candidate, warnings []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, nil, fmt.Errorf("plugin folder: %w", err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("%s is left out: %v", path, err))
			continue
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			continue
		}
		name := strings.TrimSuffix(e.Name(), ".exe")
		if !slices.Contains(names, name) {
			warnings = append(warnings, fmt.Sprintf("%s is not loaded, as the configuration has no block plugin %q", path, name))
			continue
		}
		seen[name] = true
		found = append(found, Candidate{Name: name, Path: path})
	}
	for _, name := range names {
		if !seen[name] {
			warnings = append(warnings, fmt.Sprintf("plugin %q is configured and there is no such program in %s", name, dir))
		}
	}
	return found, warnings, nil
}

// Description is what a plugin says about itself.
type Description struct {
	Info    *plugins.Info
	Version *version.Version
	// Msgpack is its configuration, encoded; nil if it takes none.
	Msgpack []byte
}

// Inspect starts a plugin, asks what it is, lets it check its configuration and
// stops it.
func Inspect(ctx context.Context, o Options, config map[string]any) (*Description, error) {
	o.Detach = false
	p, err := Launch(ctx, o)
	if err != nil {
		return nil, err
	}
	d, err := introduce(ctx, p, config, plugins.Config{})
	if stopErr := p.Stop(ctx); err == nil {
		err = stopErr
	}
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", o.Name, err)
	}
	return d, nil
}

// introduce runs the sequence that makes a started plugin ready: who it is,
// what configuration it takes, the configuration. rest holds the other fields
// of SetConfig.
func introduce(ctx context.Context, p *Process, config map[string]any, rest plugins.Config) (*Description, error) {
	base := proxy.NewBase(p.Conn())
	info, err := base.PluginInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking who it is: %w", err)
	}
	if info.Type != plugins.TypeDriver && info.Type != plugins.TypeDevice {
		return nil, fmt.Errorf("it is of type %d, neither a driver nor a device plugin", info.Type)
	}
	if info.Name == "" {
		return nil, fmt.Errorf("it has no name")
	}
	if !compatible(info) {
		return nil, fmt.Errorf("it speaks the API versions %q, this agent speaks %q", info.APIVersions, plugins.APIVersion)
	}
	v, err := version.NewVersion(info.Version)
	if err != nil {
		return nil, fmt.Errorf("its version %q is not a semantic version: %w", info.Version, err)
	}
	schema, err := base.ConfigSchema(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for its configuration schema: %w", err)
	}
	encoded, err := DecodeConfig(schema, config, nil)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	rest.Msgpack, rest.APIVersion = encoded, plugins.APIVersion
	if err := base.SetConfig(ctx, &rest); err != nil {
		return nil, fmt.Errorf("it refuses its configuration: %w", err)
	}
	return &Description{Info: info, Version: v, Msgpack: encoded}, nil
}

// Newer tells whether external, a plugin of the plugin folder, takes the place
// of internal, one of the same name that is built in: unless it is older.
func Newer(external, internal *version.Version) bool {
	return internal == nil || !external.LessThan(internal)
}
