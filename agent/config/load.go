package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// MaxFileBytes bounds one configuration file; real ones are a few kilobytes.
const MaxFileBytes = 1 << 20

// Load decodes files and directories (their *.hcl and *.json in name order) one
// over the other onto c.
func Load(paths []string, c *Config) error {
	files, err := expand(paths)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := loadFile(f, c); err != nil {
			return err
		}
		c.Files = append(c.Files, f)
	}
	return c.resolveTemplates()
}

func expand(paths []string) ([]string, error) {
	var files []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("configuration %s: %w", p, errors.Unwrap(err))
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, fmt.Errorf("configuration directory %s: %w", p, err)
		}
		for _, e := range entries {
			ext := filepath.Ext(e.Name())
			if !e.IsDir() && (ext == ".hcl" || ext == ".json") && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, filepath.Join(p, e.Name()))
			}
		}
	}
	return files, nil
}

func loadFile(path string, c *Config) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if len(src) > MaxFileBytes {
		return fmt.Errorf("configuration %s: larger than the limit of %d bytes", path, MaxFileBytes)
	}
	return decode(path, src, c)
}

func decode(path string, src []byte, c *Config) error {
	if err := checkDepth(path, src); err != nil {
		return err
	}
	items, diags := read(path, src)
	if diags.HasErrors() {
		return diagError(path, src, diags)
	}
	var b builder
	body := b.body(items, reflect.TypeFor[Config](), hcl.Range{Filename: path, Start: hcl.InitialPos, End: hcl.InitialPos})
	if diags := append(b.diags, decodeOver(body, c)...); diags.HasErrors() {
		return diagError(path, src, diags)
	}
	notePlaces(body, "", c)
	return nil
}

// checkDepth refuses nesting that would exhaust the recursive parser's stack.
func checkDepth(path string, src []byte) error {
	const maxDepth = 64 // no real file nests deeper than a handful
	depth := 0
	for _, b := range src {
		switch b {
		case '{', '[', '(':
			if depth++; depth > maxDepth {
				return fmt.Errorf("configuration %s: nested deeper than %d levels", path, maxDepth)
			}
		case '}', ']', ')':
			depth--
		}
	}
	return nil
}

// decodeOver decodes body onto c. gohcl overwrites repeated blocks by position,
// so those are taken out first and joined afterwards.
func decodeOver(body hcl.Body, c *Config) hcl.Diagnostics {
	kept := *c
	c.Plugins = nil
	c.Vault, c.Consul, c.Sentinel, c.Audit, c.Keyring = nil, nil, nil, nil, nil
	c.Reporting, c.Users, c.RPC, c.Eventlog = nil, nil, nil, nil
	volumes, networks := c.Client.HostVolumes, c.Client.HostNetworks
	meta, options, chroot := c.Client.MetaMap, c.Client.OptionsMap, c.Client.ChrootEnv
	c.Client.HostVolumes, c.Client.HostNetworks = nil, nil
	c.Client.MetaMap, c.Client.OptionsMap, c.Client.ChrootEnv = nil, nil, nil

	diags := gohcl.DecodeBody(body, nil, c)

	c.Plugins = joinPlugins(kept.Plugins, c.Plugins)
	c.Vault, c.Consul = append(kept.Vault, c.Vault...), append(kept.Consul, c.Consul...)
	c.Sentinel, c.Audit = append(kept.Sentinel, c.Sentinel...), append(kept.Audit, c.Audit...)
	c.Keyring, c.Reporting = append(kept.Keyring, c.Keyring...), append(kept.Reporting, c.Reporting...)
	c.Users, c.RPC = append(kept.Users, c.Users...), append(kept.RPC, c.RPC...)
	c.Eventlog = append(kept.Eventlog, c.Eventlog...)
	c.Client.HostVolumes = append(volumes, c.Client.HostVolumes...)
	c.Client.HostNetworks = append(networks, c.Client.HostNetworks...)
	c.Client.MetaMap = joinMaps(meta, c.Client.MetaMap)
	c.Client.OptionsMap = joinMaps(options, c.Client.OptionsMap)
	c.Client.ChrootEnv = joinMaps(chroot, c.Client.ChrootEnv)
	return diags
}

// joinPlugins lets a later block of the same plugin replace an earlier one.
func joinPlugins(old, more []*Plugin) []*Plugin {
	for _, p := range more {
		replaced := false
		for i := range old {
			if old[i].Name == p.Name {
				old[i], replaced = p, true
			}
		}
		if !replaced {
			old = append(old, p)
		}
	}
	return old
}

// joinMaps lays b over a.
func joinMaps(a, b map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

// notePlaces remembers where each attribute was set, for later problems.
func notePlaces(body *hclsyntax.Body, prefix string, c *Config) {
	for name, a := range body.Attributes {
		c.places[prefix+name] = a.SrcRange
	}
	for _, b := range body.Blocks {
		path := prefix + b.Type
		if len(b.Labels) > 0 {
			path += "[" + b.Labels[0] + "]"
		}
		c.places[path] = b.DefRange()
		notePlaces(b.Body, path+".", c)
	}
}

func diagError(path string, src []byte, diags hcl.Diagnostics) error {
	var b bytes.Buffer
	w := hcl.NewDiagnosticTextWriter(&b, map[string]*hcl.File{path: {Bytes: src}}, 100, false)
	if err := w.WriteDiagnostics(diags); err != nil {
		return diags
	}
	return errors.New("configuration: " + strings.TrimSpace(b.String()))
}

// Map is the block's content as plain values: attributes, and nested blocks as
// maps (or lists of maps when repeated).
func (f *FreeAttrs) Map() (map[string]any, error) {
	if f == nil || f.Body == nil {
		return nil, nil
	}
	return bodyMap(f.Body)
}

func bodyMap(body hcl.Body) (map[string]any, error) {
	out := map[string]any{}
	syntax, ok := body.(*hclsyntax.Body)
	if !ok {
		attrs, diags := body.JustAttributes()
		if diags.HasErrors() {
			return nil, diags
		}
		return out, setAttrs(out, attrs)
	}
	attrs := hcl.Attributes{}
	for n, a := range syntax.Attributes {
		attrs[n] = a.AsHCLAttribute()
	}
	if err := setAttrs(out, attrs); err != nil {
		return nil, err
	}
	for _, b := range syntax.Blocks {
		m, err := bodyMap(b.Body)
		if err != nil {
			return nil, err
		}
		for i := len(b.Labels) - 1; i >= 0; i-- {
			m = map[string]any{b.Labels[i]: m}
		}
		list, _ := out[b.Type].([]any)
		out[b.Type] = append(list, m)
	}
	return out, nil
}

func setAttrs(out map[string]any, attrs hcl.Attributes) error {
	for name, a := range attrs {
		v, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			return diags
		}
		raw, err := ctyjson.Marshal(v, cty.DynamicPseudoType)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var wrapped struct {
			Value any `json:"value"`
		}
		if err := json.Unmarshal(raw, &wrapped); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out[name] = wrapped.Value
	}
	return nil
}

// PluginConfig is the config block of the plugin named name, nil without one.
func (c *Config) PluginConfig(name string) (map[string]any, error) {
	for _, p := range c.Plugins {
		if p.Name == name {
			return p.Config.Map()
		}
	}
	return nil, nil
}

// PluginNames lists the configured plugins in order of name.
func (c *Config) PluginNames() []string {
	var names []string
	for _, p := range c.Plugins {
		names = append(names, p.Name)
	}
	sort.Strings(names)
	return names
}
