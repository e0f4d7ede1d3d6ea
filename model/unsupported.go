package model

import (
	"reflect"
	"strings"
	"time"
)

// Every attribute of a job is acted on, kept, or refused: nothing is silently
// ignored. The two tables below say which; a test walks all fields and finds
// each in exactly one of them. To support something, move its row.

// supported lists, by block, the fields that this version acts on, or keeps
// because they describe (meta, ui), belong to the server (status, indexes), or
// wait for the catalogue (services and their checks).
var supported = map[string]string{
	"Job": `Region Namespace ID Name Type Priority Datacenters NodePool Constraints Affinities Spreads TaskGroups Update Periodic ParameterizedJob Reschedule Migrate Meta UI DependsOn
		Stop ParentID Dispatched DispatchIdempotencyToken Payload NomadTokenID Status StatusDescription Stable
		Version SubmitTime CreateIndex ModifyIndex JobModifyIndex VersionTag`,
	"JobUIConfig":            "Description Links",
	"JobUILink":              "Label URL",
	"JobVersionTag":          "Name Description TaggedTime",
	"PeriodicConfig":         "Enabled Spec Specs SpecType ProhibitOverlap TimeZone CatchUp",
	"ParameterizedJobConfig": "Payload MetaRequired MetaOptional",
	"DispatchPayloadConfig":  "File",
	"TaskGroup": `Name Count Constraints Affinities Spreads Tasks RestartPolicy ReschedulePolicy EphemeralDisk Update Migrate Stateful Networks Meta Services
		ShutdownDelay MaxRunDuration StopAfterClientDisconnect DependsOn Gang`,
	"Dependency":       "Name Job Namespace Group Condition",
	"GangConfig":       "MaxPartial",
	"Constraint":       "LTarget RTarget Operand",
	"Affinity":         "LTarget RTarget Operand Weight",
	"Spread":           "Attribute Weight SpreadTarget",
	"SpreadTarget":     "Value Percent",
	"UpdateStrategy":   "Stagger MaxParallel HealthCheck MinHealthyTime HealthyDeadline ProgressDeadline Canary AutoRevert AutoPromote",
	"MigrateStrategy":  "MaxParallel MinHealthyTime",
	"StatefulConfig":   "Ordered Partition",
	"RestartPolicy":    "Interval Attempts Delay Mode",
	"ReschedulePolicy": "Attempts Interval Delay DelayFunction MaxDelay Unlimited",
	"EphemeralDisk":    "SizeMB",
	"NetworkResource":  "ReservedPorts DynamicPorts",
	"Port":             "Label Value To HostNetwork IgnoreCollision",
	"Task": `Name Driver User Lifecycle Config Constraints Affinities Env Services Resources RestartPolicy DispatchPayload Meta KillTimeout LogConfig
		Leader ShutdownDelay KillSignal`,
	"TaskLifecycle":   "Hook Sidecar",
	"Resources":       "CPU Cores MemoryMB Devices",
	"RequestedDevice": "Name Count Constraints Affinities",
	"LogConfig":       "MaxFiles MaxFileSizeMB Disabled",
	"Service": `Name Tags CanaryTags EnableTagOverride PortLabel AddressMode Address Checks CheckRestart Meta CanaryMeta
		TaggedAddresses TaskName OnUpdate Weights Provider`,
	"ServiceWeights": "Passing Warning",
	"CheckRestart":   "Limit Grace IgnoreWarnings",
	"ServiceCheck": `Name Type Command Args Path Protocol PortLabel AddressMode Advertise Interval Timeout InitialStatus
		Notes TLSServerName TLSSkipVerify Header Method CheckRestart GRPCService GRPCUseTLS TaskName
		SuccessBeforePassing FailuresBeforeCritical FailuresBeforeWarning Body OnUpdate`,
}

// refusal is one attribute that this version does not act on.
type refusal struct {
	field    string // Type.Field, or several
	accepted any    // besides the zero value: a value, or a func(reflect.Value) bool
	hint     string
}

// Hints that several rows share.
const (
	useCatalogue = "Steppe has its own catalogue: announce addresses with service blocks"
	useSecrets   = "Steppe's own secrets come in a later version; until then pass values with job variables or env"
	useNetwork   = "ports of the host's networks work: delete it, or write mode = \"host\""
	useMigrate   = "max_parallel and min_healthy_time work: delete it"
	useStop      = "of what is to happen on disconnection, stop_on_client_after works; lost_after, replace and reconcile do not"
	usePlain     = "delete it"
)

var refusals = []refusal{
	{field: "Job.AllAtOnce NetworkResource.MBits RestartPolicy.RenderTemplates EphemeralDisk.Sticky EphemeralDisk.Migrate Resources.SecretsMB Resources.IOPS", hint: usePlain},
	{field: "Job.Multiregion", hint: "register the job in each region"},
	{field: "Job.ConsulNamespace TaskGroup.Consul Task.Consul Task.Kind Service.Kind ServiceCheck.Expose", hint: useCatalogue},
	{field: "Job.VaultNamespace Task.Vault Task.Secrets", hint: useSecrets},

	{field: "MigrateStrategy.HealthCheck", accepted: notManual, hint: useMigrate},
	{field: "MigrateStrategy.HealthyDeadline", accepted: NewMigrateStrategy().HealthyDeadline, hint: useMigrate},

	{field: "TaskGroup.Volumes", hint: "the group's own directory, alloc/, works within ephemeral_disk"},
	{field: "TaskGroup.Disconnect", accepted: stopsOnly, hint: useStop},
	{field: "TaskGroup.MaxClientDisconnect TaskGroup.PreventRescheduleOnLost", hint: useStop},
	{field: "TaskGroup.Scaling", hint: "job scale works"},

	{field: "NetworkResource.Mode", accepted: "host", hint: useNetwork},
	{field: "NetworkResource.Device NetworkResource.CIDR NetworkResource.IP NetworkResource.Hostname NetworkResource.DNS NetworkResource.CNI", hint: useNetwork},

	{field: "Task.Artifacts", hint: "fetch it from within the task, in a prestart task for example"},
	{field: "Task.Templates", hint: "env works; write files from within the task, in a prestart task for example"},
	{field: "Task.VolumeMounts Task.CSIPluginConfig Task.ScalingPolicies Task.Identities Task.Schedule", hint: usePlain},
	{field: "Task.Identity", accepted: unchangedIdentity, hint: usePlain},
	{field: "Task.Actions", hint: "alloc exec comes in a later version too"},

	{field: "Resources.MemoryMaxMB", accepted: notNegative, hint: "write a limit in MB"},
	{field: "Resources.DiskMB", hint: "ephemeral_disk of the group sets the disk"},
	{field: "Resources.Networks", hint: "move the network block from the task's resources into the group"},
	{field: "Resources.NUMA", hint: "cores works"},

	{field: "Service.Connect", hint: useCatalogue + "; there is no mesh: address services directly"},
	{field: "Service.Identity", hint: usePlain},
	{field: "Service.Cluster", accepted: defaultCluster, hint: useCatalogue},
}

func notManual(v reflect.Value) bool   { return v.String() != "manual" }
func notNegative(v reflect.Value) bool { return v.Int() >= 0 }

// stopsOnly accepts a disconnect block that asks for stop_on_client_after alone.
func stopsOnly(v reflect.Value) bool {
	d := *v.Interface().(*DisconnectStrategy)
	d.StopOnClientAfter = 0
	return d == *NewDisconnectStrategy()
}

// unchangedIdentity accepts the identity that every task has anyway.
func unchangedIdentity(v reflect.Value) bool {
	w := *v.Interface().(*WorkloadIdentity)
	w.Name = ""
	return reflect.ValueOf(w).IsZero()
}

var refused = func() map[string]refusal {
	m := make(map[string]refusal, len(refusals))
	for _, r := range refusals {
		for f := range strings.FieldsSeq(r.field) {
			m[f] = r
		}
	}
	return m
}()

// Unsupported finds what a canonical job asks for and this version does not act
// on. Submitting such a job is refused with these problems.
func Unsupported(j *Job) []Problem {
	w := &refuser{job: j}
	w.walk(reflect.ValueOf(j).Elem(), JobPath)
	return w.problems
}

// refuser walks a job; it remembers what blocks inherit from, so that a fault
// of the job's update block is not told again for each group.
type refuser struct {
	job      *Job
	group    *TaskGroup
	problems []Problem
}

func (w *refuser) walk(v reflect.Value, p Path) {
	if g, ok := v.Addr().Interface().(*TaskGroup); ok {
		w.group = g
	}
	t := v.Type()
	for i := range t.NumField() {
		f, fv := t.Field(i), v.Field(i)
		name := AttributeName(t, f)
		if name == "" {
			name = snakeCase(f.Name)
		}
		if fv.IsZero() || w.inherited(t, f, fv) {
			continue
		}
		r, isRefused := refused[t.Name()+"."+f.Name]
		switch {
		case !isRefused:
			w.descend(fv, p, name)
		case !r.accepts(fv):
			w.refuse(p, name, fv, r.hint)
		}
	}
}

func (w *refuser) inherited(t reflect.Type, f reflect.StructField, v reflect.Value) bool {
	var from any
	switch t.Name() + "." + f.Name {
	case "TaskGroup.Update":
		from = w.job.Update
	case "TaskGroup.Migrate":
		from = w.job.Migrate
	case "Task.RestartPolicy":
		from = w.group.RestartPolicy
	default:
		return false
	}
	return reflect.DeepEqual(v.Interface(), from)
}

// descend goes into the blocks of a supported field.
func (w *refuser) descend(v reflect.Value, p Path, name string) {
	switch {
	case v.Kind() == reflect.Pointer:
		w.walk(v.Elem(), p.Attr(name))
	case v.Kind() == reflect.Slice && holdsBlocks(v.Type()):
		seen := map[string]int{}
		for i := range v.Len() {
			e := reflect.Indirect(v.Index(i))
			w.walk(e, elementPath(p, name, e, i, seen))
		}
	}
}

// elementPath is the path of the i-th of several blocks.
func elementPath(p Path, name string, e reflect.Value, i int, seen map[string]int) Path {
	if e.Type() == reflect.TypeFor[Port]() {
		name = "port"
	}
	if label := LabelField(e.Type()); label != "" {
		return labelled(p, name, e.FieldByName(label).String(), seen)
	}
	return p.Index(name, i)
}

func (w *refuser) refuse(p Path, name string, v reflect.Value, hint string) {
	if len(w.problems) >= maxProblems {
		return
	}
	at := p.Attr(name)
	if v.Kind() == reflect.Slice && holdsBlocks(v.Type()) {
		at = elementPath(p, name, reflect.Indirect(v.Index(0)), 0, map[string]int{})
	} else if v.Kind() == reflect.Map && holdsBlocks(v.Type()) {
		keys := v.MapKeys()
		first := keys[0].String()
		for _, k := range keys {
			first = min(first, k.String())
		}
		at = p.Label(name, first)
	}
	w.problems = append(w.problems, Problem{
		Path: string(at), Message: strings.TrimSpace(name+shownValue(v)) + " is not supported by this version", Hint: hint,
	})
}

// shownValue is the value of a short attribute, to tell it from the block.
func shownValue(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.String:
		return " = \"" + shorten(v.String()) + "\""
	case v.Kind() == reflect.Bool:
		return " = true"
	case v.Type() == reflect.TypeFor[time.Duration]():
		return " = \"" + time.Duration(v.Int()).String() + "\""
	}
	return ""
}

func (r refusal) accepts(v reflect.Value) bool {
	switch a := r.accepted.(type) {
	case nil:
		return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 || v.Kind() == reflect.Map && v.Len() == 0
	case func(reflect.Value) bool:
		return a(v)
	default:
		return reflect.DeepEqual(v.Interface(), a)
	}
}
