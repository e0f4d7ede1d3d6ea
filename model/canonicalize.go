package model

import "strings"

// Canonicalize makes the last fix-ups of a job whose defaults were set before
// decoding: names that follow from others, what blocks inherit, what a server
// adds. It is idempotent and refuses nothing; see Validate.
func (j *Job) Canonicalize() {
	setDefault(&j.Region, DefaultRegion)
	setDefault(&j.Namespace, DefaultNamespace)
	setDefault(&j.Type, JobTypeService)
	setDefault(&j.Name, j.ID)
	setDefault(&j.NodePool, DefaultNodePool)
	if len(j.Datacenters) == 0 {
		j.Datacenters = []string{"*"}
	}
	if j.Update == nil {
		j.Update = defaultJobUpdate(j.Type)
	}
	if j.Multiregion != nil && j.Multiregion.Strategy == nil {
		j.Multiregion.Strategy = &MultiregionStrategy{}
	}
	if j.Periodic != nil {
		setDefault(&j.Periodic.SpecType, "cron")
		setDefault(&j.Periodic.TimeZone, "UTC")
	}
	canonicalTargets(j.Constraints, j.Affinities)
	for _, g := range j.TaskGroups {
		g.canonicalize(j)
	}
}

func (g *TaskGroup) canonicalize(j *Job) {
	defaults := NewTaskGroup(j)
	inherit(&g.RestartPolicy, defaults.RestartPolicy)
	inherit(&g.ReschedulePolicy, defaults.ReschedulePolicy)
	inherit(&g.EphemeralDisk, defaults.EphemeralDisk)
	inherit(&g.Update, defaults.Update)
	inherit(&g.Migrate, defaults.Migrate)
	canonicalTargets(g.Constraints, g.Affinities)
	for name, v := range g.Volumes {
		if v != nil {
			setDefault(&v.Name, name)
		}
	}
	if g.Stateful != nil && g.StopAfterClientDisconnect == 0 { // its node stops what nobody hears of
		inherit(&g.Disconnect, NewDisconnectStrategy())
		setDefault(&g.Disconnect.StopOnClientAfter, DefaultStateful)
	}
	if g.Disconnect != nil {
		setDefault(&g.Disconnect.Reconcile, "best_score")
	}
	if g.Scaling != nil {
		setDefault(&g.Scaling.Type, "horizontal")
		g.Scaling.Target = map[string]string{"Namespace": j.Namespace, "Job": j.ID, "Group": g.Name}
	}
	for _, s := range g.Services {
		s.canonicalize(j.Name + "-" + g.Name)
	}
	for _, t := range g.Tasks {
		t.canonicalize(j, g)
	}
}

func (t *Task) canonicalize(j *Job, g *TaskGroup) {
	defaults := NewTask(g)
	inherit(&t.Resources, defaults.Resources)
	inherit(&t.RestartPolicy, defaults.RestartPolicy)
	inherit(&t.LogConfig, defaults.LogConfig)
	canonicalTargets(t.Constraints, t.Affinities)
	if n := t.Resources.NUMA; n != nil {
		setDefault(&n.Affinity, "none")
	}
	for _, s := range t.Services {
		s.canonicalize(j.Name + "-" + g.Name + "-" + t.Name)
	}
	for _, tmpl := range t.Templates {
		tmpl.ChangeSignal = strings.ToUpper(tmpl.ChangeSignal)
	}
	for _, p := range t.ScalingPolicies {
		p.Target = map[string]string{"Namespace": j.Namespace, "Job": j.ID, "Group": g.Name, "Task": t.Name}
	}
	t.canonicalIdentity()
}

// canonicalIdentity moves the default identity to its own field.
func (t *Task) canonicalIdentity() {
	var others []*WorkloadIdentity
	for _, w := range t.Identities {
		if w.Name != "" && w.Name != DefaultIdentity {
			others = append(others, w)
			continue
		}
		t.Identity = w
	}
	t.Identities = others
}

// DefaultIdentity is the name of the identity that every task has.
const DefaultIdentity = "default"

func (s *Service) canonicalize(defaultName string) {
	setDefault(&s.Name, defaultName)
	setDefault(&s.AddressMode, "auto")
	setDefault(&s.OnUpdate, "require_healthy")
	setDefault(&s.Provider, ServiceProviderConsul)
	setDefault(&s.Cluster, defaultCluster)
	if s.Weights != nil {
		s.Weights.Passing = max(1, s.Weights.Passing)
		s.Weights.Warning = max(1, s.Weights.Warning)
	}
	for _, c := range s.Checks {
		inherit(&c.CheckRestart, s.CheckRestart)
		setDefault(&c.OnUpdate, s.OnUpdate)
	}
}

// Service providers. All mean Steppe's own catalogue; consul is the default of
// existing job files.
const (
	ServiceProviderConsul = "consul"
	ServiceProviderNomad  = "nomad"
)

// canonicalTargets writes the default operator out.
func canonicalTargets(constraints []*Constraint, affinities []*Affinity) {
	for _, c := range constraints {
		setDefault(&c.Operand, "=")
	}
	for _, a := range affinities {
		setDefault(&a.Operand, "=")
	}
}

func setDefault[T comparable](v *T, value T) {
	if *v == *new(T) {
		*v = value
	}
}

// inherit gives a missing block a copy of the one above.
func inherit[T any](block **T, from *T) {
	if *block == nil {
		*block = copyPtr(from)
	}
}
