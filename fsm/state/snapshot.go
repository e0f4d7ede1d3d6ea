package state

import (
	"iter"
	"strings"

	"github.com/steppe-project/steppe/fsm/state/tree"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Snapshot is the whole state as it was after one log entry. It never changes,
// costs nothing to take or keep (but memory of rows that have changed since),
// and may be read by any number of goroutines. All rows are immutable.
//
// A getter returns nil when there is no such row. Sequences read the snapshot
// lazily; leave them at any time.
type Snapshot struct {
	index   uint64
	changed [tableCount]uint64 // index of the last change, by ordinal of the table

	namespaces  table[tenancy.Namespace]
	pools       table[model.NodePool]
	scheduler   table[model.SchedulerConfiguration]
	autopilot   table[model.AutopilotConfiguration]
	cluster     table[model.ClusterMetadata]
	signing     table[model.SigningKey]
	feature     table[feature.Active]
	nodes       table[model.Node]
	jobs        table[model.Job]
	versions    table[model.Job]
	submissions table[Submission]
	summaries   table[model.JobSummary]
	evals       table[model.Evaluation]
	deployments table[model.Deployment]
	allocs      table[model.Allocation]
	requests    table[Request]
	scaling     table[ScalingEvents]
	launches    table[Launches]
	quotas      table[tenancy.Quota]
}

// Index is the log index that the snapshot stands at.
func (s *Snapshot) Index() uint64 { return s.index }

// TableIndex is the index of the last entry that changed the table, 0 if none
// did. It is what a blocking query on a list compares with.
func (s *Snapshot) TableIndex(t Table) uint64 {
	i, ok := ordinals[t]
	if !ok {
		return 0
	}
	return s.changed[i]
}

// Count is the number of rows of a table (of config: signing keys and single
// rows together).
func (s *Snapshot) Count(t Table) int {
	switch t {
	case TableNamespaces:
		return s.namespaces.trees[byKey].Size()
	case TableNodePools:
		return s.pools.trees[byKey].Size()
	case TableConfig:
		return s.scheduler.trees[byKey].Size() + s.autopilot.trees[byKey].Size() +
			s.cluster.trees[byKey].Size() + s.signing.trees[byKey].Size() + s.feature.trees[byKey].Size()
	case TableNodes:
		return s.nodes.trees[byKey].Size()
	case TableJobs:
		return s.jobs.trees[byKey].Size()
	case TableJobVersions:
		return s.versions.trees[byKey].Size()
	case TableSubmissions:
		return s.submissions.trees[byKey].Size()
	case TableJobSummary:
		return s.summaries.trees[byKey].Size()
	case TableEvals:
		return s.evals.trees[byKey].Size()
	case TableDeployments:
		return s.deployments.trees[byKey].Size()
	case TableAllocs:
		return s.allocs.trees[byKey].Size()
	case TableRequests:
		return s.requests.trees[byKey].Size()
	case TableScaling:
		return s.scaling.trees[byKey].Size()
	case TableLaunches:
		return s.launches.trees[byKey].Size()
	case TableQuotas:
		return s.quotas.trees[byKey].Size()
	}
	return 0
}

// Range selects a part of an ordered list. The zero value is all of it.
type Range struct {
	Namespace string // "" and "*" mean all
	Prefix    string // of the id
	From      Key    // where to start, inclusive; the zero Key means at the end where the order starts
	Reverse   bool   // from last to first
}

// Key is a position in a list: jobs are ordered by (Namespace, ID), nodes,
// pools and what is selected by Prefix by ID, everything else by (Index, ID)
// with Index the row's CreateIndex.
type Key struct {
	Namespace string
	Index     uint64
	ID        string
}

// all tells whether the range covers every namespace.
func (r Range) all() bool { return r.Namespace == "" || r.Namespace == model.AllNamespaces }

// filter keeps the rows that keep accepts.
func filter[T any](rows iter.Seq[*T], keep func(*T) bool) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for row := range rows {
			if keep(row) && !yield(row) {
				return
			}
		}
	}
}

// Namespace returns the namespace of that name.
func (s *Snapshot) Namespace(name string) *tenancy.Namespace {
	return s.namespaces.trees[byKey].Get(func(n *tenancy.Namespace) int { return strings.Compare(n.Name, name) })
}

// Namespaces yields the namespaces in the range by name; only Prefix, From.ID
// and Reverse count.
func (s *Snapshot) Namespaces(r Range) iter.Seq[*tenancy.Namespace] {
	return scanID(&s.namespaces.trees[byKey], func(n *tenancy.Namespace) string { return n.Name }, r)
}

// Quota returns the quota of that name.
func (s *Snapshot) Quota(name string) *tenancy.Quota {
	return s.quotas.trees[byKey].Get(func(q *tenancy.Quota) int { return strings.Compare(q.Name, name) })
}

// Quotas yields the quotas in the range by name.
func (s *Snapshot) Quotas(r Range) iter.Seq[*tenancy.Quota] {
	return scanID(&s.quotas.trees[byKey], func(q *tenancy.Quota) string { return q.Name }, r)
}

// NodePool returns the pool of that name.
func (s *Snapshot) NodePool(name string) *model.NodePool {
	return s.pools.trees[byKey].Get(func(p *model.NodePool) int { return strings.Compare(p.Name, name) })
}

// NodePools yields the pools in the range by name.
func (s *Snapshot) NodePools(r Range) iter.Seq[*model.NodePool] {
	return scanID(&s.pools.trees[byKey], func(p *model.NodePool) string { return p.Name }, r)
}

// Node returns the node with that id.
func (s *Snapshot) Node(id string) *model.Node {
	return s.nodes.trees[byKey].Get(func(n *model.Node) int { return strings.Compare(n.ID, id) })
}

// Nodes yields the nodes in the range by id.
func (s *Snapshot) Nodes(r Range) iter.Seq[*model.Node] {
	return scanID(&s.nodes.trees[byKey], func(n *model.Node) string { return n.ID }, r)
}

// NodesByPool yields a pool's nodes by id; the pool "all" has every node.
func (s *Snapshot) NodesByPool(pool string) iter.Seq[*model.Node] {
	if pool == model.AllNodePool {
		return s.Nodes(Range{})
	}
	return s.nodes.trees[nodesByPool].Scan(func(n *model.Node) int { return strings.Compare(n.NodePool, pool) }, nil, false)
}

// scanID lists a tree that is ordered by one string.
func scanID[T any](t *tree.Tree[T], id func(*T) string, r Range) iter.Seq[*T] {
	var in, from func(*T) int
	if r.Prefix != "" {
		in = func(row *T) int { return comparePrefix(id(row), r.Prefix) }
	}
	if r.From.ID != "" {
		from = func(row *T) int { return strings.Compare(id(row), r.From.ID) }
	}
	return t.Scan(in, from, r.Reverse)
}

// scanCreated lists a table by (CreateIndex, id), or by id alone when a prefix
// selects the rows.
func scanCreated[T any](ids, created *tree.Tree[T], of func(*T) (ns string, index uint64, id string), r Range) iter.Seq[*T] {
	var rows iter.Seq[*T]
	if r.Prefix != "" {
		rows = scanID(ids, func(row *T) string { _, _, id := of(row); return id }, r)
	} else {
		var from func(*T) int
		if r.From.Index != 0 || r.From.ID != "" {
			from = func(row *T) int {
				_, index, id := of(row)
				return compareCreated(index, id, r.From.Index, r.From.ID)
			}
		}
		rows = created.Scan(nil, from, r.Reverse)
	}
	if r.all() {
		return rows
	}
	return filter(rows, func(row *T) bool { ns, _, _ := of(row); return ns == r.Namespace })
}
