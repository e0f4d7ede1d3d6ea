package config

import (
	"fmt"
	"math/big"
	"strings"

	hcl1 "github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// read parses a file: JSON by its ending, HCL 1, or HCL 2 when it is not that.
// When it is neither, the parser that came further knows better what is wrong.
func read(path string, src []byte) ([]*item, hcl.Diagnostics) {
	if strings.HasSuffix(path, ".json") {
		return readJSON(path, src)
	}
	items, old := readOld(path, src)
	if old == nil {
		return items, nil
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if !diags.HasErrors() {
		return readBody(file.Body.(*hclsyntax.Body))
	}
	for _, d := range diags {
		if strings.HasPrefix(d.Summary, "Unclosed") { // HCL 1 knows only that the file ended
			return nil, hcl.Diagnostics{d}
		}
	}
	if first := diags[0].Subject; first == nil || first.Start.Line < old.Subject.Start.Line {
		return nil, hcl.Diagnostics{old}
	}
	return nil, diags
}

func readJSON(path string, src []byte) ([]*item, hcl.Diagnostics) {
	file, diags := json.Parse(src, path)
	if diags.HasErrors() {
		return nil, diags
	}
	attrs, diags := file.Body.JustAttributes()
	var out []*item
	for name, a := range attrs {
		v, d := readExpr(a.Expr)
		diags = append(diags, d...)
		out = append(out, &item{key: name, place: a.NameRange, value: v})
	}
	return out, diags
}

// readBody reads HCL 2.
func readBody(body *hclsyntax.Body) ([]*item, hcl.Diagnostics) {
	var out []*item
	var diags hcl.Diagnostics
	for name, a := range body.Attributes {
		v, d := readExpr(a.Expr)
		diags = append(diags, d...)
		out = append(out, &item{key: name, place: a.NameRange, value: v})
	}
	for _, b := range body.Blocks {
		inner, d := readBody(b.Body)
		diags = append(diags, d...)
		it := &item{key: b.Type, place: b.TypeRange, block: true, value: &value{place: b.DefRange(), object: inner}}
		for i, l := range b.Labels {
			it.labels = append(it.labels, label{l, b.LabelRanges[i]})
		}
		out = append(out, it)
	}
	return out, diags
}

// readExpr reads a value of HCL 2 or JSON. It never returns nil.
func readExpr(e hcl.Expression) (*value, hcl.Diagnostics) {
	out := &value{place: e.Range()}
	var diags hcl.Diagnostics
	if pairs, d := hcl.ExprMap(e); !d.HasErrors() {
		for _, p := range pairs {
			k, d := p.Key.Value(nil)
			diags = append(diags, d...)
			v, d := readExpr(p.Value)
			diags = append(diags, d...)
			if k.IsKnown() && !k.IsNull() && k.Type() == cty.String {
				out.object = append(out.object, &item{key: k.AsString(), place: p.Key.Range(), value: v})
			}
		}
		return out, diags
	}
	if list, d := hcl.ExprList(e); !d.HasErrors() {
		out.isList = true
		for _, elem := range list {
			v, d := readExpr(elem)
			diags = append(diags, d...)
			out.list = append(out.list, v)
		}
		return out, diags
	}
	out.literal, diags = e.Value(nil)
	if diags.HasErrors() || out.literal == cty.NilVal {
		out.literal = cty.DynamicVal
	}
	return out, diags
}

// readOld reads HCL 1; fault is why it cannot.
func readOld(path string, src []byte) (items []*item, fault *hcl.Diagnostic) {
	defer func() {
		if r := recover(); r != nil { // the parser panics on some of what it does not understand
			items, fault = nil, oldFault(path, token.Pos{Line: 1, Column: 1}, fmt.Sprint(r))
		}
	}()
	file, err := hcl1.ParseBytes(src)
	if err != nil {
		if at, ok := err.(*parser.PosError); ok {
			return nil, oldFault(path, at.Pos, at.Err.Error())
		}
		return nil, oldFault(path, token.Pos{Line: 1, Column: 1}, err.Error())
	}
	r := &oldReader{path: path}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, oldFault(path, token.Pos{Line: 1, Column: 1}, "the file is not a list of attributes and blocks")
	}
	items = r.items(list)
	return items, r.fault
}

func oldFault(path string, at token.Pos, text string) *hcl.Diagnostic {
	place := hcl.Range{Filename: path, Start: oldPos(at), End: oldPos(at)}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid configuration syntax", Detail: text, Subject: &place}
}

func oldPos(p token.Pos) hcl.Pos {
	return hcl.Pos{Line: max(p.Line, 1), Column: max(p.Column, 1), Byte: p.Offset}
}

// oldReader turns the syntax tree of HCL 1 into items.
type oldReader struct {
	path  string
	fault *hcl.Diagnostic // the first
}

func (r *oldReader) place(at token.Pos, text string) hcl.Range {
	start := oldPos(at)
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	end := start
	end.Column += len(text)
	end.Byte += len(text)
	return hcl.Range{Filename: r.path, Start: start, End: end}
}

func (r *oldReader) items(list *ast.ObjectList) []*item {
	var out []*item
	for _, o := range list.Items {
		if len(o.Keys) == 0 {
			continue
		}
		key := o.Keys[0].Token
		it := &item{key: keyText(key), place: r.place(key.Pos, key.Text), block: !o.Assign.IsValid(), value: r.value(o.Val)}
		for _, k := range o.Keys[1:] {
			it.labels = append(it.labels, label{keyText(k.Token), r.place(k.Token.Pos, k.Token.Text)})
		}
		out = append(out, it)
	}
	return out
}

func keyText(t token.Token) string {
	if s, ok := t.Value().(string); ok {
		return s
	}
	return t.Text
}

func (r *oldReader) value(n ast.Node) *value {
	switch n := n.(type) {
	case *ast.ObjectType:
		return &value{place: r.place(n.Pos(), "{"), object: r.items(n.List)}
	case *ast.ListType:
		out := &value{place: r.place(n.Pos(), "["), isList: true}
		for _, e := range n.List {
			out.list = append(out.list, r.value(e))
		}
		return out
	case *ast.LiteralType:
		return &value{place: r.place(n.Pos(), n.Token.Text), literal: r.literal(n.Token)}
	}
	if r.fault == nil {
		r.fault = oldFault(r.path, n.Pos(), "not a value")
	}
	return &value{place: r.place(n.Pos(), ""), literal: cty.DynamicVal}
}

func (r *oldReader) literal(t token.Token) cty.Value {
	switch t.Type {
	case token.BOOL:
		return cty.BoolVal(t.Text == "true")
	case token.STRING, token.HEREDOC:
		if s, ok := t.Value().(string); ok {
			return cty.StringVal(s)
		}
	case token.NUMBER:
		if n, ok := new(big.Int).SetString(t.Text, 0); ok {
			return cty.NumberVal(new(big.Float).SetInt(n))
		}
	case token.FLOAT:
		if v, err := cty.ParseNumberVal(t.Text); err == nil {
			return v
		}
	}
	if r.fault == nil {
		r.fault = oldFault(r.path, t.Pos, fmt.Sprintf("%q is not a value", t.Text))
	}
	return cty.DynamicVal
}
