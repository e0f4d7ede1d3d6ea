package tenancy

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// Pool is the node pool of jobs that name none.
func (n *Namespace) Pool() string {
	if n.NodePoolConfiguration == nil {
		return model.DefaultNodePool
	}
	return cmp.Or(n.NodePoolConfiguration.Default, model.DefaultNodePool)
}

// AllowsPool tells whether jobs may run in a node pool. The pool of all nodes holds
// those of every other, so it must be allowed itself, and nothing denied.
func (n *Namespace) AllowsPool(pool string) bool {
	r := n.NodePoolConfiguration
	switch {
	case r == nil || pool == n.Pool():
		return true
	case len(r.Denied) > 0:
		return pool != model.AllNodePool && !matches(r.Denied, pool)
	case r.Allowed != nil:
		return matches(r.Allowed, pool)
	}
	return true
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// Admits tells why a job may not be in the namespace, nil if it may: its priority,
// its node pool, or a driver or a network mode of its groups.
func (n *Namespace) Admits(job *model.Job) error {
	if r := n.SchedulerConfiguration; r != nil && r.MaxPriority > 0 && job.Priority > r.MaxPriority {
		return n.refuse(job, "priority %d is above %d, the highest that it allows", job.Priority, r.MaxPriority)
	}
	if !n.AllowsPool(job.NodePool) {
		return n.refuse(job, "it does not allow node pool %q: %s", job.NodePool, n.poolsText())
	}
	c := n.Capabilities
	if c == nil {
		return nil
	}
	for _, g := range job.TaskGroups {
		for _, t := range g.Tasks {
			if !enabled(t.Driver, c.EnabledTaskDrivers, c.DisabledTaskDrivers) {
				return n.refuse(job, "it does not allow driver %q of task %q in group %q%s", t.Driver, t.Name, g.Name, listed(c.EnabledTaskDrivers))
			}
		}
		for _, net := range g.Networks {
			if mode := cmp.Or(net.Mode, "host"); !enabled(mode, c.EnabledNetworkModes, c.DisabledNetworkModes) {
				return n.refuse(job, "it does not allow network mode %q of group %q%s", mode, g.Name, listed(c.EnabledNetworkModes))
			}
		}
	}
	return nil
}

func (n *Namespace) refuse(job *model.Job, format string, args ...any) error {
	return model.Errorf(model.CodeInvalid, "namespace %q refuses job %q: "+format, append([]any{n.Name, job.ID}, args...)...)
}

// poolsText says which pools jobs may run in.
func (n *Namespace) poolsText() string {
	r := n.NodePoolConfiguration
	if len(r.Denied) > 0 {
		return "it denies " + strings.Join(r.Denied, ", ") + ", and with them the pool all; its default is " + n.Pool()
	}
	if len(r.Allowed) == 0 {
		return "it allows " + n.Pool() + " only"
	}
	return "it allows " + strings.Join(append([]string{n.Pool()}, r.Allowed...), ", ")
}

func enabled(name string, yes, no []string) bool {
	return !slices.Contains(no, name) && (len(yes) == 0 || slices.Contains(yes, name))
}

func listed(yes []string) string {
	if len(yes) == 0 {
		return ""
	}
	return "; it allows " + strings.Join(yes, ", ")
}

// Overrides are what a job's namespace and node pool override of the cluster's
// scheduler configuration, the namespace first. Each may be nil; nil for nothing.
func Overrides(n *Namespace, pool *model.NodePool) *model.NodePoolSchedulerConfiguration {
	var out *model.NodePoolSchedulerConfiguration
	if pool != nil {
		out = pool.SchedulerConfiguration
	}
	if n == nil || n.SchedulerConfiguration == nil {
		return out
	}
	own := model.NodePoolSchedulerConfiguration{}
	if out != nil {
		own = *out
	}
	r := n.SchedulerConfiguration
	own.SchedulerAlgorithm = cmp.Or(r.SchedulerAlgorithm, own.SchedulerAlgorithm)
	if r.MemoryOversubscriptionEnabled != nil {
		own.MemoryOversubscriptionEnabled = r.MemoryOversubscriptionEnabled
	}
	return &own
}
