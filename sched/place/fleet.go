package place

import (
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
	"github.com/steppe-project/steppe/sched/place/device"
)

const (
	// chunkRows is the unit of copy-on-write: small enough that a decision on
	// one node copies little, large enough that a fork copies few pointers.
	chunkRows = 64
	// idShards divides the index of node ids, so that a new node copies a
	// 256th part of it.
	idShards = 256
)

// Fleet is the columnar view of all nodes at one index: totals, what is left,
// ports, cores, class and readiness. A row belongs to a node id; it stays while
// allocations of the node are known, even when the node itself is not.
type Fleet struct {
	index  uint64
	edit   *owner // marks the chunks that this fleet alone may write
	owns   bool   // whether there are such chunks
	chunks []*chunk
	last   int // rows in use or once used of the last chunk
	ids    [idShards]*shard
	free   []int32 // rows without use; never written in place
	nodes  int

	memo  *model.AllocatedResources // the grant that demand was computed of
	asked Demand
}

// owner is an identity; it must have a size, or all would be equal.
type owner struct{ _ byte }

// chunk holds chunkRows rows by column. Slices in it are replaced, never
// written, so that a shallow copy is a copy.
type chunk struct {
	owner  *owner
	id     [chunkRows]string
	hash   [chunkRows]uint64 // of id
	info   [chunkRows]*nodeInfo
	class  [chunkRows]string
	ready  [chunkRows]bool
	cpu    [chunkRows]int64 // MHz in all, reserved subtracted
	memory [chunkRows]int64 // MB
	disk   [chunkRows]int64 // MB
	// What is left; negative when more is used than there is.
	freeCPU    [chunkRows]int64
	freeMemory [chunkRows]int64
	freeDisk   [chunkRows]int64
	allocs     [chunkRows]int32
	ports      [chunkRows][]portUse
	rare       [chunkRows]*rare // nil for nothing
}

// cores are those in use of a row, devices the devices.
func (c *chunk) cores(i int) []coreUse {
	if c.rare[i] == nil {
		return nil
	}
	return c.rare[i].cores
}

func (c *chunk) devices(i int) []device.Use {
	if c.rare[i] == nil {
		return nil
	}
	return c.rare[i].devices
}

type shard struct {
	owner *owner
	rows  map[string]int32
}

// NewFleet makes an empty fleet.
func NewFleet() *Fleet { return &Fleet{edit: new(owner)} }

// Index is the newest log entry that the fleet contains, as told by SetIndex.
func (f *Fleet) Index() uint64 { return f.index }

// SetIndex notes the newest log entry that the fleet contains.
func (f *Fleet) SetIndex(index uint64) { f.index = index }

// Len is how many nodes there are.
func (f *Fleet) Len() int { return f.nodes }

// Fork returns a fleet that shares everything until one of the two is written
// to. The cost is that of copying one pointer for every 64 nodes.
func (f *Fleet) Fork() *Fleet {
	if f.owns {
		f.edit, f.owns = new(owner), false
	}
	fork := *f
	fork.edit = new(owner)
	fork.chunks = slices.Clone(f.chunks)
	return &fork
}

// UpsertNode takes in a node as it is now.
func (f *Fleet) UpsertNode(n *model.Node) {
	row := f.ensure(n.ID)
	c, i := f.write(row)
	if c.info[i] == nil {
		f.nodes++
	}
	c.info[i] = newNodeInfo(n)
	c.class[i] = n.ComputedClass
	if c.class[i] == "" {
		c.class[i] = class.Computed(n)
	}
	c.ready[i] = n.Ready()
	cpu, memory, disk := totals(n)
	c.freeCPU[i] += cpu - c.cpu[i]
	c.freeMemory[i] += memory - c.memory[i]
	c.freeDisk[i] += disk - c.disk[i]
	c.cpu[i], c.memory[i], c.disk[i] = cpu, memory, disk
}

// DeleteNode forgets a node; what its allocations hold stays known.
func (f *Fleet) DeleteNode(id string) {
	row, ok := f.row(id)
	if !ok {
		return
	}
	c, i := f.write(row)
	if c.info[i] == nil {
		return
	}
	f.nodes--
	c.freeCPU[i] -= c.cpu[i]
	c.freeMemory[i] -= c.memory[i]
	c.freeDisk[i] -= c.disk[i]
	c.cpu[i], c.memory[i], c.disk[i] = 0, 0, 0
	c.info[i], c.class[i], c.ready[i] = nil, "", false
	f.release(row)
}

// UpsertAlloc takes in a change of an allocation: before nil when it is new,
// after nil when it is deleted. Only one that is not Terminal holds anything.
func (f *Fleet) UpsertAlloc(before, after *model.Allocation) {
	had := before != nil && !before.Terminal()
	has := after != nil && !after.Terminal()
	if had && has && before.NodeID == after.NodeID && before.AllocatedResources == after.AllocatedResources {
		return
	}
	if had {
		f.book(before.NodeID, f.demand(before.AllocatedResources), -1)
	}
	if has {
		f.book(after.NodeID, f.demand(after.AllocatedResources), 1)
	}
}

// Place counts a grant against a node, as an allocation of it would.
func (f *Fleet) Place(nodeID string, grant *model.AllocatedResources) {
	f.book(nodeID, f.demand(grant), 1)
}

// Remove gives back what Place or an allocation holds.
func (f *Fleet) Remove(nodeID string, grant *model.AllocatedResources) {
	f.book(nodeID, f.demand(grant), -1)
}

// demand sums a grant; grants are immutable and shared by many allocations.
func (f *Fleet) demand(grant *model.AllocatedResources) *Demand {
	if grant == nil || grant != f.memo {
		f.memo, f.asked = grant, DemandOf(grant)
	}
	return &f.asked
}

func (f *Fleet) book(nodeID string, d *Demand, sign int64) {
	row := f.ensure(nodeID)
	c, i := f.write(row)
	c.freeCPU[i] -= sign * d.CPU
	c.freeMemory[i] -= sign * d.Memory
	c.freeDisk[i] -= sign * d.Disk
	c.allocs[i] += int32(sign)
	if len(d.Ports) > 0 {
		c.ports[i] = bookPorts(c.ports[i], d.Ports, int(sign))
	}
	if len(d.Cores) > 0 || len(d.Devices) > 0 {
		c.rare[i] = bookRare(c.rare[i], d, int(sign))
	}
	if sign < 0 {
		f.release(row)
	}
}

// row finds the row of a node id.
func (f *Fleet) row(id string) (int32, bool) {
	s := f.ids[hashID(id)%idShards]
	if s == nil {
		return 0, false
	}
	row, ok := s.rows[id]
	return row, ok
}

// ensure finds the row of a node id, or makes one.
func (f *Fleet) ensure(id string) int32 {
	if row, ok := f.row(id); ok {
		return row
	}
	var row int32
	if n := len(f.free); n > 0 {
		row, f.free = f.free[n-1], f.free[:n-1:n-1]
	} else {
		row = int32(f.rows())
		if f.last == chunkRows || len(f.chunks) == 0 {
			f.chunks, f.last = append(f.chunks, &chunk{owner: f.edit}), 0
		}
		f.last++
	}
	hash := hashID(id)
	f.writeShard(hash)[id] = row
	c, i := f.write(row)
	c.id[i], c.hash[i] = id, hash
	return row
}

// release gives a row back when neither node nor allocations use it.
func (f *Fleet) release(row int32) {
	c, i := f.at(row)
	if c.info[i] != nil || c.allocs[i] != 0 {
		return
	}
	c, i = f.write(row)
	delete(f.writeShard(c.hash[i]), c.id[i])
	c.id[i], c.hash[i] = "", 0
	c.freeCPU[i], c.freeMemory[i], c.freeDisk[i] = 0, 0, 0
	c.ports[i], c.rare[i] = nil, nil
	f.free = append(f.free[:len(f.free):len(f.free)], row)
}

// rows is one more than the highest row.
func (f *Fleet) rows() int {
	if len(f.chunks) == 0 {
		return 0
	}
	return (len(f.chunks)-1)*chunkRows + f.last
}

func (f *Fleet) at(row int32) (*chunk, int) {
	return f.chunks[row/chunkRows], int(row % chunkRows)
}

// write returns the row's chunk, copied first when it is shared.
func (f *Fleet) write(row int32) (*chunk, int) {
	n := row / chunkRows
	c := f.chunks[n]
	if c.owner != f.edit {
		copied := *c
		copied.owner = f.edit
		c = &copied
		f.chunks[n] = c
	}
	f.owns = true
	return c, int(row % chunkRows)
}

func (f *Fleet) writeShard(hash uint64) map[string]int32 {
	s := f.ids[hash%idShards]
	if s == nil || s.owner != f.edit {
		next := &shard{owner: f.edit, rows: make(map[string]int32)}
		if s != nil {
			for id, row := range s.rows {
				next.rows[id] = row
			}
		}
		f.ids[hash%idShards], s = next, next
	}
	f.owns = true
	return s.rows
}

// hashID is FNV-1a with a final mix: spread evenly, equal on every machine.
func hashID(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
