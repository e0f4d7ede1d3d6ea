package place

import "github.com/steppe-project/steppe/model"

// Amounts are sizes of one node or ask: MHz, cores, MB, MB.
type Amounts struct {
	CPU, Memory, Disk int64
	Cores             int
}

// Try counts the nodes that an ask would fit on as the board is now, and names
// the one with the lowest id; nothing is booked.
func (b *Board) Try(a *Ask) (nodes int, example *model.Node) {
	k := b.checker(a)
	k.scan(func(row int32) {
		nodes++
		if n := b.node(row); example == nil || n.ID < example.ID {
			example = n
		}
	})
	return nodes, example
}

// Most is the node that an ask fits on and that has the most left of a
// dimension, with what it has left: memory, disk and cpu as free amounts, cores
// as the number that can be reserved. Nil when none fits.
func (b *Board) Most(a *Ask, dimension string) (left int64, on *model.Node) {
	k := b.checker(a)
	k.scan(func(row int32) {
		n, v := b.node(row), b.left(row, dimension)
		if on == nil || v > left || v == left && n.ID < on.ID {
			left, on = v, n
		}
	})
	return left, on
}

// Unready counts the nodes that fit but for taking no new work, and names one with why.
func (b *Board) Unready(a *Ask) (nodes int, example *model.Node, why string) {
	k := b.checker(a)
	for row := range int32(b.fleet.rows()) {
		c, i := b.fleet.at(row)
		if c.info[i] == nil || c.ready[i] || k.class(c, i).verdict.kind != kindFits ||
			k.single(row, c.info[i].node) != "" || b.fleet.fit(row, &k.need) != "" {
			continue
		}
		nodes++
		if n := c.info[i].node; example == nil || n.ID < example.ID {
			example, why = n, unreadyText(n)
		}
	}
	return nodes, example, why
}

func (b *Board) node(row int32) *model.Node {
	c, i := b.fleet.at(row)
	return c.info[i].node
}

func (b *Board) left(row int32, dimension string) int64 {
	c, i := b.fleet.at(row)
	switch dimension {
	case DimCPU:
		return c.freeCPU[i]
	case DimMemory:
		return c.freeMemory[i]
	case DimDisk:
		return c.freeDisk[i]
	case DimCores:
		free := len(c.info[i].cores) - reservedOf(c.info[i].cores, c.cores(i))
		if mhz := c.info[i].coreMHz; mhz > 0 {
			free = min(free, int(max(0, c.freeCPU[i])/mhz))
		}
		return int64(free)
	}
	return 0
}

// Needs are the amounts of an ask.
func (a *Ask) Needs() Amounts {
	return Amounts{CPU: a.CPU, Memory: a.Memory, Disk: a.Disk, Cores: a.Cores}
}

// With is the ask with other amounts.
func (a *Ask) With(n Amounts) *Ask {
	next := *a
	next.CPU, next.Cores, next.Memory, next.Disk = n.CPU, n.Cores, n.Memory, n.Disk
	return &next
}
