package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// field is one tagged field of a configuration type.
type field struct {
	kind   string       // attr, block
	typ    reflect.Type // of an attribute, or the block's struct
	many   bool         // any number of blocks
	labels int          // of a block
}

// fieldsOf describes a configuration type. A type that takes whatever comes has
// none, and free set.
func fieldsOf(t reflect.Type) (fields map[string]field, free bool) {
	fields = map[string]field{}
	for i := range t.NumField() {
		name, kind, _ := strings.Cut(t.Field(i).Tag.Get("hcl"), ",")
		typ := t.Field(i).Type
		switch kind {
		case "remain":
			free = true
		case "optional":
			fields[name] = field{kind: "attr", typ: typ}
		case "block":
			f := field{kind: "block", many: typ.Kind() == reflect.Slice}
			if f.many {
				typ = typ.Elem()
			}
			f.typ = typ.Elem()
			for j := range f.typ.NumField() {
				if strings.HasSuffix(f.typ.Field(j).Tag.Get("hcl"), ",label") {
					f.labels++
				}
			}
			fields[name] = f
		}
	}
	return fields, free
}

// builder makes a body in the form that a type describes.
type builder struct{ diags hcl.Diagnostics }

func (b *builder) body(items []*item, t reflect.Type, place hcl.Range) *hclsyntax.Body {
	out := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: place, EndRange: place}
	fields, free := fieldsOf(t)
	for i, it := range items {
		f, known := fields[it.key]
		switch {
		case free || !known:
			b.asWritten(out, it)
		case f.kind == "attr" && f.typ.Kind() == reflect.Map:
			b.table(out, it)
		case f.kind == "attr":
			if !it.block && len(it.labels) == 0 {
				it.value.literal = weak(it.value.literal, f.typ)
			}
			b.asWritten(out, it)
		case f.many || firstOf(items, i):
			b.blocks(out, items[i:], f)
		}
	}
	return out
}

// firstOf tells whether no earlier item has the key.
func firstOf(items []*item, i int) bool {
	for _, it := range items[:i] {
		if it.key == items[i].key {
			return false
		}
	}
	return true
}

// asWritten keeps an item what it was; what does not belong there is refused
// when the body is decoded.
func (b *builder) asWritten(out *hclsyntax.Body, it *item) {
	if it.block || len(it.labels) > 0 {
		inner := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: it.value.place, EndRange: it.value.place}
		for _, i := range it.value.object {
			b.asWritten(inner, i)
		}
		out.Blocks = append(out.Blocks, blockOf(it, it.labels, inner))
		return
	}
	if was := out.Attributes[it.key]; was != nil {
		place := it.place
		b.diags = append(b.diags, &hcl.Diagnostic{
			Severity: hcl.DiagError, Summary: "Attribute redefined", Subject: &place,
			Detail: fmt.Sprintf("The argument %q was already set at %s. Each argument may be set only once.", it.key, was.NameRange),
		})
		return
	}
	if it.value.literal != cty.NilVal && it.value.literal.IsNull() {
		return // JSON's word for not set
	}
	b.set(out, it, it.value.cty())
}

func (b *builder) set(out *hclsyntax.Body, it *item, v cty.Value) {
	out.Attributes[it.key] = &hclsyntax.Attribute{
		Name: it.key, NameRange: it.place, EqualsRange: it.place, SrcRange: hcl.RangeBetween(it.place, it.value.place),
		Expr: &hclsyntax.LiteralValueExpr{Val: v, SrcRange: it.value.place},
	}
}

func blockOf(it *item, labels []label, body *hclsyntax.Body) *hclsyntax.Block {
	out := &hclsyntax.Block{
		Type: it.key, TypeRange: it.place, Body: body, OpenBraceRange: it.value.place, CloseBraceRange: it.value.place,
	}
	for _, l := range labels {
		out.Labels, out.LabelRanges = append(out.Labels, l.text), append(out.LabelRanges, l.place)
	}
	return out
}

// table is an attribute whose value is a map, however it was written: as an
// object, a block, or several of these.
func (b *builder) table(out *hclsyntax.Body, it *item) {
	objects := it.value.objects()
	if objects == nil || len(it.labels) > 0 {
		b.asWritten(out, it)
		return
	}
	attrs := map[string]cty.Value{}
	if was := out.Attributes[it.key]; was != nil {
		if e, ok := was.Expr.(*hclsyntax.LiteralValueExpr); ok && e.Val.Type().IsObjectType() {
			attrs = e.Val.AsValueMap()
		}
	}
	if attrs == nil {
		attrs = map[string]cty.Value{}
	}
	for _, o := range objects {
		for _, i := range o.object {
			if v := i.value.cty(); len(i.labels) == 0 && !v.IsNull() {
				attrs[i.key] = v
			}
		}
	}
	b.set(out, it, cty.ObjectVal(attrs))
}

// blocks makes the blocks of the first item; of a kind that there is one of, all
// the items of that key together.
func (b *builder) blocks(out *hclsyntax.Body, items []*item, f field) {
	first := items[0]
	if f.many {
		b.labelled(out, first, first.labels, first.value, f)
		return
	}
	var inner []*item
	for _, it := range items {
		if it.key != first.key {
			continue
		}
		objects := it.value.objects()
		if objects == nil || len(it.labels) > 0 {
			b.asWritten(out, it)
			continue
		}
		for _, o := range objects {
			inner = over(inner, o.object, f.typ)
		}
	}
	if inner != nil || first.value.isObject() {
		out.Blocks = append(out.Blocks, blockOf(first, nil, b.body(inner, f.typ, first.value.place)))
	}
}

// over lays the items of a later block over those of earlier ones of its kind.
func over(items, later []*item, t reflect.Type) []*item {
	fields, _ := fieldsOf(t)
	single := func(it *item) bool {
		f := fields[it.key]
		return f.kind == "attr" && f.typ.Kind() != reflect.Map
	}
	replaced := map[string]bool{}
	for _, it := range later {
		replaced[it.key] = single(it)
	}
	out := make([]*item, 0, len(items)+len(later))
	for _, it := range items {
		if !replaced[it.key] {
			out = append(out, it)
		}
	}
	return append(out, later...)
}

// labelled makes the blocks of a value; labels that are missing are the keys of
// its objects.
func (b *builder) labelled(out *hclsyntax.Body, it *item, labels []label, v *value, f field) {
	objects := v.objects()
	if objects == nil {
		b.asWritten(out, it)
		return
	}
	for _, o := range objects {
		if len(labels) >= f.labels {
			out.Blocks = append(out.Blocks, blockOf(it, labels, b.body(o.object, f.typ, o.place)))
			continue
		}
		if it.block && len(labels) == 0 {
			b.asWritten(out, it) // a label was forgotten
			continue
		}
		for _, i := range o.object {
			next := append(append([]label{}, labels...), label{i.key, i.place})
			b.labelled(out, it, append(next, i.labels...), i.value, f)
		}
	}
}

// weak lets 0 and 1 stand for a bool, as HCL 1 does. Texts are converted later.
func weak(v cty.Value, t reflect.Type) cty.Value {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Bool || v == cty.NilVal || !v.IsKnown() || v.IsNull() {
		return v
	}
	switch {
	case v.Type() == cty.Number && v.RawEquals(cty.NumberIntVal(1)):
		return cty.True
	case v.Type() == cty.Number && v.RawEquals(cty.NumberIntVal(0)):
		return cty.False
	case v.Type() == cty.String && v.AsString() == "1":
		return cty.True
	case v.Type() == cty.String && v.AsString() == "0":
		return cty.False
	}
	return v
}
