package state

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/fsm/state/tree"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/tenancy"
)

// maxIndexes is the largest number of indexes that a table has.
const maxIndexes = 6

// table is the current content of one table: a tree for each index, the
// primary one first.
type table[T any] struct {
	trees [maxIndexes]tree.Tree[T]
}

// index orders the rows of a table; has, when set, tells which rows it holds.
// group, when set, is the part of the order that comes before the key of the
// table: it lets a restore sort without comparing rows.
type index[T any] struct {
	order tree.Order[T]
	has   func(row *T) bool
	group func(row *T) tree.Group
}

// schema describes a table: its rows' key, its indexes (the first one orders
// by key and is unique), and what else follows a change of a row.
type schema[T any] struct {
	name    Table
	ordinal int
	key     func(row *T) string
	indexes []index[T]
	content func(s *Snapshot) *table[T]
	after   func(x *Txn, before, after *T)
}

// Positions of the indexes in their table. The primary one is 0 everywhere.
const (
	byKey          = 0
	jobsByParent   = 1
	jobsByToken    = 2
	nodesByPool    = 1
	evalsByCreate  = 1
	evalsByJob     = 2
	evalsByStatus  = 3
	evalsBlocked   = 4
	deploysCreate  = 1
	deploysByJob   = 2
	allocsByCreate = 1
	allocsByJob    = 2
	allocsByNode   = 3
	allocsByEval   = 4
	allocsByDeploy = 5
	requestsByAge  = 1
)

// comparePair compares by two strings, such as the namespace and id of a job.
func comparePair(a1, a2, b1, b2 string) int {
	if c := strings.Compare(a1, b1); c != 0 {
		return c
	}
	return strings.Compare(a2, b2)
}

// compareCreated is the order of lists: oldest first, ids break ties.
func compareCreated(indexA uint64, idA string, indexB uint64, idB string) int {
	if c := cmp.Compare(indexA, indexB); c != 0 {
		return c
	}
	return strings.Compare(idA, idB)
}

// comparePrefix is 0 for strings that start with prefix.
func comparePrefix(s, prefix string) int {
	if strings.HasPrefix(s, prefix) {
		return 0
	}
	return strings.Compare(s, prefix)
}

func versionKey(namespace, id string, version uint64) string {
	return namespace + "/" + id + "/" + strconv.FormatUint(version, 10)
}

var namespaceSchema = schema[tenancy.Namespace]{
	name: TableNamespaces, ordinal: 0,
	key:     func(n *tenancy.Namespace) string { return n.Name },
	content: func(s *Snapshot) *table[tenancy.Namespace] { return &s.namespaces },
	indexes: []index[tenancy.Namespace]{{order: func(a, b *tenancy.Namespace) int { return strings.Compare(a.Name, b.Name) }}},
}

var poolSchema = schema[model.NodePool]{
	name: TableNodePools, ordinal: 1,
	key:     func(p *model.NodePool) string { return p.Name },
	content: func(s *Snapshot) *table[model.NodePool] { return &s.pools },
	indexes: []index[model.NodePool]{{order: func(a, b *model.NodePool) int { return strings.Compare(a.Name, b.Name) }}},
}

// The config table holds rows of five types, each with a tree of its own.
var (
	schedulerSchema = schema[model.SchedulerConfiguration]{
		name: TableConfig, ordinal: 2,
		key:     func(*model.SchedulerConfiguration) string { return KeyScheduler },
		content: func(s *Snapshot) *table[model.SchedulerConfiguration] { return &s.scheduler },
		indexes: []index[model.SchedulerConfiguration]{{order: func(_, _ *model.SchedulerConfiguration) int { return 0 }}},
	}
	autopilotSchema = schema[model.AutopilotConfiguration]{
		name: TableConfig, ordinal: 2,
		key:     func(*model.AutopilotConfiguration) string { return KeyAutopilot },
		content: func(s *Snapshot) *table[model.AutopilotConfiguration] { return &s.autopilot },
		indexes: []index[model.AutopilotConfiguration]{{order: func(_, _ *model.AutopilotConfiguration) int { return 0 }}},
	}
	clusterSchema = schema[model.ClusterMetadata]{
		name: TableConfig, ordinal: 2,
		key:     func(*model.ClusterMetadata) string { return KeyCluster },
		content: func(s *Snapshot) *table[model.ClusterMetadata] { return &s.cluster },
		indexes: []index[model.ClusterMetadata]{{order: func(_, _ *model.ClusterMetadata) int { return 0 }}},
	}
	signingSchema = schema[model.SigningKey]{
		name: TableConfig, ordinal: 2,
		key:     func(k *model.SigningKey) string { return KeySigningKey + k.KeyID },
		content: func(s *Snapshot) *table[model.SigningKey] { return &s.signing },
		indexes: []index[model.SigningKey]{{order: func(a, b *model.SigningKey) int { return strings.Compare(a.KeyID, b.KeyID) }}},
	}
	featureSchema = schema[feature.Active]{
		name: TableConfig, ordinal: 2,
		key:     func(*feature.Active) string { return KeyFeature },
		content: func(s *Snapshot) *table[feature.Active] { return &s.feature },
		indexes: []index[feature.Active]{{order: func(_, _ *feature.Active) int { return 0 }}},
	}
)

var nodeSchema = schema[model.Node]{
	name: TableNodes, ordinal: 3,
	key:     func(n *model.Node) string { return n.ID },
	content: func(s *Snapshot) *table[model.Node] { return &s.nodes },
	indexes: []index[model.Node]{
		{order: func(a, b *model.Node) int { return strings.Compare(a.ID, b.ID) }},
		{order: func(a, b *model.Node) int {
			if c := strings.Compare(a.NodePool, b.NodePool); c != 0 {
				return c
			}
			return strings.Compare(a.ID, b.ID)
		}},
	},
}

var jobSchema = schema[model.Job]{
	name: TableJobs, ordinal: 4,
	key:     func(j *model.Job) string { return JobKey(j.Namespace, j.ID) },
	content: func(s *Snapshot) *table[model.Job] { return &s.jobs },
	indexes: []index[model.Job]{
		{order: func(a, b *model.Job) int { return comparePair(a.Namespace, a.ID, b.Namespace, b.ID) }},
		{
			order: func(a, b *model.Job) int {
				return cmp.Or(comparePair(a.Namespace, a.ParentID, b.Namespace, b.ParentID), strings.Compare(a.ID, b.ID))
			},
			has: func(j *model.Job) bool { return j.ParentID != "" },
		},
		{
			order: func(a, b *model.Job) int {
				return cmp.Or(comparePair(a.Namespace, a.ParentID, b.Namespace, b.ParentID), comparePair(a.DispatchIdempotencyToken, a.ID, b.DispatchIdempotencyToken, b.ID))
			},
			has: func(j *model.Job) bool { return j.ParentID != "" && j.DispatchIdempotencyToken != "" },
		},
	},
	after: (*Txn).tallyJob,
}

var versionSchema = schema[model.Job]{
	name: TableJobVersions, ordinal: 5,
	key:     func(j *model.Job) string { return versionKey(j.Namespace, j.ID, j.Version) },
	content: func(s *Snapshot) *table[model.Job] { return &s.versions },
	indexes: []index[model.Job]{{order: func(a, b *model.Job) int {
		return cmp.Or(comparePair(a.Namespace, a.ID, b.Namespace, b.ID), cmp.Compare(a.Version, b.Version))
	}}},
}

var submissionSchema = schema[Submission]{
	name: TableSubmissions, ordinal: 6,
	key:     func(s *Submission) string { return versionKey(s.Namespace, s.JobID, s.Version) },
	content: func(s *Snapshot) *table[Submission] { return &s.submissions },
	indexes: []index[Submission]{{order: func(a, b *Submission) int {
		return cmp.Or(comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID), cmp.Compare(a.Version, b.Version))
	}}},
}

var summarySchema = schema[model.JobSummary]{
	name: TableJobSummary, ordinal: 7,
	key:     func(s *model.JobSummary) string { return JobKey(s.Namespace, s.JobID) },
	content: func(s *Snapshot) *table[model.JobSummary] { return &s.summaries },
	indexes: []index[model.JobSummary]{{order: func(a, b *model.JobSummary) int { return comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID) }}},
}

var evalSchema = schema[model.Evaluation]{
	name: TableEvals, ordinal: 8,
	key:     func(e *model.Evaluation) string { return e.ID },
	content: func(s *Snapshot) *table[model.Evaluation] { return &s.evals },
	indexes: []index[model.Evaluation]{
		{order: func(a, b *model.Evaluation) int { return strings.Compare(a.ID, b.ID) }},
		{order: compareEvalCreated},
		{order: func(a, b *model.Evaluation) int {
			if c := comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID); c != 0 {
				return c
			}
			return compareEvalCreated(a, b)
		}},
		{order: func(a, b *model.Evaluation) int {
			if c := strings.Compare(a.Status, b.Status); c != 0 {
				return c
			}
			return compareEvalCreated(a, b)
		}},
		{
			order: func(a, b *model.Evaluation) int {
				if c := comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID); c != 0 {
					return c
				}
				return strings.Compare(a.ID, b.ID)
			},
			has: func(e *model.Evaluation) bool { return e.Status == model.EvalBlocked },
		},
	},
	after: (*Txn).tallyEval,
}

func compareEvalCreated(a, b *model.Evaluation) int {
	return compareCreated(a.CreateIndex, a.ID, b.CreateIndex, b.ID)
}

var deploySchema = schema[model.Deployment]{
	name: TableDeployments, ordinal: 9,
	key:     func(d *model.Deployment) string { return d.ID },
	content: func(s *Snapshot) *table[model.Deployment] { return &s.deployments },
	indexes: []index[model.Deployment]{
		{order: func(a, b *model.Deployment) int { return strings.Compare(a.ID, b.ID) }},
		{order: compareDeployCreated},
		{order: func(a, b *model.Deployment) int {
			if c := comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID); c != 0 {
				return c
			}
			return compareDeployCreated(a, b)
		}},
	},
}

func compareDeployCreated(a, b *model.Deployment) int {
	return compareCreated(a.CreateIndex, a.ID, b.CreateIndex, b.ID)
}

var allocSchema = schema[model.Allocation]{
	name: TableAllocs, ordinal: 10,
	key:     func(a *model.Allocation) string { return a.ID },
	content: func(s *Snapshot) *table[model.Allocation] { return &s.allocs },
	indexes: []index[model.Allocation]{
		{order: func(a, b *model.Allocation) int { return strings.Compare(a.ID, b.ID) }},
		{
			order: func(a, b *model.Allocation) int { return compareCreated(a.CreateIndex, a.ID, b.CreateIndex, b.ID) },
			group: func(a *model.Allocation) tree.Group { return tree.Group{Number: a.CreateIndex} },
		},
		{
			order: func(a, b *model.Allocation) int {
				if c := comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID); c != 0 {
					return c
				}
				return strings.Compare(a.ID, b.ID)
			},
			group: func(a *model.Allocation) tree.Group { return tree.Group{A: a.Namespace, B: a.JobID} },
		},
		{
			order: func(a, b *model.Allocation) int { return comparePair(a.NodeID, a.ID, b.NodeID, b.ID) },
			group: func(a *model.Allocation) tree.Group { return tree.Group{A: a.NodeID} },
		},
		{
			order: func(a, b *model.Allocation) int { return comparePair(a.EvalID, a.ID, b.EvalID, b.ID) },
			group: func(a *model.Allocation) tree.Group { return tree.Group{A: a.EvalID} },
		},
		{
			order: func(a, b *model.Allocation) int { return comparePair(a.DeploymentID, a.ID, b.DeploymentID, b.ID) },
			has:   func(a *model.Allocation) bool { return a.DeploymentID != "" },
			group: func(a *model.Allocation) tree.Group { return tree.Group{A: a.DeploymentID} },
		},
	},
	after: (*Txn).tallyAlloc,
}

var scalingSchema = schema[ScalingEvents]{
	name: TableScaling, ordinal: 14,
	key:     func(s *ScalingEvents) string { return JobKey(s.Namespace, s.JobID) },
	content: func(s *Snapshot) *table[ScalingEvents] { return &s.scaling },
	indexes: []index[ScalingEvents]{{order: func(a, b *ScalingEvents) int { return comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID) }}},
}

var launchSchema = schema[Launches]{
	name: TableLaunches, ordinal: 15,
	key:     func(l *Launches) string { return JobKey(l.Namespace, l.JobID) },
	content: func(s *Snapshot) *table[Launches] { return &s.launches },
	indexes: []index[Launches]{{order: func(a, b *Launches) int { return comparePair(a.Namespace, a.JobID, b.Namespace, b.JobID) }}},
}

var quotaSchema = schema[tenancy.Quota]{
	name: TableQuotas, ordinal: 16,
	key:     func(q *tenancy.Quota) string { return q.Name },
	content: func(s *Snapshot) *table[tenancy.Quota] { return &s.quotas },
	indexes: []index[tenancy.Quota]{{order: func(a, b *tenancy.Quota) int { return strings.Compare(a.Name, b.Name) }}},
}

var requestSchema = schema[Request]{
	name: TableRequests, ordinal: 11,
	key:     func(r *Request) string { return r.ID },
	content: func(s *Snapshot) *table[Request] { return &s.requests },
	indexes: []index[Request]{
		{order: func(a, b *Request) int { return strings.Compare(a.ID, b.ID) }},
		{order: func(a, b *Request) int { return compareCreated(a.Index, a.ID, b.Index, b.ID) }},
	},
}
