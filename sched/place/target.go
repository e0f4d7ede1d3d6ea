package place

import (
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/class"
)

// operand is one side of a constraint: literal text with ${...} references.
type operand struct {
	parts   []part
	escaped bool // names something that tells single nodes apart
}

type part struct {
	literal string
	target  string // without ${}; "" for a literal
}

// parseOperand splits a text at its references. An unclosed one is literal.
func parseOperand(text string) operand {
	var o operand
	for text != "" {
		start := strings.Index(text, "${")
		end := -1
		if start >= 0 {
			end = strings.IndexByte(text[start:], '}')
		}
		if end < 0 {
			o.parts = append(o.parts, part{literal: text})
			break
		}
		if start > 0 {
			o.parts = append(o.parts, part{literal: text[:start]})
		}
		target := strings.TrimSpace(text[start+2 : start+end])
		o.parts = append(o.parts, part{target: target})
		o.escaped = o.escaped || isUnique(target)
		text = text[start+end+1:]
	}
	return o
}

// isUnique tells whether a target names something outside the computed class.
func isUnique(target string) bool {
	for _, scope := range []string{"node.", "attr.", "meta."} {
		if rest, ok := strings.CutPrefix(target, scope); ok {
			return strings.HasPrefix(rest, class.UniquePrefix)
		}
	}
	return false
}

// constant returns the text of an operand without references.
func (o operand) constant() (string, bool) {
	switch {
	case len(o.parts) == 0:
		return "", true
	case len(o.parts) == 1 && o.parts[0].target == "":
		return o.parts[0].literal, true
	}
	return "", false
}

// resolve returns the operand's value on a node; false when a reference names
// something that the node does not have.
func (o operand) resolve(n *model.Node, region string) (string, bool) {
	if len(o.parts) == 1 {
		return o.parts[0].resolve(n, region)
	}
	var b strings.Builder
	for _, p := range o.parts {
		s, ok := p.resolve(n, region)
		if !ok {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

func (p part) resolve(n *model.Node, region string) (string, bool) {
	switch p.target {
	case "":
		return p.literal, true
	case "node.unique.id":
		return n.ID, true
	case "node.unique.name":
		return n.Name, true
	case "node.datacenter":
		return n.Datacenter, true
	case "node.class":
		return n.NodeClass, true
	case "node.pool":
		return n.NodePool, true
	case "node.region":
		return region, true
	}
	if key, ok := strings.CutPrefix(p.target, "attr."); ok {
		v, ok := n.Attributes[key]
		return v, ok
	}
	if key, ok := strings.CutPrefix(p.target, "meta."); ok {
		v, ok := n.Meta[key]
		return v, ok
	}
	return "", false
}
