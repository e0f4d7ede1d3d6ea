package model

import "time"

// Task is one process (or container) of a group.
type Task struct {
	Name            string
	Driver          string
	User            string
	Lifecycle       *TaskLifecycle
	Config          map[string]any
	Constraints     []*Constraint
	Affinities      []*Affinity
	Env             map[string]string
	Services        []*Service
	Resources       *Resources
	RestartPolicy   *RestartPolicy
	Meta            map[string]string
	KillTimeout     time.Duration
	LogConfig       *LogConfig
	Artifacts       []*TaskArtifact
	Vault           *Vault
	Consul          *Consul
	Templates       []*Template
	DispatchPayload *DispatchPayloadConfig
	VolumeMounts    []*VolumeMount
	CSIPluginConfig *TaskCSIPluginConfig `json:",omitempty"`
	Leader          bool
	ShutdownDelay   time.Duration
	KillSignal      string
	Kind            string
	ScalingPolicies []*ScalingPolicy
	Secrets         []*Secret
	Identity        *WorkloadIdentity
	Identities      []*WorkloadIdentity
	Actions         []*Action
	Schedule        *TaskSchedule
}

// Lifecycle hooks.
const (
	HookPrestart  = "prestart"
	HookPoststart = "poststart"
	HookPoststop  = "poststop"
)

// TaskLifecycle places a task before, beside or after the main tasks.
type TaskLifecycle struct {
	Hook    string
	Sidecar bool
}

// LogConfig bounds a task's log files.
type LogConfig struct {
	MaxFiles      int
	MaxFileSizeMB int
	Disabled      bool
}

// TaskArtifact is fetched before the task starts.
type TaskArtifact struct {
	GetterSource   string
	GetterOptions  map[string]string
	GetterHeaders  map[string]string
	GetterMode     string
	GetterInsecure bool
	RelativeDest   string
	Chown          bool
}

// Template renders a file or the environment.
type Template struct {
	SourcePath    string
	DestPath      string
	EmbeddedTmpl  string
	ChangeMode    string
	ChangeScript  *ChangeScript
	ChangeSignal  string
	Once          bool
	Splay         time.Duration
	Perms         string
	Uid           int // -1 = the task's user
	Gid           int
	LeftDelim     string
	RightDelim    string
	Envvars       bool
	VaultGrace    time.Duration
	Wait          *WaitConfig
	ErrMissingKey bool
}

// ChangeScript runs when a template changes.
type ChangeScript struct {
	Command          string
	Args             []string
	Timeout          time.Duration
	FailOnError      bool
	RunOnFirstRender bool
}

// WaitConfig delays a template's re-rendering.
type WaitConfig struct {
	Min time.Duration
	Max time.Duration
}

// DispatchPayloadConfig names the file a dispatch payload is written to.
type DispatchPayloadConfig struct{ File string }

// VolumeMount makes a group's volume visible in a task.
type VolumeMount struct {
	Volume          string
	Destination     string
	ReadOnly        bool
	PropagationMode string
	SELinuxLabel    string
}

// TaskCSIPluginConfig makes a task a CSI plugin.
type TaskCSIPluginConfig struct {
	ID                  string
	Type                string
	MountDir            string
	StagePublishBaseDir string
	HealthTimeout       time.Duration
}

// Secret is fetched from a provider (parsed; refused at submit).
type Secret struct {
	Name     string
	Provider string
	Path     string
	Config   map[string]any
	Env      map[string]string
}

// WorkloadIdentity is a token for a task or service.
type WorkloadIdentity struct {
	Name         string
	Audience     []string
	ChangeMode   string
	ChangeSignal string
	Env          bool
	File         bool
	Filepath     string
	ServiceName  string
	TTL          time.Duration
	ExtraClaims  []string
}

// Action is a command that can be run in a task on demand.
type Action struct {
	Name    string
	Command string
	Args    []string
}

// TaskSchedule restricts when a task runs.
type TaskSchedule struct{ Cron *TaskScheduleCron }

// TaskScheduleCron is the window of a TaskSchedule.
type TaskScheduleCron struct {
	Start    string
	End      string
	Timezone string
}

// Service announces an address in the catalogue.
type Service struct {
	Name              string
	Tags              []string
	CanaryTags        []string
	EnableTagOverride bool
	PortLabel         string
	AddressMode       string
	Address           string
	Checks            []*ServiceCheck
	CheckRestart      *CheckRestart
	Connect           map[string]any // only its presence matters: refused at submit
	Meta              map[string]string
	CanaryMeta        map[string]string
	TaggedAddresses   map[string]string
	TaskName          string
	OnUpdate          string
	Identity          *WorkloadIdentity
	Weights           *ServiceWeights
	Provider          string
	Cluster           string
	Kind              string
}

// ServiceWeights weigh DNS answers.
type ServiceWeights struct {
	Passing int
	Warning int
}

// CheckRestart restarts a task whose check keeps failing.
type CheckRestart struct {
	Limit          int
	Grace          time.Duration
	IgnoreWarnings bool
}

// ServiceCheck probes a service.
type ServiceCheck struct {
	Name                   string
	Type                   string
	Command                string
	Args                   []string
	Path                   string
	Protocol               string
	PortLabel              string
	Expose                 bool
	AddressMode            string
	Advertise              string
	Interval               time.Duration
	Timeout                time.Duration
	InitialStatus          string
	Notes                  string
	TLSServerName          string
	TLSSkipVerify          bool
	Header                 map[string][]string
	Method                 string
	CheckRestart           *CheckRestart
	GRPCService            string
	GRPCUseTLS             bool
	TaskName               string
	SuccessBeforePassing   int
	FailuresBeforeCritical int
	FailuresBeforeWarning  int
	Body                   string
	OnUpdate               string
}
