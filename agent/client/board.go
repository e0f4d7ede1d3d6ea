package client

import (
	"maps"
	"reflect"
	"sync"

	"github.com/steppe-project/steppe/agent/client/fingerprint"
	"github.com/steppe-project/steppe/model"
)

// board holds the node's description as it is now.
type board struct {
	mu      sync.Mutex
	base    *model.Node // without drivers
	node    *model.Node // complete; replaced, never changed
	changed chan struct{}
}

// Node is the description; changed closes when it is superseded.
func (b *board) Node() (node *model.Node, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.node, b.changed
}

// current is Node for those who do not wait.
func (b *board) current() *model.Node {
	node, _ := b.Node()
	return node
}

// newBoard describes the machine, without drivers yet.
func newBoard(c *Config, id, secret string, f *fingerprint.Facts, reportsFrom uint64) (*board, error) {
	cores, err := reservedCores(c.Reserved.Cores)
	if err != nil {
		return nil, err
	}
	f.Resources.MinDynamicPort, f.Resources.MaxDynamicPort = c.MinDynamicPort, c.MaxDynamicPort
	name := c.Name
	if name == "" {
		name = f.Attributes["unique.hostname"]
	}
	attrs := maps.Clone(f.Attributes)
	attrs["nomad.advertise.address"] = c.HTTPAddr
	n := &model.Node{
		ID: id, SecretID: secret, Datacenter: c.Datacenter, Name: name, HTTPAddr: c.HTTPAddr, TLSEnabled: c.TLS,
		Attributes: attrs, NodeResources: f.Resources, Links: map[string]string{}, Meta: maps.Clone(c.Meta),
		NodeClass: c.NodeClass, NodePool: c.NodePool, CgroupParent: f.CgroupParent,
		Drivers: map[string]*model.DriverInfo{}, HostVolumes: c.HostVolumes, HostNetworks: hostNetworks(c.HostNetworks),
		NodeMaxAllocs: c.NodeMaxAllocs,
		ReservedResources: &model.NodeReservedResources{
			Cpu:      model.NodeReservedCpuResources{CpuShares: uint64(c.Reserved.MHz), ReservedCpuCores: cores},
			Memory:   model.NodeReservedMemoryResources{MemoryMB: uint64(c.Reserved.MemoryMB)},
			Disk:     model.NodeReservedDiskResources{DiskMB: uint64(c.Reserved.DiskMB)},
			Networks: model.NodeReservedNetworkResources{ReservedHostPorts: c.Reserved.Ports},
		},
		Status: model.NodeStatusInit, SchedulingEligibility: model.NodeEligible, ReportsFrom: reportsFrom,
	}
	if n.Meta == nil {
		n.Meta = map[string]string{}
	}
	return &board{base: n, node: n, changed: make(chan struct{})}, nil
}

func reservedCores(list string) ([]uint16, error) {
	if list == "" {
		return nil, nil
	}
	return fingerprint.ParseList(list)
}

func hostNetworks(list []*model.HostNetworkInfo) map[string]*model.HostNetworkInfo {
	out := make(map[string]*model.HostNetworkInfo, len(list))
	for _, h := range list {
		out[h.Name] = h
	}
	return out
}

// drivers takes in what the drivers can do now.
func (b *board) drivers(infos map[string]*model.DriverInfo, attrs map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := *b.base
	next.Attributes = maps.Clone(b.base.Attributes)
	maps.Copy(next.Attributes, attrs)
	next.Drivers = infos
	if maps.Equal(next.Attributes, b.node.Attributes) && sameDrivers(next.Drivers, b.node.Drivers) {
		return
	}
	b.node = &next
	close(b.changed)
	b.changed = make(chan struct{})
}

// sameDrivers compares all but the times.
func sameDrivers(a, b map[string]*model.DriverInfo) bool {
	return maps.EqualFunc(a, b, func(x, y *model.DriverInfo) bool {
		xc, yc := *x, *y
		xc.UpdateTime = yc.UpdateTime
		return reflect.DeepEqual(xc, yc)
	})
}
