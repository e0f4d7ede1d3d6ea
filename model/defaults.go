package model

import "time"

// The defaults of the job language. They are set before decoding, so an
// absent attribute keeps the default and a zero that was written stays a zero.
const (
	DefaultPriority    = 50
	DefaultCPU         = 100 // MHz
	DefaultMemoryMB    = 300
	DefaultDiskMB      = 300
	DefaultKillTimeout = 5 * time.Second
	DefaultWeight      = 50               // affinity, spread
	DefaultStateful    = 30 * time.Second // stop_on_client_after of stateful groups
	DefaultMaxPartial  = 10 * time.Minute

	defaultCluster       = "default"
	defaultCheckGrace    = time.Second
	defaultScriptTimeout = 5 * time.Second
	defaultSplay         = 5 * time.Second
)

// NewJob is a job of a type ("" = service) with every default set and no
// groups. Build jobs in Go from NewJob, NewTaskGroup and NewTask: a literal
// Job{} says priority 0 and a literal TaskGroup{} count 0.
func NewJob(jobType string) *Job {
	if jobType == "" {
		jobType = JobTypeService
	}
	return &Job{
		Region:    DefaultRegion,
		Namespace: DefaultNamespace,
		Type:      jobType,
		Priority:  DefaultPriority,
		Update:    defaultJobUpdate(jobType),
	}
}

// NewTaskGroup is a group with the defaults of the job's type and what it
// inherits from the job (update, reschedule, migrate). It is not added to it.
func NewTaskGroup(j *Job) *TaskGroup {
	g := &TaskGroup{
		Count:            1,
		RestartPolicy:    NewRestartPolicy(j.Type),
		ReschedulePolicy: copyPtr(j.Reschedule),
		EphemeralDisk:    &EphemeralDisk{SizeMB: DefaultDiskMB},
		Update:           copyPtr(j.Update),
		Migrate:          copyPtr(j.Migrate),
	}
	if g.ReschedulePolicy == nil && reschedules(j.Type) {
		g.ReschedulePolicy = NewReschedulePolicy(j.Type)
	}
	if g.Migrate == nil && j.Type == JobTypeService {
		g.Migrate = NewMigrateStrategy()
	}
	return g
}

// NewTask is a task with its defaults and the group's restart policy. It is
// not added to the group.
func NewTask(g *TaskGroup) *Task {
	return &Task{
		Resources:     NewResources(),
		RestartPolicy: copyPtr(g.RestartPolicy),
		KillTimeout:   DefaultKillTimeout,
		LogConfig:     NewLogConfig(),
	}
}

// NewUpdateStrategy is the default update block.
func NewUpdateStrategy() *UpdateStrategy {
	return &UpdateStrategy{
		Stagger:          30 * time.Second,
		MaxParallel:      1,
		HealthCheck:      "checks",
		MinHealthyTime:   10 * time.Second,
		HealthyDeadline:  5 * time.Minute,
		ProgressDeadline: 10 * time.Minute,
	}
}

// NewRestartPolicy is the default restart block of a job type.
func NewRestartPolicy(jobType string) *RestartPolicy {
	p := &RestartPolicy{Interval: 30 * time.Minute, Attempts: 2, Delay: 15 * time.Second, Mode: RestartModeFail}
	if jobType == JobTypeBatch || jobType == JobTypeSysbatch {
		p.Interval, p.Attempts = 24*time.Hour, 3
	}
	return p
}

// NewReschedulePolicy is the default reschedule block of a job type; system
// and sysbatch jobs do not reschedule and have a policy of zeros.
func NewReschedulePolicy(jobType string) *ReschedulePolicy {
	switch jobType {
	case JobTypeService:
		return &ReschedulePolicy{
			Delay: 30 * time.Second, DelayFunction: DelayExponential, MaxDelay: time.Hour, Unlimited: true,
		}
	case JobTypeBatch:
		return &ReschedulePolicy{
			Attempts: 1, Interval: 24 * time.Hour, Delay: 5 * time.Second, DelayFunction: DelayConstant,
		}
	}
	return &ReschedulePolicy{}
}

// NewMigrateStrategy is the default migrate block.
func NewMigrateStrategy() *MigrateStrategy {
	return &MigrateStrategy{
		MaxParallel: 1, HealthCheck: "checks", MinHealthyTime: 10 * time.Second, HealthyDeadline: 5 * time.Minute,
	}
}

// NewResources is the default resources block.
func NewResources() *Resources {
	return &Resources{CPU: DefaultCPU, MemoryMB: DefaultMemoryMB}
}

// NewLogConfig is the default logs block: 10 files of 10 MB per stream.
func NewLogConfig() *LogConfig { return &LogConfig{MaxFiles: 10, MaxFileSizeMB: 10} }

// NewTemplate is the default template block; Uid and Gid -1 are the task's.
func NewTemplate() *Template {
	return &Template{
		ChangeMode: "restart", Splay: defaultSplay, Perms: "0644", Uid: -1, Gid: -1, LeftDelim: "{{", RightDelim: "}}",
	}
}

// NewDisconnectStrategy is the default disconnect block.
func NewDisconnectStrategy() *DisconnectStrategy {
	return &DisconnectStrategy{Replace: true, Reconcile: "best_score"}
}

func newVault() *Vault {
	return &Vault{Cluster: defaultCluster, Env: true, ChangeMode: "restart", ChangeSignal: "SIGHUP"}
}

func newCSIPlugin() *TaskCSIPluginConfig {
	return &TaskCSIPluginConfig{MountDir: "/csi", StagePublishBaseDir: "/local/csi", HealthTimeout: 30 * time.Second}
}

func newPeriodic() *PeriodicConfig {
	return &PeriodicConfig{Enabled: true, SpecType: "cron", TimeZone: "UTC"}
}

// defaultJobUpdate is the update block of a job that has none.
func defaultJobUpdate(jobType string) *UpdateStrategy {
	if jobType == JobTypeService || jobType == JobTypeSystem {
		return NewUpdateStrategy()
	}
	return nil
}

// reschedules says whether failed allocations of a job type move to another node.
func reschedules(jobType string) bool {
	return jobType != JobTypeSystem && jobType != JobTypeSysbatch
}
