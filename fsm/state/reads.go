package state

import (
	"cmp"
	"iter"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// Job returns the current version of a job.
func (s *Snapshot) Job(namespace, id string) *model.Job {
	return s.jobs.trees[byKey].Get(func(j *model.Job) int { return comparePair(j.Namespace, j.ID, namespace, id) })
}

// Jobs yields the jobs in the range by (namespace, id).
func (s *Snapshot) Jobs(r Range) iter.Seq[*model.Job] {
	var in, from func(*model.Job) int
	if !r.all() {
		in = func(j *model.Job) int {
			if c := strings.Compare(j.Namespace, r.Namespace); c != 0 {
				return c
			}
			return comparePrefix(j.ID, r.Prefix)
		}
	}
	if r.From != (Key{}) {
		from = func(j *model.Job) int { return comparePair(j.Namespace, j.ID, r.From.Namespace, r.From.ID) }
	}
	rows := s.jobs.trees[byKey].Scan(in, from, r.Reverse)
	if r.all() && r.Prefix != "" {
		return filter(rows, func(j *model.Job) bool { return strings.HasPrefix(j.ID, r.Prefix) })
	}
	return rows
}

// JobsByParent yields the children of a periodic or parameterized job by id.
func (s *Snapshot) JobsByParent(namespace, parent string) iter.Seq[*model.Job] {
	return s.jobs.trees[jobsByParent].Scan(func(j *model.Job) int {
		return comparePair(j.Namespace, j.ParentID, namespace, parent)
	}, nil, false)
}

// JobByToken returns the child that was dispatched with that idempotency token.
func (s *Snapshot) JobByToken(namespace, parent, token string) *model.Job {
	return s.jobs.trees[jobsByToken].Get(func(j *model.Job) int {
		return cmp.Or(comparePair(j.Namespace, j.ParentID, namespace, parent), strings.Compare(j.DispatchIdempotencyToken, token))
	})
}

// Launches returns what is kept of a periodic job's launches, nil for other jobs.
func (s *Snapshot) Launches(namespace, id string) *Launches {
	return s.launches.trees[byKey].Get(func(l *Launches) int { return comparePair(l.Namespace, l.JobID, namespace, id) })
}

// JobVersion returns one kept version of a job as it was registered. Its
// Status is not kept up to date; Stable is.
func (s *Snapshot) JobVersion(namespace, id string, version uint64) *model.Job {
	return s.versions.trees[byKey].Get(func(j *model.Job) int {
		return cmp.Or(comparePair(j.Namespace, j.ID, namespace, id), cmp.Compare(j.Version, version))
	})
}

// JobVersions yields a job's kept versions, newest first.
func (s *Snapshot) JobVersions(namespace, id string) iter.Seq[*model.Job] {
	return s.versions.trees[byKey].Scan(func(j *model.Job) int {
		return comparePair(j.Namespace, j.ID, namespace, id)
	}, nil, true)
}

// JobSummary returns a job's summary. It exists as long as the job does.
func (s *Snapshot) JobSummary(namespace, id string) *model.JobSummary {
	return s.summaries.trees[byKey].Get(func(j *model.JobSummary) int {
		return comparePair(j.Namespace, j.JobID, namespace, id)
	})
}

// ScalingEvents returns the last scaling actions on a job.
func (s *Snapshot) ScalingEvents(namespace, id string) *ScalingEvents {
	return s.scaling.trees[byKey].Get(func(e *ScalingEvents) int {
		return comparePair(e.Namespace, e.JobID, namespace, id)
	})
}

// Submission returns the text that a version of a job came from.
func (s *Snapshot) Submission(namespace, id string, version uint64) *Submission {
	return s.submissions.trees[byKey].Get(func(j *Submission) int {
		return cmp.Or(comparePair(j.Namespace, j.JobID, namespace, id), cmp.Compare(j.Version, version))
	})
}

// Submissions yields what is kept of a job's texts, oldest version first.
func (s *Snapshot) Submissions(namespace, id string) iter.Seq[*Submission] {
	return s.submissions.trees[byKey].Scan(func(j *Submission) int {
		return comparePair(j.Namespace, j.JobID, namespace, id)
	}, nil, false)
}

// Eval returns the evaluation with that id.
func (s *Snapshot) Eval(id string) *model.Evaluation {
	return s.evals.trees[byKey].Get(func(e *model.Evaluation) int { return strings.Compare(e.ID, id) })
}

// Evals yields the evaluations in the range by (CreateIndex, id), or by id
// when Prefix is set.
func (s *Snapshot) Evals(r Range) iter.Seq[*model.Evaluation] {
	return scanCreated(&s.evals.trees[byKey], &s.evals.trees[evalsByCreate],
		func(e *model.Evaluation) (string, uint64, string) { return e.Namespace, e.CreateIndex, e.ID }, r)
}

// EvalsByJob yields a job's evaluations by (CreateIndex, id).
func (s *Snapshot) EvalsByJob(namespace, id string) iter.Seq[*model.Evaluation] {
	return s.evals.trees[evalsByJob].Scan(func(e *model.Evaluation) int {
		return comparePair(e.Namespace, e.JobID, namespace, id)
	}, nil, false)
}

// EvalsByStatus yields the evaluations in that status by (CreateIndex, id).
func (s *Snapshot) EvalsByStatus(status string) iter.Seq[*model.Evaluation] {
	return s.evals.trees[evalsByStatus].Scan(func(e *model.Evaluation) int { return strings.Compare(e.Status, status) }, nil, false)
}

// BlockedEvals yields a job's blocked evaluations by id.
func (s *Snapshot) BlockedEvals(namespace, id string) iter.Seq[*model.Evaluation] {
	return s.evals.trees[evalsBlocked].Scan(func(e *model.Evaluation) int {
		return comparePair(e.Namespace, e.JobID, namespace, id)
	}, nil, false)
}

// Deployment returns the deployment with that id.
func (s *Snapshot) Deployment(id string) *model.Deployment {
	return s.deployments.trees[byKey].Get(func(d *model.Deployment) int { return strings.Compare(d.ID, id) })
}

// Deployments yields the deployments in the range by (CreateIndex, id), or by
// id when Prefix is set.
func (s *Snapshot) Deployments(r Range) iter.Seq[*model.Deployment] {
	return scanCreated(&s.deployments.trees[byKey], &s.deployments.trees[deploysCreate],
		func(d *model.Deployment) (string, uint64, string) { return d.Namespace, d.CreateIndex, d.ID }, r)
}

// DeploymentsByJob yields a job's deployments, newest first.
func (s *Snapshot) DeploymentsByJob(namespace, id string) iter.Seq[*model.Deployment] {
	return s.deployments.trees[deploysByJob].Scan(func(d *model.Deployment) int {
		return comparePair(d.Namespace, d.JobID, namespace, id)
	}, nil, true)
}

// Alloc returns the allocation with that id.
func (s *Snapshot) Alloc(id string) *model.Allocation {
	return s.allocs.trees[byKey].Get(func(a *model.Allocation) int { return strings.Compare(a.ID, id) })
}

// Allocs yields the allocations in the range by (CreateIndex, id), or by id
// when Prefix is set.
func (s *Snapshot) Allocs(r Range) iter.Seq[*model.Allocation] {
	return scanCreated(&s.allocs.trees[byKey], &s.allocs.trees[allocsByCreate],
		func(a *model.Allocation) (string, uint64, string) { return a.Namespace, a.CreateIndex, a.ID }, r)
}

// AllocsByJob yields the allocations of all versions of a job by id, those of
// an earlier job of that name that was purged included.
func (s *Snapshot) AllocsByJob(namespace, id string) iter.Seq[*model.Allocation] {
	return s.allocs.trees[allocsByJob].Scan(func(a *model.Allocation) int {
		return comparePair(a.Namespace, a.JobID, namespace, id)
	}, nil, false)
}

// AllocsByNode yields a node's allocations by id.
func (s *Snapshot) AllocsByNode(node string) iter.Seq[*model.Allocation] {
	return s.allocs.trees[allocsByNode].Scan(func(a *model.Allocation) int { return strings.Compare(a.NodeID, node) }, nil, false)
}

// AllocsByEval yields the allocations that an evaluation placed by id.
func (s *Snapshot) AllocsByEval(eval string) iter.Seq[*model.Allocation] {
	return s.allocs.trees[allocsByEval].Scan(func(a *model.Allocation) int { return strings.Compare(a.EvalID, eval) }, nil, false)
}

// AllocsByDeployment yields the allocations of a deployment by id.
func (s *Snapshot) AllocsByDeployment(id string) iter.Seq[*model.Allocation] {
	if id == "" {
		return func(func(*model.Allocation) bool) {}
	}
	return s.allocs.trees[allocsByDeploy].Scan(func(a *model.Allocation) int {
		return strings.Compare(a.DeploymentID, id)
	}, nil, false)
}

// SchedulerConfig returns the scheduler configuration. It always exists.
func (s *Snapshot) SchedulerConfig() *model.SchedulerConfiguration {
	return s.scheduler.trees[byKey].Get(func(*model.SchedulerConfiguration) int { return 0 })
}

// AutopilotConfig returns the autopilot configuration. It always exists.
func (s *Snapshot) AutopilotConfig() *model.AutopilotConfiguration {
	return s.autopilot.trees[byKey].Get(func(*model.AutopilotConfiguration) int { return 0 })
}

// ClusterMetadata returns the cluster's identity, nil before the first leader
// has set it.
func (s *Snapshot) ClusterMetadata() *model.ClusterMetadata {
	return s.cluster.trees[byKey].Get(func(*model.ClusterMetadata) int { return 0 })
}

// Feature returns what was activated, nil at the base level.
func (s *Snapshot) Feature() *feature.Active {
	return s.feature.trees[byKey].Get(func(*feature.Active) int { return 0 })
}

// FeatureLevel is the cluster's level.
func (s *Snapshot) FeatureLevel() feature.Level {
	if active := s.Feature(); active != nil {
		return active.Level
	}
	return feature.Base
}

// SigningKeys yields the keys that sign workload identities by id.
func (s *Snapshot) SigningKeys() iter.Seq[*model.SigningKey] {
	return s.signing.trees[byKey].Scan(nil, nil, false)
}

// SigningKey returns the key with that id.
func (s *Snapshot) SigningKey(id string) *model.SigningKey {
	return s.signing.trees[byKey].Get(func(k *model.SigningKey) int { return strings.Compare(k.KeyID, id) })
}

// Request returns the remembered outcome of the command with that request id.
func (s *Snapshot) Request(id string) *Request {
	return s.requests.trees[byKey].Get(func(r *Request) int { return strings.Compare(r.ID, id) })
}

// Requests yields the remembered outcomes, oldest first.
func (s *Snapshot) Requests() iter.Seq[*Request] {
	return s.requests.trees[requestsByAge].Scan(nil, nil, false)
}
