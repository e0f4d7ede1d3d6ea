// Package tenantspec reads the files that describe namespaces, node pools and quotas:
// HCL, or JSON in the form of the API.
//
// Contract: an attribute or a block that is not known is an error with file, line and
// name; so is one that is set twice. What the values may be, the servers say.
//
// Example:
//
//	ns, err := tenantspec.Namespace("dev.hcl", data)
package tenantspec

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// MaxFileBytes bounds a file: real ones have a page.
const MaxFileBytes = 1 << 20

// decode reads HCL into v.
func decode(name string, src []byte, v any) error {
	if len(src) > MaxFileBytes {
		return model.Errorf(model.CodeInvalid, "%s: larger than the limit of %d bytes", name, MaxFileBytes)
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if !diags.HasErrors() {
		diags = gohcl.DecodeBody(file.Body, nil, v)
	}
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		where := name
		if d.Subject != nil {
			where = fmt.Sprintf("%s:%d", name, d.Subject.Start.Line)
		}
		return model.Errorf(model.CodeInvalid, "%s: %s; %s", where, d.Summary, d.Detail)
	}
	return nil
}

// isJSON tells JSON from HCL.
func isJSON(src []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) }

func decodeJSON(name string, src []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return model.Errorf(model.CodeInvalid, "%s: %v", name, err)
	}
	return nil
}

// metaBlock is a block of free keys.
type metaBlock struct {
	Body hcl.Body `hcl:",remain"`
}

// values are the keys of a meta block; name is the file's.
func (m *metaBlock) values(name string) (map[string]string, error) {
	if m == nil {
		return nil, nil
	}
	attrs, diags := m.Body.JustAttributes()
	if diags.HasErrors() {
		return nil, model.Errorf(model.CodeInvalid, "%s: meta: %s", name, diags[0].Detail)
	}
	out := make(map[string]string, len(attrs))
	for key, a := range attrs {
		var text string
		if diags := gohcl.DecodeExpression(a.Expr, nil, &text); diags.HasErrors() {
			return nil, model.Errorf(model.CodeInvalid, "%s:%d: meta %s: %s", name, a.Range.Start.Line, key, diags[0].Detail)
		}
		out[key] = text
	}
	return out, nil
}

type schedulerBlock struct {
	Algorithm     string `hcl:"scheduler_algorithm,optional"`
	Oversubscribe *bool  `hcl:"memory_oversubscription_enabled,optional"`
	MaxPriority   int    `hcl:"max_priority,optional"`
}

// Namespace reads a namespace.
func Namespace(name string, src []byte) (*tenancy.Namespace, error) {
	if isJSON(src) {
		n := &tenancy.Namespace{}
		return n, decodeJSON(name, src, n)
	}
	var f struct {
		Name         string     `hcl:"name"`
		Description  string     `hcl:"description,optional"`
		Quota        string     `hcl:"quota,optional"`
		Meta         *metaBlock `hcl:"meta,block"`
		Capabilities *struct {
			EnabledDrivers  []string `hcl:"enabled_task_drivers,optional"`
			DisabledDrivers []string `hcl:"disabled_task_drivers,optional"`
			EnabledModes    []string `hcl:"enabled_network_modes,optional"`
			DisabledModes   []string `hcl:"disabled_network_modes,optional"`
		} `hcl:"capabilities,block"`
		Pools *struct {
			Default string   `hcl:"default,optional"`
			Allowed []string `hcl:"allowed,optional"`
			Denied  []string `hcl:"denied,optional"`
		} `hcl:"node_pool_config,block"`
		Scheduler *schedulerBlock `hcl:"scheduler_config,block"`
	}
	if err := decode(name, src, &f); err != nil {
		return nil, err
	}
	n := &tenancy.Namespace{Name: f.Name, Description: f.Description, Quota: f.Quota}
	if c := f.Capabilities; c != nil {
		n.Capabilities = &tenancy.Capabilities{
			EnabledTaskDrivers: c.EnabledDrivers, DisabledTaskDrivers: c.DisabledDrivers,
			EnabledNetworkModes: c.EnabledModes, DisabledNetworkModes: c.DisabledModes,
		}
	}
	if p := f.Pools; p != nil {
		n.NodePoolConfiguration = &tenancy.NodePoolRules{Default: p.Default, Allowed: p.Allowed, Denied: p.Denied}
	}
	if s := f.Scheduler; s != nil {
		n.SchedulerConfiguration = &tenancy.SchedulingRules{
			SchedulerAlgorithm: s.Algorithm, MemoryOversubscriptionEnabled: s.Oversubscribe, MaxPriority: s.MaxPriority,
		}
	}
	var err error
	n.Meta, err = f.Meta.values(name)
	return n, err
}

// NodePool reads a node pool.
func NodePool(name string, src []byte) (*model.NodePool, error) {
	if isJSON(src) {
		p := &model.NodePool{}
		return p, decodeJSON(name, src, p)
	}
	var f struct {
		Pool struct {
			Name        string     `hcl:"name,label"`
			Description string     `hcl:"description,optional"`
			Meta        *metaBlock `hcl:"meta,block"`
			Scheduler   *struct {
				Algorithm     string `hcl:"scheduler_algorithm,optional"`
				Oversubscribe *bool  `hcl:"memory_oversubscription_enabled,optional"`
			} `hcl:"scheduler_config,block"`
		} `hcl:"node_pool,block"`
	}
	if err := decode(name, src, &f); err != nil {
		return nil, err
	}
	p := &model.NodePool{Name: f.Pool.Name, Description: f.Pool.Description}
	if s := f.Pool.Scheduler; s != nil {
		p.SchedulerConfiguration = &model.NodePoolSchedulerConfiguration{
			SchedulerAlgorithm: s.Algorithm, MemoryOversubscriptionEnabled: s.Oversubscribe,
		}
	}
	var err error
	p.Meta, err = f.Pool.Meta.values(name)
	return p, err
}

// Quota reads a quota. A limit that names no region is for the region that is asked.
func Quota(name string, src []byte) (*tenancy.Quota, error) {
	if isJSON(src) {
		q := &tenancy.Quota{}
		return q, decodeJSON(name, src, q)
	}
	var f struct {
		Name        string `hcl:"name"`
		Description string `hcl:"description,optional"`
		Limits      []struct {
			Region string `hcl:"region,optional"`
			Limit  struct {
				CPU       int `hcl:"cpu,optional"`
				Cores     int `hcl:"cores,optional"`
				Memory    int `hcl:"memory,optional"`
				MemoryMax int `hcl:"memory_max,optional"`
				Disk      int `hcl:"disk,optional"`
				Count     int `hcl:"count,optional"`
			} `hcl:"region_limit,block"`
		} `hcl:"limit,block"`
	}
	if err := decode(name, src, &f); err != nil {
		return nil, err
	}
	q := &tenancy.Quota{Name: f.Name, Description: f.Description}
	for _, l := range f.Limits {
		q.Limits = append(q.Limits, &tenancy.Limit{Region: l.Region, RegionLimit: &tenancy.Resources{
			CPU: l.Limit.CPU, Cores: l.Limit.Cores, MemoryMB: l.Limit.Memory, MemoryMaxMB: l.Limit.MemoryMax, DiskMB: l.Limit.Disk, Count: l.Limit.Count,
		}})
	}
	return q, nil
}
