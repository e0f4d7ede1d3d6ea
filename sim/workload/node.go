package workload

import (
	"math/rand/v2"
	"strconv"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
)

// SidePool is the node pool of every third node.
const SidePool = "side"

// Node is a machine of a random size, the i-th.
func Node(dice *rand.Rand, i int, id, secret string) *model.Node {
	pool := model.DefaultNodePool
	if i%3 == 0 {
		pool = SidePool
	}
	n := &model.Node{
		ID: id, SecretID: secret, Name: "n" + strconv.Itoa(i), Datacenter: "dc1", NodePool: pool,
		Attributes: map[string]string{"kernel.name": "linux", "driver.raw_exec": "1"},
		Meta:       map[string]string{"color": []string{"red", "blue"}[dice.IntN(2)]},
		NodeResources: &model.NodeResources{
			Cpu:            model.NodeCpuResources{CpuShares: 1500 + 500*dice.Int64N(6), TotalCpuCores: 4},
			Memory:         model.NodeMemoryResources{MemoryMB: 1024 + 512*dice.Int64N(6)},
			Disk:           model.NodeDiskResources{DiskMB: 4000},
			MinDynamicPort: 20000, MaxDynamicPort: 20010,
			NodeNetworks: []*model.NodeNetworkResource{{Mode: "host", Device: "eth0", Addresses: []model.NodeNetworkAddress{
				{Family: "ipv4", Alias: "default", Address: "10.0.0." + strconv.Itoa(i)},
			}}},
		},
		Drivers: map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
	}
	if chance(dice, 0.85) { // else its agent is of an earlier version
		n.Attributes[deploy.AttrHealth] = "1"
	}
	return n
}

// Says is a node's word on the health of an allocation, if its agent has one.
func Says(n *model.Node, word *model.AllocDeploymentStatus) *model.AllocDeploymentStatus {
	if n.Attributes[deploy.AttrHealth] == "" {
		return nil
	}
	return word
}
