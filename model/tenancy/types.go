package tenancy

//go:generate go tool msgp -file types.go -o codec_gen.go -tests=false -io=false

// Namespace separates jobs of different owners. What came with feature level
// Tenancy is left out of its encoding where it is not set.
type Namespace struct {
	Name        string
	Description string
	Meta        map[string]string
	CreateIndex uint64
	ModifyIndex uint64

	// Quota names the quota that bounds what the jobs ask for; "" for none.
	Quota                  string           `msg:",omitempty"`
	Capabilities           *Capabilities    `msg:",omitempty"`
	NodePoolConfiguration  *NodePoolRules   `msg:",omitempty"`
	SchedulerConfiguration *SchedulingRules `msg:",omitempty" json:",omitempty"`
}

// Capabilities say what the tasks of a namespace may use. An empty list of what is
// enabled enables all; what is disabled is so in any case.
type Capabilities struct {
	EnabledTaskDrivers   []string
	DisabledTaskDrivers  []string
	EnabledNetworkModes  []string
	DisabledNetworkModes []string
}

// NodePoolRules say in which node pools the jobs of a namespace may run. Allowed and
// Denied hold names in which * stands for any text; only one of them is set. Allowed
// that is empty but not nil allows the default pool alone.
type NodePoolRules struct {
	Default string   // of jobs that name none; "" is the pool default
	Allowed []string `msg:",allownil"`
	Denied  []string `msg:",allownil"`
}

// SchedulingRules are what a namespace overrides of its jobs' node pool and of the
// cluster.
type SchedulingRules struct {
	SchedulerAlgorithm            string // "": the pool's
	MemoryOversubscriptionEnabled *bool  // nil: the pool's
	MaxPriority                   int    // of jobs; 0: as everywhere
}

// Quota bounds what the jobs of the namespaces that name it ask for together.
type Quota struct {
	Name        string
	Description string
	Limits      []*Limit // one for each region
	CreateIndex uint64
	ModifyIndex uint64
}

// Limit is what a quota allows in one region.
type Limit struct {
	Region      string
	RegionLimit *Resources
}

// Resources are amounts. As a limit 0 means as much as one likes, and below 0 that
// nothing is allowed.
type Resources struct {
	CPU         int // MHz, beside those of reserved cores
	Cores       int
	MemoryMB    int
	MemoryMaxMB int
	DiskMB      int
	Count       int // allocations
}

// Usage is how much of a quota is in use, by region.
type Usage struct {
	Name        string
	Used        map[string]*Limit
	Jobs        map[string]int // that ask for something
	CreateIndex uint64
	ModifyIndex uint64
}
