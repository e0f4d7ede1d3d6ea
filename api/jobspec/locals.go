package jobspec

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// locals evaluates local values, which may refer to one another in any order.
type locals struct {
	*variables
	vars    cty.Value
	exprs   map[string]*hclsyntax.Attribute
	values  map[string]cty.Value
	pending []string // those being evaluated, to find cycles
}

// collect takes the arguments of a locals block.
func (l *locals) collect(b *hclsyntax.Block) {
	l.noBlocks(b)
	for _, name := range sortedByPosition(b.Body.Attributes) {
		a := b.Body.Attributes[name]
		if other, twice := l.exprs[name]; twice {
			l.diags.add(a.NameRange, "", "the local value %q is set twice, first in line %d", name, other.NameRange.Start.Line)
			continue
		}
		l.exprs[name] = a
	}
}

// evaluate returns the context of the job block: var and local.
func (l *locals) evaluate() *hcl.EvalContext {
	for _, name := range slices.Sorted(maps.Keys(l.exprs)) {
		l.need(name)
	}
	ctx := l.context()
	ctx.Variables = map[string]cty.Value{"var": l.vars, "local": cty.ObjectVal(l.values)}
	return ctx
}

// maxChain bounds how many local values may depend on one another in a row.
const maxChain = 1000

// need evaluates a local value after those it refers to.
func (l *locals) need(name string) {
	a, known := l.exprs[name]
	if _, done := l.values[name]; done || !known {
		return
	}
	if i := slices.Index(l.pending, name); i >= 0 || len(l.pending) > maxChain {
		l.diags.add(a.SrcRange, "", "the local value %q depends on itself", name)
		l.values[name] = cty.DynamicVal
		return
	}
	l.pending = append(l.pending, name)
	for _, t := range a.Expr.Variables() {
		if step, ok := second(t); ok && t.RootName() == "local" {
			l.need(step)
		}
	}
	l.pending = l.pending[:len(l.pending)-1]
	if _, cycle := l.values[name]; cycle {
		return
	}
	ctx := l.context()
	ctx.Variables = map[string]cty.Value{"var": l.vars, "local": cty.ObjectVal(l.values)}
	value, ok := l.value(a.Expr, ctx)
	if !ok {
		value = cty.DynamicVal
	}
	l.values[name] = value
}

// second is the name after the root of a reference.
func second(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	switch s := t[1].(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String {
			return s.Key.AsString(), true
		}
	}
	return "", false
}
