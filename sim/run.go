package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/model"
)

// Run runs one seed. The error says which promise was broken, and when.
func Run(cfg Config) (Report, error) {
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)), now: epoch}
	w.net.cut = map[[2]string]int{}
	w.report.Faults = map[string]int{}
	w.checks.begin(w)
	w.build()
	w.loop()
	w.report.Virtual = w.now.Sub(epoch)
	for _, s := range w.servers {
		if s.life != nil {
			s.abdicate()
			s.life.end()
		}
	}
	for _, n := range w.nodes {
		if n.life != nil {
			n.life.end()
		}
	}
	return w.report, w.failed
}

// build makes servers, nodes and users.
func (w *world) build() {
	w.ledger = &ledger{w: w, first: w.truth().Index() + 1}
	for i := range []int{1, 3, 3, 3, 5}[w.rng.IntN(5)] {
		s := &server{w: w, name: "s" + strconv.Itoa(i+1), since: epoch}
		w.servers = append(w.servers, s)
		s.start()
	}
	for i := range 2 + w.rng.IntN(6) {
		n := w.newNode(i + 1)
		w.nodes = append(w.nodes, n)
		w.after(w.between(0, 3*time.Second), n.boot)
	}
	// b and z are for work that ends, s and y for work that stays.
	for i, jobs := range [][]string{{"s1", "s2", "b1"}, {"s3", "y1", "z1", "b2"}} {
		u := &user{w: w, name: fmt.Sprintf("u%d", i+1), jobs: jobs}
		w.users = append(w.users, u)
		u.begin()
	}
	w.after(0, w.ledger.beat)
	w.after(0, w.listen)
	w.harm(w.now.Add(w.between(20*time.Second, 90*time.Second)))
}

func (w *world) newNode(i int) *node {
	name := "n" + strconv.Itoa(i)
	id := w.id()
	return &node{w: w, id: id, name: name, drift: 0.02*w.rng.Float64() - 0.01, desc: &model.Node{
		ID: id, SecretID: w.id(), Name: name, Datacenter: "dc1", NodePool: model.DefaultNodePool,
		Attributes: map[string]string{"kernel.name": "linux", "driver.raw_exec": "1"},
		Meta:       map[string]string{"color": []string{"red", "blue"}[w.rng.IntN(2)]},
		NodeResources: &model.NodeResources{
			Cpu:            model.NodeCpuResources{CpuShares: 1500 + 500*w.rng.Int64N(6), TotalCpuCores: 4},
			Memory:         model.NodeMemoryResources{MemoryMB: 1024 + 512*w.rng.Int64N(6)},
			Disk:           model.NodeDiskResources{DiskMB: 4000},
			MinDynamicPort: 20000, MaxDynamicPort: 20010,
			NodeNetworks: []*model.NodeNetworkResource{{Mode: "host", Device: "eth0", Addresses: []model.NodeNetworkAddress{
				{Family: "ipv4", Alias: "default", Address: "10.0.0." + strconv.Itoa(i)},
			}}},
		},
		Drivers: map[string]*model.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
	}}
}

// loop runs events until none is left, or a promise is broken.
func (w *world) loop() {
	for len(w.queue) > 0 && w.failed == nil {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.report.Events++
		if w.report.Events > maxEvents {
			w.fail("more than %d events", maxEvents)
		}
		e.do()
	}
}
