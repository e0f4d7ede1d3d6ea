package jobspec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Bounds of evaluating one file. A job file is text from anybody, and its
// expressions can double themselves from line to line.
const (
	maxSteps     = 500_000  // evaluated expressions
	maxEvalBytes = 64 << 20 // sum of the results' sizes
	maxExponent  = 4096     // binary, of a number: printed, it has 1,300 digits
	maxNodes     = 200_000  // elements of one value, nested ones included
)

// evaluator evaluates expressions within the bounds. What refers neither to
// var nor to local nor to an iterator becomes text.
type evaluator struct {
	diags    *diagnostics
	warnings []string
	steps    int
	bytes    int
}

// value evaluates an expression; false means that the fault is recorded.
func (e *evaluator) value(expr hclsyntax.Expression, ctx *hcl.EvalContext) (cty.Value, bool) {
	before := len(e.diags.list)
	r := &rewriter{e: e, ctx: ctx}
	expr = r.rewrite(expr)
	if len(e.diags.list) > before {
		return cty.DynamicVal, false
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		e.diags.addHCL(diags)
		return cty.DynamicVal, false
	}
	v, _ = v.UnmarkDeep()
	switch {
	case !v.IsWhollyKnown():
		if !e.diags.failed() { // else it follows from a fault already told
			e.diags.add(expr.Range(), "", "the value is not known")
		}
		return cty.DynamicVal, false
	case nodes(v, maxNodes) > maxNodes:
		e.diags.add(expr.Range(), "", "the value has more than %d elements", maxNodes)
		return cty.DynamicVal, false
	}
	return v, true
}

func (e *evaluator) warn(at hcl.Range, format string, args ...any) {
	if len(e.warnings) < maxWarnings {
		place := at.Filename
		if at.Start.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", at.Filename, at.Start.Line, at.Start.Column)
		}
		if text := printable(place + ": " + fmt.Sprintf(format, args...)); !slices.Contains(e.warnings, text) {
			e.warnings = append(e.warnings, text)
		}
	}
}

// nodes counts the elements of a value, up to about most.
func nodes(v cty.Value, most int) int {
	if v.IsNull() || !v.CanIterateElements() {
		return 1
	}
	n := 1
	for it := v.ElementIterator(); it.Next() && n <= most; {
		_, e := it.Element()
		n += nodes(e, most-n)
	}
	return n
}

// metered is an expression whose result counts against the bounds.
type metered struct {
	hclsyntax.Expression
	e *evaluator
}

// Value evaluates the expression unless the bounds are reached.
func (m *metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	m.e.steps++
	if m.e.steps > maxSteps || m.e.bytes > maxEvalBytes {
		return cty.DynamicVal, m.fault("Too much to evaluate", "The file's expressions produce too much.")
	}
	v, diags := m.Expression.Value(ctx)
	plain, _ := v.Unmark()
	if plain.IsNull() || !plain.IsKnown() {
		return v, diags
	}
	switch t := plain.Type(); {
	case t == cty.String:
		m.e.bytes += len(plain.AsString())
	case t == cty.Number:
		if f := plain.AsBigFloat(); f.IsInf() || f.MantExp(nil) > maxExponent || f.MantExp(nil) < -maxExponent {
			return cty.DynamicVal, m.fault("Number out of range", "The number is too large or too small.")
		}
	case plain.CanIterateElements():
		m.e.bytes += 32 * plain.LengthInt()
	}
	return v, diags
}

func (m *metered) fault(summary, detail string) hcl.Diagnostics {
	at := m.Expression.Range()
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at}}
}

// rewriter prepares an expression: references that only the node can resolve
// become the text that the node will find, and every part is metered.
type rewriter struct {
	e         *evaluator
	ctx       *hcl.EvalContext
	bound     []string // variables of the for expressions around
	condition bool     // within a condition
}

func (r *rewriter) all(list []hclsyntax.Expression) {
	for i := range list {
		list[i] = r.rewrite(list[i])
	}
}

// rewrite returns the prepared expression. It changes the tree in place, which
// is harmless: doing it again changes nothing more.
func (r *rewriter) rewrite(expr hclsyntax.Expression) hclsyntax.Expression {
	switch x := expr.(type) {
	case nil:
		return nil
	case *metered, *hclsyntax.AnonSymbolExpr:
		return expr
	case *hclsyntax.LiteralValueExpr:
		if x.Val.Type() != cty.Number {
			return expr
		}
	case *hclsyntax.ScopeTraversalExpr:
		return r.reference(x)
	case *hclsyntax.TemplateExpr:
		r.all(x.Parts)
	case *hclsyntax.TemplateJoinExpr:
		x.Tuple = r.rewrite(x.Tuple)
	case *hclsyntax.TemplateWrapExpr:
		x.Wrapped = r.rewrite(x.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		x.Expression = r.rewrite(x.Expression)
	case *hclsyntax.RelativeTraversalExpr:
		x.Source = r.rewrite(x.Source)
	case *hclsyntax.FunctionCallExpr:
		r.call(x)
	case *hclsyntax.ConditionalExpr:
		x.Condition = r.conditional(x.Condition)
		x.TrueResult, x.FalseResult = r.rewrite(x.TrueResult), r.rewrite(x.FalseResult)
	case *hclsyntax.IndexExpr:
		x.Collection, x.Key = r.rewrite(x.Collection), r.rewrite(x.Key)
	case *hclsyntax.TupleConsExpr:
		r.all(x.Exprs)
	case *hclsyntax.ObjectConsExpr:
		for i, item := range x.Items {
			x.Items[i].KeyExpr, x.Items[i].ValueExpr = r.key(item.KeyExpr), r.rewrite(item.ValueExpr)
		}
	case *hclsyntax.ForExpr:
		r.loop(x)
	case *hclsyntax.SplatExpr:
		x.Source, x.Each = r.rewrite(x.Source), r.rewrite(x.Each)
	case *hclsyntax.BinaryOpExpr:
		x.LHS, x.RHS = r.rewrite(x.LHS), r.rewrite(x.RHS)
	case *hclsyntax.UnaryOpExpr:
		x.Val = r.rewrite(x.Val)
	}
	return &metered{Expression: expr, e: r.e}
}

func (r *rewriter) conditional(expr hclsyntax.Expression) hclsyntax.Expression {
	before := r.condition
	r.condition = true
	defer func() { r.condition = before }()
	return r.rewrite(expr)
}

// call prepares a function's arguments; convert's second one is a type.
func (r *rewriter) call(x *hclsyntax.FunctionCallExpr) {
	if x.Name == "convert" && len(x.Args) > 0 {
		x.Args[0] = r.rewrite(x.Args[0])
		return
	}
	r.all(x.Args)
}

// key prepares an object's key, where a bare word is a name and no reference.
func (r *rewriter) key(expr hclsyntax.Expression) hclsyntax.Expression {
	k, ok := expr.(*hclsyntax.ObjectConsKeyExpr)
	if !ok {
		return r.rewrite(expr)
	}
	if _, bare := k.Wrapped.(*hclsyntax.ScopeTraversalExpr); !bare || k.ForceNonLiteral {
		k.Wrapped = r.rewrite(k.Wrapped)
	}
	return k
}

func (r *rewriter) loop(x *hclsyntax.ForExpr) {
	x.CollExpr = r.rewrite(x.CollExpr)
	outer := r.bound
	r.bound = append(slices.Clone(outer), x.KeyVar, x.ValVar)
	x.KeyExpr, x.ValExpr = r.rewriteOptional(x.KeyExpr), r.rewrite(x.ValExpr)
	x.CondExpr = r.rewriteOptional(x.CondExpr)
	r.bound = outer
}

func (r *rewriter) rewriteOptional(x hclsyntax.Expression) hclsyntax.Expression {
	if x == nil {
		return nil
	}
	return r.rewrite(x)
}

func (r *rewriter) reference(x *hclsyntax.ScopeTraversalExpr) hclsyntax.Expression {
	root := x.Traversal.RootName()
	if slices.Contains(r.bound, root) {
		return &metered{Expression: x, e: r.e}
	}
	for ctx := r.ctx; ctx != nil; ctx = ctx.Parent() {
		if scope, ok := ctx.Variables[root]; ok {
			r.check(x, root, scope)
			return &metered{Expression: x, e: r.e}
		}
	}
	text := "${" + traversalText(x.Traversal) + "}"
	if r.condition {
		r.e.warn(x.SrcRange, "%s is known on the node only: the condition compares the text", text)
	} else if likely := misspelt[root]; likely != "" {
		r.e.warn(x.SrcRange, "%s is left as text for the node; did you mean %s?", text, likely)
	}
	return &hclsyntax.LiteralValueExpr{Val: cty.StringVal(text), SrcRange: x.SrcRange}
}

// misspelt are roots that look like the file's own.
var misspelt = map[string]string{"vars": "var", "variable": "var", "variables": "var", "locals": "local"}

// check tells of an unknown variable or local in our own words.
func (r *rewriter) check(x *hclsyntax.ScopeTraversalExpr, root string, scope cty.Value) {
	if root != "var" && root != "local" || len(x.Traversal) < 2 {
		return
	}
	step, ok := x.Traversal[1].(hcl.TraverseAttr)
	if !ok || !scope.Type().IsObjectType() || scope.Type().HasAttribute(step.Name) {
		return
	}
	names := make([]string, 0, len(scope.Type().AttributeTypes()))
	for name := range scope.Type().AttributeTypes() {
		names = append(names, name)
	}
	what := map[string]string{"var": "variable", "local": "local value"}[root]
	r.e.diags.add(x.SrcRange, suggestion(step.Name, names), "there is no %s %q", what, step.Name)
}

// suggestion is "did you mean "x"?" for the nearest of names, or "".
func suggestion(name string, names []string) string {
	const most = 3 // edits; more is another word
	best, distance := "", min(most, len(name)/2)+1
	slices.Sort(names)
	for _, n := range names {
		if d := levenshtein.Distance(name, n, nil); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + strconv.Quote(best) + "?"
}

// traversalText writes a reference as the node will read it.
func traversalText(t hcl.Traversal) string {
	var b strings.Builder
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			b.WriteString(s.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + s.Name)
		case hcl.TraverseIndex:
			b.WriteString("[" + indexText(s.Key) + "]")
		}
	}
	return b.String()
}

func indexText(key cty.Value) string {
	if key.Type() == cty.String {
		return strconv.Quote(key.AsString())
	}
	return key.AsBigFloat().Text('f', -1)
}
