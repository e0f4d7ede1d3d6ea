package place

import (
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// What keeps an ask off a node, as Outcome.Kind says it.
const (
	OutOfPool       = "pool"
	OutOfDatacenter = "datacenter"
	NotReady        = "not ready" // down, draining, ineligible
	LacksDriver     = "driver"
	LacksNetwork    = "network"
	Constrained     = "constraint"
	Distinct        = "distinct" // distinct_hosts, distinct_property
	Exhausted       = "resource"
)

// Outcome is what the feasibility function says of one node.
type Outcome struct {
	Node   *model.Node
	Kind   string // "" when the ask fits
	Reason string // of a resource its name, as in metrics
	Free   Amounts
}

// Survey tells of every node whether an ask fits there as the board is now, and what
// is in the way.
func (b *Board) Survey(a *Ask, visit func(Outcome)) {
	k := b.checker(a)
	for row := range int32(b.fleet.rows()) {
		v := k.row(row)
		if v.kind == kindAbsent {
			continue
		}
		n := b.node(row)
		out := Outcome{Node: n, Free: Amounts{
			CPU: b.left(row, DimCPU), Memory: b.left(row, DimMemory), Disk: b.left(row, DimDisk), Cores: int(b.left(row, DimCores)),
		}}
		if v.kind != kindFits {
			out.Reason = k.reasons[v.reason].text
			out.Kind = k.kindOf(n, v.kind, out.Reason)
		}
		if out.Kind == LacksDriver {
			out.Reason = "missing driver " + strings.Join(a.lacking(n), ", ")
		}
		visit(out)
	}
}

// kindOf names what a verdict is about.
func (k *Checker) kindOf(n *model.Node, is kind, reason string) string {
	switch {
	case is == kindExhausted:
		return Exhausted
	case is == kindUnready:
		return NotReady
	case is == kindOutside && !k.ask.inPool(n.NodePool):
		return OutOfPool
	case is == kindOutside:
		return OutOfDatacenter
	case reason == ReasonDrivers:
		return LacksDriver
	case reason == ReasonDistinctHosts, strings.HasPrefix(reason, relation.DistinctProperty+": "):
		return Distinct
	case strings.HasPrefix(reason, missingNetwork):
		return LacksNetwork
	}
	return Constrained
}

// lacking are the ask's drivers that a node does not have.
func (a *Ask) lacking(n *model.Node) []string {
	var out []string
	for _, d := range a.Drivers {
		if !hasDriver(n, d) {
			out = append(out, d)
		}
	}
	return out
}

// Scores are the best candidates with their scores, best first, and at the end a node
// that is asked for by name if it is a candidate and not among them.
func (s *Selector) Scores(nodeID string) []*model.NodeScoreMeta {
	out := s.top()
	for _, m := range out {
		if m.NodeID == nodeID {
			return out
		}
	}
	if row, ok := s.board.fleet.row(nodeID); ok && s.row(row).kind == kindFits {
		out = append(out, s.meta(row))
	}
	return out
}

// Meets tells whether a node satisfies a constraint on the node alone.
func Meets(c *model.Constraint, n *model.Node, region string) bool {
	return newPredicate(c).met(n, region)
}

// Room is what a node offers to tasks, and what is left of it.
type Room struct {
	Node        *model.Node
	Total, Free Amounts
}

// Rooms tells of every node, in no order that means anything.
func (f *Fleet) Rooms(visit func(Room)) {
	for row := range int32(f.rows()) {
		c, i := f.at(row)
		if c.info[i] == nil {
			continue
		}
		visit(Room{
			Node:  c.info[i].node,
			Total: Amounts{CPU: c.cpu[i], Memory: c.memory[i], Disk: c.disk[i]},
			Free:  Amounts{CPU: c.freeCPU[i], Memory: c.freeMemory[i], Disk: c.freeDisk[i]},
		})
	}
}

// Reason is why a node does not take the ask as the board is now, "" when it does.
func (k *Checker) Reason(nodeID string) string {
	row, ok := k.board.fleet.row(nodeID)
	if !ok {
		return reasonAbsent
	}
	switch v := k.row(row); v.kind {
	case kindFits:
		return ""
	case kindAbsent:
		return reasonAbsent
	default:
		return k.reasons[v.reason].text
	}
}
