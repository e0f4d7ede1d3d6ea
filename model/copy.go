package model

// The deep copies of this file are written by hand because they are on the way
// of every job registration; a property test fills every field by reflection
// and compares, so that a new field cannot be forgotten.

// Copy is a deep copy: it shares nothing that can be changed.
func (j *Job) Copy() *Job {
	if j == nil {
		return nil
	}
	c := *j
	c.Datacenters = copySlice(j.Datacenters)
	c.Constraints = copyPtrs(j.Constraints)
	c.Affinities = copyPtrs(j.Affinities)
	c.TaskGroups = copyEach(j.TaskGroups, (*TaskGroup).Copy)
	c.Update = copyPtr(j.Update)
	c.Multiregion = copyMultiregion(j.Multiregion)
	c.Spreads = copyEach(j.Spreads, copySpread)
	if j.Periodic != nil {
		c.Periodic = copyPtr(j.Periodic)
		c.Periodic.Specs = copySlice(j.Periodic.Specs)
	}
	if j.ParameterizedJob != nil {
		c.ParameterizedJob = copyPtr(j.ParameterizedJob)
		c.ParameterizedJob.MetaRequired = copySlice(j.ParameterizedJob.MetaRequired)
		c.ParameterizedJob.MetaOptional = copySlice(j.ParameterizedJob.MetaOptional)
	}
	c.Reschedule = copyPtr(j.Reschedule)
	c.Migrate = copyPtr(j.Migrate)
	c.Meta = copyMap(j.Meta)
	if j.UI != nil {
		c.UI = copyPtr(j.UI)
		c.UI.Links = copyPtrs(j.UI.Links)
	}
	c.Payload = copySlice(j.Payload)
	c.VersionTag = copyPtr(j.VersionTag)
	c.DependsOn = copyPtrs(j.DependsOn)
	return &c
}

// Copy is a deep copy.
func (g *TaskGroup) Copy() *TaskGroup {
	if g == nil {
		return nil
	}
	c := *g
	c.Constraints = copyPtrs(g.Constraints)
	c.Affinities = copyPtrs(g.Affinities)
	c.Tasks = copyEach(g.Tasks, (*Task).Copy)
	c.Spreads = copyEach(g.Spreads, copySpread)
	c.Volumes = copyMapEach(g.Volumes, copyVolumeRequest)
	c.RestartPolicy = copyPtr(g.RestartPolicy)
	c.Disconnect = copyPtr(g.Disconnect)
	c.ReschedulePolicy = copyPtr(g.ReschedulePolicy)
	c.EphemeralDisk = copyPtr(g.EphemeralDisk)
	c.Update = copyPtr(g.Update)
	c.Migrate = copyPtr(g.Migrate)
	c.Stateful = copyPtr(g.Stateful)
	c.Networks = copyEach(g.Networks, (*NetworkResource).Copy)
	c.Meta = copyMap(g.Meta)
	c.Services = copyEach(g.Services, copyService)
	c.Scaling = copyScaling(g.Scaling)
	c.DependsOn = copyPtrs(g.DependsOn)
	c.Consul = copyPtr(g.Consul)
	c.Gang = copyPtr(g.Gang)
	return &c
}

// Copy is a deep copy.
func (t *Task) Copy() *Task {
	if t == nil {
		return nil
	}
	c := *t
	c.Lifecycle = copyPtr(t.Lifecycle)
	c.Config = copyMapEach(t.Config, copyAny)
	c.Constraints = copyPtrs(t.Constraints)
	c.Affinities = copyPtrs(t.Affinities)
	c.Env = copyMap(t.Env)
	c.Services = copyEach(t.Services, copyService)
	c.Resources = t.Resources.Copy()
	c.RestartPolicy = copyPtr(t.RestartPolicy)
	c.Meta = copyMap(t.Meta)
	c.LogConfig = copyPtr(t.LogConfig)
	c.Artifacts = copyEach(t.Artifacts, copyArtifact)
	if t.Vault != nil {
		c.Vault = copyPtr(t.Vault)
		c.Vault.Policies = copySlice(t.Vault.Policies)
	}
	c.Consul = copyPtr(t.Consul)
	c.Templates = copyEach(t.Templates, copyTemplate)
	c.DispatchPayload = copyPtr(t.DispatchPayload)
	c.VolumeMounts = copyPtrs(t.VolumeMounts)
	c.CSIPluginConfig = copyPtr(t.CSIPluginConfig)
	c.ScalingPolicies = copyEach(t.ScalingPolicies, copyScaling)
	c.Secrets = copyEach(t.Secrets, copySecret)
	c.Identity = copyIdentity(t.Identity)
	c.Identities = copyEach(t.Identities, copyIdentity)
	c.Actions = copyEach(t.Actions, copyAction)
	if t.Schedule != nil {
		c.Schedule = &TaskSchedule{Cron: copyPtr(t.Schedule.Cron)}
	}
	return &c
}

// Copy is a deep copy.
func (r *Resources) Copy() *Resources {
	if r == nil {
		return nil
	}
	c := *r
	c.Networks = copyEach(r.Networks, (*NetworkResource).Copy)
	c.Devices = copyEach(r.Devices, copyDevice)
	if r.NUMA != nil {
		c.NUMA = copyPtr(r.NUMA)
		c.NUMA.Devices = copySlice(r.NUMA.Devices)
	}
	return &c
}

// Copy is a deep copy.
func (n *NetworkResource) Copy() *NetworkResource {
	if n == nil {
		return nil
	}
	c := *n
	if n.DNS != nil {
		c.DNS = &DNSConfig{
			Servers: copySlice(n.DNS.Servers), Searches: copySlice(n.DNS.Searches), Options: copySlice(n.DNS.Options),
		}
	}
	c.ReservedPorts = copySlice(n.ReservedPorts)
	c.DynamicPorts = copySlice(n.DynamicPorts)
	if n.CNI != nil {
		c.CNI = &CNIConfig{Args: copyMap(n.CNI.Args)}
	}
	return &c
}

func copyMultiregion(m *Multiregion) *Multiregion {
	if m == nil {
		return nil
	}
	return &Multiregion{Strategy: copyPtr(m.Strategy), Regions: copyEach(m.Regions, copyRegion)}
}

func copyRegion(r *MultiregionRegion) *MultiregionRegion {
	c := copyPtr(r)
	if c != nil {
		c.Datacenters, c.Meta = copySlice(r.Datacenters), copyMap(r.Meta)
	}
	return c
}

func copySpread(s *Spread) *Spread {
	c := copyPtr(s)
	if c != nil {
		c.SpreadTarget = copyPtrs(s.SpreadTarget)
	}
	return c
}

func copyVolumeRequest(v *VolumeRequest) *VolumeRequest {
	c := copyPtr(v)
	if c != nil && v.MountOptions != nil {
		c.MountOptions = copyPtr(v.MountOptions)
		c.MountOptions.MountFlags = copySlice(v.MountOptions.MountFlags)
	}
	return c
}

func copyScaling(s *ScalingPolicy) *ScalingPolicy {
	c := copyPtr(s)
	if c != nil {
		c.Target, c.Policy = copyMap(s.Target), copyMapEach(s.Policy, copyAny)
	}
	return c
}

func copyDevice(d *RequestedDevice) *RequestedDevice {
	c := copyPtr(d)
	if c != nil {
		c.Constraints, c.Affinities = copyPtrs(d.Constraints), copyPtrs(d.Affinities)
	}
	return c
}

func copyArtifact(a *TaskArtifact) *TaskArtifact {
	c := copyPtr(a)
	if c != nil {
		c.GetterOptions, c.GetterHeaders = copyMap(a.GetterOptions), copyMap(a.GetterHeaders)
	}
	return c
}

func copyTemplate(t *Template) *Template {
	c := copyPtr(t)
	if c == nil {
		return nil
	}
	if t.ChangeScript != nil {
		c.ChangeScript = copyPtr(t.ChangeScript)
		c.ChangeScript.Args = copySlice(t.ChangeScript.Args)
	}
	c.Wait = copyPtr(t.Wait)
	return c
}

func copySecret(s *Secret) *Secret {
	c := copyPtr(s)
	if c != nil {
		c.Config, c.Env = copyMapEach(s.Config, copyAny), copyMap(s.Env)
	}
	return c
}

func copyIdentity(w *WorkloadIdentity) *WorkloadIdentity {
	c := copyPtr(w)
	if c != nil {
		c.Audience, c.ExtraClaims = copySlice(w.Audience), copySlice(w.ExtraClaims)
	}
	return c
}

func copyAction(a *Action) *Action {
	c := copyPtr(a)
	if c != nil {
		c.Args = copySlice(a.Args)
	}
	return c
}

func copyService(s *Service) *Service {
	c := copyPtr(s)
	if c == nil {
		return nil
	}
	c.Tags, c.CanaryTags = copySlice(s.Tags), copySlice(s.CanaryTags)
	c.Checks = copyEach(s.Checks, copyCheck)
	c.CheckRestart = copyPtr(s.CheckRestart)
	c.Connect = copyMapEach(s.Connect, copyAny)
	c.Meta, c.CanaryMeta = copyMap(s.Meta), copyMap(s.CanaryMeta)
	c.TaggedAddresses = copyMap(s.TaggedAddresses)
	c.Identity = copyIdentity(s.Identity)
	c.Weights = copyPtr(s.Weights)
	return c
}

func copyCheck(k *ServiceCheck) *ServiceCheck {
	c := copyPtr(k)
	if c != nil {
		c.Args, c.Header = copySlice(k.Args), copyMapEach(k.Header, copySlice[string])
		c.CheckRestart = copyPtr(k.CheckRestart)
	}
	return c
}

// copyAny copies what decoded JSON can hold.
func copyAny(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return copyMapEach(v, copyAny)
	case []any:
		return copyEach(v, copyAny)
	}
	return v
}

func copyPtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func copySlice[T any](s []T) []T {
	if s == nil {
		return nil
	}
	return append(make([]T, 0, len(s)), s...)
}

func copyPtrs[T any](s []*T) []*T { return copyEach(s, copyPtr[T]) }

func copyEach[T any](s []T, one func(T) T) []T {
	if s == nil {
		return nil
	}
	c := make([]T, len(s))
	for i, v := range s {
		c[i] = one(v)
	}
	return c
}

func copyMap[V any](m map[string]V) map[string]V {
	return copyMapEach(m, func(v V) V { return v })
}

func copyMapEach[V any](m map[string]V, one func(V) V) map[string]V {
	if m == nil {
		return nil
	}
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = one(v)
	}
	return c
}
