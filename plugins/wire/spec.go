package wire

import (
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/hclspec"
)

// ToSpec converts a configuration schema; a Spec with no field set becomes an
// empty message, which reads as nil on the other side.
func ToSpec(s *plugins.Spec) *hclspec.Spec {
	if s == nil {
		return nil
	}
	switch {
	case s.Object != nil:
		return &hclspec.Spec{Block: &hclspec.Spec_Object{Object: &hclspec.Object{Attributes: eachValue(s.Object, ToSpec)}}}
	case s.Array != nil:
		return &hclspec.Spec{Block: &hclspec.Spec_Array{Array: &hclspec.Array{Values: each(s.Array, ToSpec)}}}
	case s.Attr != nil:
		a := &hclspec.Attr{Name: s.Attr.Name, Type: s.Attr.Type, Required: s.Attr.Required}
		return &hclspec.Spec{Block: &hclspec.Spec_Attr{Attr: a}}
	case s.BlockAttrs != nil:
		a := s.BlockAttrs
		return &hclspec.Spec{Block: &hclspec.Spec_BlockAttrs{BlockAttrs: &hclspec.BlockAttrs{Name: a.Name, Type: a.Type, Required: a.Required}}}
	case s.Default != nil:
		d := &hclspec.Default{Primary: ToSpec(s.Default.Primary), Default: ToSpec(s.Default.Default)}
		return &hclspec.Spec{Block: &hclspec.Spec_Default{Default: d}}
	case s.Literal != nil:
		return &hclspec.Spec{Block: &hclspec.Spec_Literal{Literal: &hclspec.Literal{Value: *s.Literal}}}
	}
	return toBlockSpec(s)
}

func toBlockSpec(s *plugins.Spec) *hclspec.Spec {
	switch {
	case s.Block != nil:
		b := s.Block
		return &hclspec.Spec{Block: &hclspec.Spec_BlockValue{BlockValue: &hclspec.Block{Name: b.Name, Required: b.Required, Nested: ToSpec(b.Nested)}}}
	case s.BlockList != nil:
		b := s.BlockList
		return &hclspec.Spec{Block: &hclspec.Spec_BlockList{BlockList: &hclspec.BlockList{Name: b.Name, MinItems: b.Min, MaxItems: b.Max, Nested: ToSpec(b.Nested)}}}
	case s.BlockSet != nil:
		b := s.BlockSet
		return &hclspec.Spec{Block: &hclspec.Spec_BlockSet{BlockSet: &hclspec.BlockSet{Name: b.Name, MinItems: b.Min, MaxItems: b.Max, Nested: ToSpec(b.Nested)}}}
	case s.BlockMap != nil:
		b := s.BlockMap
		return &hclspec.Spec{Block: &hclspec.Spec_BlockMap{BlockMap: &hclspec.BlockMap{Name: b.Name, Labels: b.Labels, Nested: ToSpec(b.Nested)}}}
	}
	return &hclspec.Spec{}
}

// FromSpec converts a configuration schema. A message without a kind gives nil,
// except an object without attributes, which gives an empty, non-nil Object: it
// accepts a configuration, of no attributes.
func FromSpec(p *hclspec.Spec) *plugins.Spec {
	switch b := p.GetBlock().(type) {
	case *hclspec.Spec_Object:
		attrs := eachValue(b.Object.GetAttributes(), FromSpec)
		if attrs == nil {
			attrs = map[string]*plugins.Spec{}
		}
		return &plugins.Spec{Object: attrs}
	case *hclspec.Spec_Array:
		values := each(b.Array.GetValues(), FromSpec)
		if values == nil {
			values = []*plugins.Spec{}
		}
		return &plugins.Spec{Array: values}
	case *hclspec.Spec_Attr:
		return &plugins.Spec{Attr: &plugins.AttrSpec{Name: b.Attr.GetName(), Type: b.Attr.GetType(), Required: b.Attr.GetRequired()}}
	case *hclspec.Spec_BlockAttrs:
		a := b.BlockAttrs
		return &plugins.Spec{BlockAttrs: &plugins.AttrSpec{Name: a.GetName(), Type: a.GetType(), Required: a.GetRequired()}}
	case *hclspec.Spec_Default:
		return &plugins.Spec{Default: &plugins.DefaultSpec{Primary: FromSpec(b.Default.GetPrimary()), Default: FromSpec(b.Default.GetDefault())}}
	case *hclspec.Spec_Literal:
		value := b.Literal.GetValue()
		return &plugins.Spec{Literal: &value}
	}
	return fromBlockSpec(p)
}

func fromBlockSpec(p *hclspec.Spec) *plugins.Spec {
	switch b := p.GetBlock().(type) {
	case *hclspec.Spec_BlockValue:
		v := b.BlockValue
		return &plugins.Spec{Block: &plugins.BlockSpec{Name: v.GetName(), Required: v.GetRequired(), Nested: FromSpec(v.GetNested())}}
	case *hclspec.Spec_BlockList:
		v := b.BlockList
		return &plugins.Spec{BlockList: &plugins.BlockSpec{Name: v.GetName(), Min: v.GetMinItems(), Max: v.GetMaxItems(), Nested: FromSpec(v.GetNested())}}
	case *hclspec.Spec_BlockSet:
		v := b.BlockSet
		return &plugins.Spec{BlockSet: &plugins.BlockSpec{Name: v.GetName(), Min: v.GetMinItems(), Max: v.GetMaxItems(), Nested: FromSpec(v.GetNested())}}
	case *hclspec.Spec_BlockMap:
		v := b.BlockMap
		return &plugins.Spec{BlockMap: &plugins.BlockSpec{Name: v.GetName(), Labels: filled(v.GetLabels()), Nested: FromSpec(v.GetNested())}}
	}
	return nil
}
