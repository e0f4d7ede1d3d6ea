package place

import (
	"fmt"
	"slices"
)

// Diff tells in what two fleets differ, or "": whether a fleet that was kept up
// to date from changes equals one made anew. Rows may be in another order.
func Diff(a, b *Fleet) string {
	if a.nodes != b.nodes {
		return fmt.Sprintf("%d nodes, not %d", a.nodes, b.nodes)
	}
	for row := range int32(a.rows()) {
		c, i := a.at(row)
		if c.id[i] == "" {
			continue
		}
		other, ok := b.row(c.id[i])
		if !ok {
			return "node " + c.id[i] + " is in one only"
		}
		d, j := b.at(other)
		if x, y := c.describe(i), d.describe(j); x != y {
			return x + " is not " + y
		}
	}
	if n, m := a.used(), b.used(); n != m {
		return fmt.Sprintf("%d rows in use, not %d", n, m)
	}
	return ""
}

func (c *chunk) describe(i int) string {
	free := []int64{c.freeCPU[i], c.freeMemory[i], c.freeDisk[i], c.cpu[i], c.memory[i], c.disk[i]}
	ports, cores := slices.Clone(c.ports[i]), slices.Clone(c.cores(i))
	return fmt.Sprintf("%s known=%t ready=%t class=%s %v allocs=%d ports=%v cores=%v devices=%v",
		c.id[i], c.info[i] != nil, c.ready[i], c.class[i], free, c.allocs[i], ports, cores, c.devices(i))
}

func (f *Fleet) used() int {
	n := 0
	for row := range int32(f.rows()) {
		if c, i := f.at(row); c.id[i] != "" {
			n++
		}
	}
	return n
}
