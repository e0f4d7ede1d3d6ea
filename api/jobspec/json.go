package jobspec

import (
	"encoding/json"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"

	"github.com/steppe-project/steppe/model"
)

// HCL-JSON says blocks and arguments alike as properties. It becomes the same
// syntax tree as HCL, by the schema, so that all that follows is one.

// jsonBody parses HCL-JSON. shape says of a body's properties which are blocks.
func (e *evaluator) jsonBody(src Source, shape *jsonShape) (*hclsyntax.Body, bool) {
	if at, deep := model.TooDeep(src.Data); deep || !json.Valid(src.Data) && rawDepth(src.Data) > model.MaxNesting {
		pos := positionAt(src.Data, at)
		e.diags.add(hcl.Range{Filename: src.Name, Start: pos, End: pos}, "", "the file nests deeper than %d levels", model.MaxNesting)
		return nil, false
	}
	file, diags := hcljson.Parse(src.Data, src.Name)
	if diags.HasErrors() {
		e.diags.addHCL(diags)
		return nil, false
	}
	attrs, diags := file.Body.JustAttributes()
	if diags.HasErrors() {
		e.diags.addHCL(diags)
		return nil, false
	}
	c := &jsonConverter{e: e}
	body := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: hcl.Range{Filename: src.Name, Start: hcl.InitialPos, End: hcl.InitialPos}}
	for _, name := range sortedAttributes(attrs) {
		c.property(body, name, attrs[name].Expr, attrs[name].NameRange, shape)
	}
	return body, true
}

// rawDepth is the deepest nesting of brackets, strings not regarded.
func rawDepth(data []byte) int {
	depth, deepest := 0, 0
	for _, c := range data {
		switch c {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

func sortedAttributes(attrs hcl.Attributes) []string {
	names := make([]string, 0, len(attrs))
	for n := range attrs {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return attrs[a].NameRange.Start.Byte - attrs[b].NameRange.Start.Byte })
	return names
}

// jsonShape is what the conversion needs of a schema.
type jsonShape struct {
	labels int
	blocks func(name string) *jsonShape // nil = an argument
}

func shapeOf(s *block) *jsonShape {
	labels := 0
	if s.label != "" {
		labels = 1
	}
	return &jsonShape{labels: labels, blocks: func(name string) *jsonShape {
		if name == "dynamic" {
			return dynamicShape(s)
		}
		if f := s.fields[name]; f != nil && f.kind.isBlock() {
			return shapeOf(f.block)
		}
		return nil
	}}
}

// dynamicShape is that of dynamic blocks within s. The label says whose body
// content is, which the conversion does not know yet: content may hold the
// blocks of any child.
func dynamicShape(s *block) *jsonShape {
	content := &jsonShape{blocks: func(name string) *jsonShape {
		for _, f := range s.fields {
			if f.kind.isBlock() {
				if inner := shapeOf(f.block).blocks(name); inner != nil {
					return inner
				}
			}
		}
		return nil
	}}
	return &jsonShape{labels: 1, blocks: func(name string) *jsonShape {
		if name == "content" {
			return content
		}
		return nil
	}}
}

var (
	noBlocks   = func(string) *jsonShape { return nil }
	plainShape = &jsonShape{blocks: noBlocks}
	fileShape  = &jsonShape{blocks: func(name string) *jsonShape {
		switch name {
		case "job":
			return shapeOf(jobBlock())
		case "variables", "locals":
			return plainShape
		case "variable":
			return &jsonShape{labels: 1, blocks: func(name string) *jsonShape {
				if name == "validation" {
					return plainShape
				}
				return nil
			}}
		}
		return nil
	}}
)

type jsonConverter struct{ e *evaluator }

func (c *jsonConverter) property(body *hclsyntax.Body, name string, expr hcl.Expression, nameAt hcl.Range, shape *jsonShape) {
	if name == "//" {
		return // a comment, by HCL's rules for JSON
	}
	if inner := shape.blocks(name); inner != nil {
		c.blocks(body, name, expr, nameAt, inner, nil, nil)
		return
	}
	if _, twice := body.Attributes[name]; twice {
		c.e.diags.add(nameAt, "", "the argument %q is set twice", name)
		return
	}
	x := c.expression(expr)
	if name == "type" || name == "iterator" {
		x = c.bare(expr, x)
	}
	body.Attributes[name] = &hclsyntax.Attribute{
		Name: name, Expr: x, SrcRange: hcl.RangeBetween(nameAt, expr.Range()), NameRange: nameAt, EqualsRange: nameAt,
	}
}

// bare reads an argument whose string is code: a type, an iterator's name.
func (c *jsonConverter) bare(expr hcl.Expression, otherwise hclsyntax.Expression) hclsyntax.Expression {
	v, diags := expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
		return otherwise
	}
	if !c.e.scan([]byte(v.AsString()), expr.Range().Filename, hclsyntax.LexExpression) {
		return otherwise
	}
	x, diags := hclsyntax.ParseExpression([]byte(v.AsString()), expr.Range().Filename, expr.Range().Start)
	if diags.HasErrors() {
		return otherwise
	}
	if _, isCall := x.(*hclsyntax.FunctionCallExpr); !isCall && hcl.ExprAsKeyword(x) == "" {
		return otherwise
	}
	return x
}

// blocks reads a property as one block or several, after its labels.
func (c *jsonConverter) blocks(body *hclsyntax.Body, name string, expr hcl.Expression, at hcl.Range, shape *jsonShape, labels []string, labelAt []hcl.Range) {
	if list, diags := hcl.ExprList(expr); !diags.HasErrors() {
		for _, e := range list {
			c.blocks(body, name, e, at, shape, labels, labelAt)
		}
		return
	}
	pairs, diags := hcl.ExprMap(expr)
	if diags.HasErrors() {
		c.e.diags.add(expr.Range(), "", "the block %q must be an object", name)
		return
	}
	block := &hclsyntax.Block{
		Type: name, Labels: labels, LabelRanges: labelAt, TypeRange: at, OpenBraceRange: expr.Range(), CloseBraceRange: expr.Range(),
		Body: &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: expr.Range(), EndRange: expr.Range()},
	}
	for _, pair := range pairs {
		key, diags := pair.Key.Value(nil)
		if diags.HasErrors() || key.Type() != cty.String {
			c.e.diags.addHCL(diags)
			continue
		}
		if len(labels) < shape.labels {
			c.blocks(body, name, pair.Value, at, shape, append(slices.Clone(labels), key.AsString()), append(slices.Clone(labelAt), pair.Key.Range()))
			continue
		}
		c.property(block.Body, key.AsString(), pair.Value, pair.Key.Range(), shape)
	}
	if len(labels) == shape.labels {
		body.Blocks = append(body.Blocks, block)
	}
}

// expression turns a JSON value into an expression; strings are templates.
func (c *jsonConverter) expression(expr hcl.Expression) hclsyntax.Expression {
	at := expr.Range()
	if list, diags := hcl.ExprList(expr); !diags.HasErrors() {
		out := &hclsyntax.TupleConsExpr{SrcRange: at, OpenRange: at}
		for _, e := range list {
			out.Exprs = append(out.Exprs, c.expression(e))
		}
		return out
	}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		out := &hclsyntax.ObjectConsExpr{SrcRange: at, OpenRange: at}
		for _, pair := range pairs {
			out.Items = append(out.Items, hclsyntax.ObjectConsItem{KeyExpr: c.expression(pair.Key), ValueExpr: c.expression(pair.Value)})
		}
		return out
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() {
		c.e.diags.addHCL(diags)
	}
	if v.IsNull() || v.Type() != cty.String || !v.IsKnown() {
		return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: at}
	}
	text := []byte(v.AsString())
	if !c.e.scan(text, at.Filename, hclsyntax.LexTemplate) {
		return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: at}
	}
	start := at.Start
	start.Byte, start.Column = start.Byte+1, start.Column+1 // after the quote
	x, diags := hclsyntax.ParseTemplate(text, at.Filename, start)
	c.e.diags.addHCL(diags)
	if x == nil {
		return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: at}
	}
	return x
}
