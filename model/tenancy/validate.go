package tenancy

import (
	"fmt"
	"slices"

	"github.com/steppe-project/steppe/model"
)

// Limits of what is kept of namespaces, node pools and quotas: they are in every
// server's memory, and read with every registration.
const (
	MaxNameBytes        = 128
	MaxDescriptionBytes = 256
	MaxMetaBytes        = 64 << 10
	MaxListed           = 128 // drivers, modes, patterns of pools
	MaxRegions          = 128 // of a quota
	// MaxNamespaces and MaxQuotas bound the tables: a quota looks at each namespace.
	MaxNamespaces = 10_000
	MaxQuotas     = 10_000
	// MaxLimit bounds a limit: what counts of one job is bounded above it.
	MaxLimit = 1 << 40
)

func invalid(format string, args ...any) error {
	return model.Errorf(model.CodeInvalid, format, args...)
}

// described checks what namespaces, node pools and quotas have in common.
func described(what, name, also, description string, meta map[string]string) error {
	if !model.PlainName(name, MaxNameBytes, also) {
		return invalid("invalid name %q of a %s: 1 to %d letters, digits and %s", name, what, MaxNameBytes, charactersOf(also))
	}
	if len(description) > MaxDescriptionBytes {
		return invalid("the description of %s %q has %d bytes; at most %d", what, name, len(description), MaxDescriptionBytes)
	}
	size := 0
	for k, v := range meta {
		size += len(k) + len(v)
	}
	if size > MaxMetaBytes {
		return invalid("the meta of %s %q has %d bytes; at most %d", what, name, size, MaxMetaBytes)
	}
	return nil
}

func charactersOf(also string) string {
	if also == "-" {
		return "dashes"
	}
	return "dashes and underscores"
}

// Validate finds what must be refused in a namespace.
func (n *Namespace) Validate() error {
	if err := described("namespace", n.Name, "-_", n.Description, n.Meta); err != nil {
		return err
	}
	if n.Quota != "" && !model.PlainName(n.Quota, MaxNameBytes, "-_") {
		return invalid("namespace %q: %q is not a quota's name", n.Name, n.Quota)
	}
	if r := n.SchedulerConfiguration; r != nil {
		if err := algorithm(fmt.Sprintf("namespace %q", n.Name), r.SchedulerAlgorithm); err != nil {
			return err
		}
		if r.MaxPriority < 0 || r.MaxPriority > model.MaxPriority {
			return invalid("namespace %q: max_priority is %d; from %d to %d, or 0 for no bound", n.Name, r.MaxPriority, model.MinPriority, model.MaxPriority)
		}
	}
	if c := n.Capabilities; c != nil {
		for _, list := range [][]string{c.EnabledTaskDrivers, c.DisabledTaskDrivers, c.EnabledNetworkModes, c.DisabledNetworkModes} {
			if err := names(n.Name, list, "-_./"); err != nil {
				return err
			}
		}
	}
	return n.validatePools()
}

func (n *Namespace) validatePools() error {
	r := n.NodePoolConfiguration
	if r == nil {
		return nil
	}
	if r.Default != "" && !model.PlainName(r.Default, MaxNameBytes, "-_") {
		return invalid("namespace %q: %q is not a node pool's name", n.Name, r.Default)
	}
	if r.Allowed != nil && len(r.Denied) > 0 {
		return invalid("namespace %q: node_pool_config has allowed and denied; what is not allowed is denied: delete one of them", n.Name)
	}
	for _, list := range [][]string{r.Allowed, r.Denied} {
		if err := names(n.Name, list, "-_*"); err != nil {
			return err
		}
	}
	if pool := n.Pool(); matches(r.Denied, pool) {
		return invalid("namespace %q: node_pool_config denies %q, which is its default: name another default", n.Name, pool)
	}
	return nil
}

func names(namespace string, list []string, also string) error {
	if len(list) > MaxListed {
		return invalid("namespace %q: a list of %d names; at most %d", namespace, len(list), MaxListed)
	}
	for _, name := range list {
		if !model.PlainName(name, MaxNameBytes, also) {
			return invalid("namespace %q: %q is not a name that can be allowed or denied", namespace, name)
		}
	}
	return nil
}

func algorithm(where, name string) error {
	if name != "" && name != model.AlgorithmBinpack && name != model.AlgorithmSpread {
		return invalid("%s: scheduler_algorithm %q is neither %q nor %q", where, name, model.AlgorithmBinpack, model.AlgorithmSpread)
	}
	return nil
}

// ValidatePool finds what must be refused in a node pool.
func ValidatePool(p *model.NodePool) error {
	if err := described("node pool", p.Name, "-_", p.Description, p.Meta); err != nil {
		return err
	}
	if c := p.SchedulerConfiguration; c != nil {
		return algorithm(fmt.Sprintf("node pool %q", p.Name), c.SchedulerAlgorithm)
	}
	return nil
}

// Validate finds what must be refused in a quota of a region's servers.
func (q *Quota) Validate(region string) error {
	if err := described("quota", q.Name, "-_", q.Description, nil); err != nil {
		return err
	}
	if len(q.Limits) == 0 {
		return invalid("quota %q limits nothing: write a limit block for region %q", q.Name, region)
	}
	if len(q.Limits) > MaxRegions {
		return invalid("quota %q has limits for %d regions; at most %d", q.Name, len(q.Limits), MaxRegions)
	}
	var seen []string
	for i, l := range q.Limits {
		switch {
		case l == nil || l.RegionLimit == nil:
			return invalid("quota %q: limit %d has no region_limit", q.Name, i+1)
		case l.Region == "" || len(l.Region) > MaxNameBytes:
			return invalid("quota %q: limit %d names no region", q.Name, i+1)
		case slices.Contains(seen, l.Region):
			return invalid("quota %q: there are two limits for region %q", q.Name, l.Region)
		}
		for kind, n := range l.RegionLimit.amount() {
			if n > MaxLimit {
				return invalid("quota %q: %s is more than %d: leave it out for as much as one likes", q.Name, tell(kind, n), MaxLimit)
			}
		}
		seen = append(seen, l.Region)
	}
	if !slices.Contains(seen, region) {
		return invalid("quota %q has no limit for region %q: it would allow everything here (each region keeps quotas of its own)", q.Name, region)
	}
	return nil
}
