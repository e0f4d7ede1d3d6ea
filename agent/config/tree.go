package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// A file is read as HCL 1, HCL 2 or JSON into a tree of items, and a body in the
// form that Config describes is built from that: existing configurations are
// HCL 1, which does not tell a block from an attribute.

// item is "key = value", or "key "label" { ... }".
type item struct {
	key    string
	place  hcl.Range // of the key
	labels []label
	block  bool // written without an equals sign
	value  *value
}

type label struct {
	text  string
	place hcl.Range
}

// value is a literal, a list or an object, in that order of precedence.
type value struct {
	place   hcl.Range
	literal cty.Value // cty.NilVal for the others
	list    []*value
	object  []*item
	isList  bool
}

// isObject tells whether the value is an object.
func (v *value) isObject() bool { return v.literal == cty.NilVal && !v.isList }

// objects are the objects that a value holds: itself, or those of a list; nil when
// it holds anything else.
func (v *value) objects() []*value {
	switch {
	case v.isObject():
		return []*value{v}
	case !v.isList:
		return nil
	}
	for _, e := range v.list {
		if !e.isObject() {
			return nil
		}
	}
	return v.list
}

// cty is the value as a literal. A key that comes twice has its last value.
func (v *value) cty() cty.Value {
	switch {
	case v.literal != cty.NilVal:
		return v.literal
	case v.isList:
		elems := make([]cty.Value, len(v.list))
		for i, e := range v.list {
			elems[i] = e.cty()
		}
		return cty.TupleVal(elems)
	}
	attrs := make(map[string]cty.Value, len(v.object))
	for _, it := range v.object {
		val := it.value.cty()
		for i := len(it.labels) - 1; i >= 0; i-- {
			val = cty.ObjectVal(map[string]cty.Value{it.labels[i].text: val})
		}
		attrs[it.key] = val
	}
	return cty.ObjectVal(attrs)
}
