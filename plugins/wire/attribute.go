package wire

import (
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/shared"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// ToAttribute converts a typed value.
func ToAttribute(a plugins.Attribute) *shared.Attribute {
	out := &shared.Attribute{Unit: a.Unit}
	switch {
	case a.Float != nil:
		out.Value = &shared.Attribute_FloatVal{FloatVal: *a.Float}
	case a.Int != nil:
		out.Value = &shared.Attribute_IntVal{IntVal: *a.Int}
	case a.String != nil:
		out.Value = &shared.Attribute_StringVal{StringVal: *a.String}
	case a.Bool != nil:
		out.Value = &shared.Attribute_BoolVal{BoolVal: *a.Bool}
	}
	return out
}

// FromAttribute converts a typed value.
func FromAttribute(p *shared.Attribute) plugins.Attribute {
	out := plugins.Attribute{Unit: p.GetUnit()}
	switch v := p.GetValue().(type) {
	case *shared.Attribute_FloatVal:
		out.Float = &v.FloatVal
	case *shared.Attribute_IntVal:
		out.Int = &v.IntVal
	case *shared.Attribute_StringVal:
		out.String = &v.StringVal
	case *shared.Attribute_BoolVal:
		out.Bool = &v.BoolVal
	}
	return out
}

// ToStatObject converts a tree of statistics.
func ToStatObject(o *plugins.StatObject) *shared.StatObject {
	if o == nil {
		return nil
	}
	return &shared.StatObject{
		Nested:     eachValue(o.Nested, ToStatObject),
		Attributes: eachValue(o.Attributes, ToStatValue),
	}
}

// FromStatObject converts a tree of statistics.
func FromStatObject(p *shared.StatObject) *plugins.StatObject {
	if p == nil {
		return nil
	}
	return &plugins.StatObject{
		Nested:     eachValue(p.Nested, FromStatObject),
		Attributes: eachValue(p.Attributes, FromStatValue),
	}
}

// ToStatValue converts one statistic.
func ToStatValue(v *plugins.StatValue) *shared.StatValue {
	if v == nil {
		return nil
	}
	out := &shared.StatValue{Unit: v.Unit, Desc: v.Description}
	if v.Float != nil {
		out.FloatNumeratorVal = wrapperspb.Double(*v.Float)
	}
	if v.FloatDenominator != nil {
		out.FloatDenominatorVal = wrapperspb.Double(*v.FloatDenominator)
	}
	if v.Int != nil {
		out.IntNumeratorVal = wrapperspb.Int64(*v.Int)
	}
	if v.IntDenominator != nil {
		out.IntDenominatorVal = wrapperspb.Int64(*v.IntDenominator)
	}
	if v.String != nil {
		out.StringVal = wrapperspb.String(*v.String)
	}
	if v.Bool != nil {
		out.BoolVal = wrapperspb.Bool(*v.Bool)
	}
	return out
}

// FromStatValue converts one statistic.
func FromStatValue(p *shared.StatValue) *plugins.StatValue {
	if p == nil {
		return nil
	}
	out := &plugins.StatValue{Unit: p.Unit, Description: p.Desc}
	if p.FloatNumeratorVal != nil {
		out.Float = &p.FloatNumeratorVal.Value
	}
	if p.FloatDenominatorVal != nil {
		out.FloatDenominator = &p.FloatDenominatorVal.Value
	}
	if p.IntNumeratorVal != nil {
		out.Int = &p.IntNumeratorVal.Value
	}
	if p.IntDenominatorVal != nil {
		out.IntDenominator = &p.IntDenominatorVal.Value
	}
	if p.StringVal != nil {
		out.String = &p.StringVal.Value
	}
	if p.BoolVal != nil {
		out.Bool = &p.BoolVal.Value
	}
	return out
}
