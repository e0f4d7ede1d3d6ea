package model

// Resources is what a task asks for. CPU in MHz, sizes in MB; Cores excludes CPU.
type Resources struct {
	CPU         int
	Cores       int
	MemoryMB    int
	MemoryMaxMB int
	DiskMB      int
	Networks    []*NetworkResource
	Devices     []*RequestedDevice
	NUMA        *NUMAResource
	SecretsMB   int
	IOPS        int
}

// NUMAResource asks for cores of one memory node.
type NUMAResource struct {
	Affinity string // none, prefer, require
	Devices  []string
}

// RequestedDevice asks for devices by type, vendor/type or vendor/type/name.
type RequestedDevice struct {
	Name        string
	Count       uint64
	Constraints []*Constraint
	Affinities  []*Affinity
}

// NetworkResource is a network asked for or granted.
type NetworkResource struct {
	Mode          string // host, bridge, none, cni/<name>
	Device        string
	CIDR          string
	IP            string
	Hostname      string
	MBits         int
	DNS           *DNSConfig
	ReservedPorts []Port
	DynamicPorts  []Port
	CNI           *CNIConfig
}

// Port is one labelled port; Value 0 asks for any.
type Port struct {
	Label           string
	Value           int
	To              int // port inside the network namespace; -1 = same as Value
	HostNetwork     string
	IgnoreCollision bool
}

// DNSConfig overrides a group's resolv.conf.
type DNSConfig struct {
	Servers  []string
	Searches []string
	Options  []string
}

// CNIConfig passes arguments to CNI plugins.
type CNIConfig struct{ Args map[string]string }

// AllocatedResources is what an allocation was granted. Values may be shared
// between allocations: immutable.
type AllocatedResources struct {
	Tasks  map[string]*AllocatedTaskResources
	Shared AllocatedSharedResources
}

// AllocatedTaskResources is one task's share.
type AllocatedTaskResources struct {
	Cpu      AllocatedCpuResources
	Memory   AllocatedMemoryResources
	Networks []*NetworkResource
	Devices  []*AllocatedDeviceResource
}

// AllocatedCpuResources in MHz, and the ids of reserved cores.
type AllocatedCpuResources struct {
	CpuShares     int64
	ReservedCores []uint16
}

// AllocatedMemoryResources in MB; MemoryMaxMB 0 = MemoryMB.
type AllocatedMemoryResources struct {
	MemoryMB    int64
	MemoryMaxMB int64
}

// AllocatedDeviceResource names device instances.
type AllocatedDeviceResource struct {
	Vendor    string
	Type      string
	Name      string
	DeviceIDs []string
}

// AllocatedSharedResources belong to the allocation as a whole.
type AllocatedSharedResources struct {
	DiskMB   int64
	Networks []*NetworkResource
	Ports    []PortMapping
}

// PortMapping is one granted port.
type PortMapping struct {
	Label           string
	Value           int
	To              int
	HostIP          string
	IgnoreCollision bool
}
