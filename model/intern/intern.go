// Package intern makes what nodes have in common one in memory. A fleet of ten
// thousand says the same hundred attributes ten thousand times; every server
// keeps all of them. Pure: a node means the same before and after.
//
// Contract: maps that others may hold are not written, but replaced.
//
// Example:
//
//	node := *registered
//	intern.Node(&node)
package intern

import (
	"maps"
	"unique"

	"github.com/steppe-project/steppe/model"
)

// Node replaces n's attributes and meta by equal maps of shared strings.
func Node(n *model.Node) {
	n.Attributes, n.Meta = shared(n.Attributes), shared(n.Meta)
	n.Datacenter, n.NodePool, n.NodeClass, n.ComputedClass = one(n.Datacenter), one(n.NodePool), one(n.NodeClass), one(n.ComputedClass)
}

// Like does the same for a node of which there is one like it already, such as
// the same node as it registered before: maps that are equal become one.
func Like(n, other *model.Node) {
	n.Attributes, n.Meta = same(n.Attributes, other.Attributes), same(n.Meta, other.Meta)
}

func same(m, other map[string]string) map[string]string {
	if (m == nil) == (other == nil) && maps.Equal(m, other) {
		return other
	}
	return shared(m)
}

func shared(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[one(k)] = one(v)
	}
	return out
}

// one is the string that stands for all equal ones; the runtime forgets it when
// nobody holds it any more.
func one(s string) string { return unique.Make(s).Value() }
