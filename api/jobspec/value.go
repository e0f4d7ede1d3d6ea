package jobspec

import (
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// plainValue turns the value of an argument into what the tree for
// model.BuildJob holds; nil means that the argument is not set.
func plainValue(v cty.Value, f *field) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	switch f.kind {
	case kindString:
		return asString(v)
	case kindBool:
		c, err := convert.Convert(v, cty.Bool)
		if err != nil || c.IsNull() {
			return nil, fmt.Errorf("must be true or false, not %s", shown(v))
		}
		return c.True(), nil
	case kindInt, kindUint:
		return asInteger(v, f)
	case kindDuration:
		return asDuration(v)
	case kindStrings:
		return asList(v, "strings", func(e cty.Value) (any, error) { return asString(e) })
	case kindNumbers:
		return asList(v, "numbers", func(e cty.Value) (any, error) { return asInteger(e, f) })
	case kindStringMap:
		return asMap(v, func(e cty.Value) (any, error) { return asString(e) })
	case kindStringsMap:
		return asMap(v, func(e cty.Value) (any, error) {
			return asList(e, "strings", func(e cty.Value) (any, error) { return asString(e) })
		})
	case kindAnyMap:
		return asMap(v, nestedSchemaless)
	}
	return nil, fmt.Errorf("is a block and takes no value")
}

func asString(v cty.Value) (any, error) {
	c, err := convert.Convert(v, cty.String)
	if err != nil || c.IsNull() {
		return nil, fmt.Errorf("must be a string, not %s", shown(v))
	}
	return c.AsString(), nil
}

func asInteger(v cty.Value, f *field) (any, error) {
	c, err := convert.Convert(v, cty.Number)
	if err != nil || c.IsNull() {
		return nil, fmt.Errorf("must be a whole number, not %s", shown(v))
	}
	n := c.AsBigFloat()
	if !n.IsInt() {
		return nil, fmt.Errorf("must be a whole number, not %s", shown(c))
	}
	i, accuracy := n.Int64()
	least := int64(-1) << (f.bits - 1)
	if f.kind == kindUint {
		least = 0
	}
	outOfBits := f.bits < 64 && (i >= int64(1)<<(f.bits-1) && f.kind != kindUint || i >= int64(1)<<f.bits)
	if accuracy != big.Exact || i < least || outOfBits {
		return nil, fmt.Errorf("%s is out of range", shown(c))
	}
	return i, nil
}

// asDuration reads "1m30s", or a number of nanoseconds.
func asDuration(v cty.Value) (any, error) {
	if v.Type() == cty.Number {
		return asInteger(v, &field{kind: kindInt, bits: 64})
	}
	if v.Type() != cty.String {
		return nil, fmt.Errorf("must be a duration such as \"30s\", not %s", shown(v))
	}
	d, err := time.ParseDuration(v.AsString())
	if err != nil {
		return nil, fmt.Errorf("must be a duration such as \"30s\" or \"1h30m\", not %s", shown(v))
	}
	return int64(d), nil
}

func asList(v cty.Value, of string, element func(cty.Value) (any, error)) (any, error) {
	if t := v.Type(); !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		return nil, fmt.Errorf("must be a list of %s, not %s", of, shown(v))
	}
	out := make([]any, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		p, err := element(e)
		if err != nil {
			return nil, fmt.Errorf("element %d %w", len(out), err)
		}
		out = append(out, p)
	}
	return out, nil
}

func asMap(v cty.Value, element func(cty.Value) (any, error)) (any, error) {
	if t := v.Type(); !t.IsObjectType() && !t.IsMapType() {
		return nil, fmt.Errorf("must be a map, not %s", shown(v))
	}
	out := make(map[string]any, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if e.IsNull() {
			continue // null means "not set" in HCL
		}
		p, err := element(e)
		if err != nil {
			return nil, fmt.Errorf("%s %w", strconv.Quote(k.AsString()), err)
		}
		out[k.AsString()] = p
	}
	return out, nil
}

// schemaless turns any value into strings, bools, int64, float64, lists and
// maps. A map within a map becomes a list of one map: existing drivers expect
// the same of config { auth { ... } } and config { auth = { ... } }.
func schemaless(v cty.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		return schemalessNumber(v)
	case t.IsMapType() || t.IsObjectType():
		return asMap(v, nestedSchemaless)
	case v.CanIterateElements():
		return asList(v, "values", schemaless)
	}
	return nil, fmt.Errorf("cannot be a %s", v.Type().FriendlyName())
}

func nestedSchemaless(v cty.Value) (any, error) {
	plain, err := schemaless(v)
	if m, ok := plain.(map[string]any); ok && err == nil {
		return []any{m}, nil
	}
	return plain, err
}

func schemalessNumber(v cty.Value) (any, error) {
	n := v.AsBigFloat()
	if i, accuracy := n.Int64(); accuracy == big.Exact {
		return i, nil
	}
	if n.IsInt() {
		return nil, fmt.Errorf("%s does not fit in 64 bits; write it as a string", shown(v))
	}
	f, _ := n.Float64()
	return f, nil
}

// shown is a value of a wrong type, briefly.
func shown(v cty.Value) string {
	const most = 40
	if v.IsNull() {
		return "null"
	}
	switch v.Type() {
	case cty.String:
		if r := []rune(v.AsString()); len(r) > most {
			return strconv.Quote(string(r[:most]) + "…")
		}
		return strconv.Quote(v.AsString())
	case cty.Number:
		return v.AsBigFloat().Text('g', 20)
	case cty.Bool:
		return strconv.FormatBool(v.True())
	}
	return "a " + v.Type().FriendlyName()
}
