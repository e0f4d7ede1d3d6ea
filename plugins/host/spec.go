package host

import (
	"fmt"
	"math"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/steppe-project/steppe/plugins"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// maxSpecDepth bounds a schema's nesting: real ones have at most five levels,
// and a plugin's schema is foreign input to a recursive walk.
const maxSpecDepth = 50

// functions may be used in the literals of a schema and in templates.
var functions = map[string]function.Function{
	"abs":        stdlib.AbsoluteFunc,
	"coalesce":   stdlib.CoalesceFunc,
	"concat":     stdlib.ConcatFunc,
	"hasindex":   stdlib.HasIndexFunc,
	"int":        stdlib.IntFunc,
	"jsondecode": stdlib.JSONDecodeFunc,
	"jsonencode": stdlib.JSONEncodeFunc,
	"length":     stdlib.LengthFunc,
	"lower":      stdlib.LowerFunc,
	"max":        stdlib.MaxFunc,
	"min":        stdlib.MinFunc,
	"reverse":    stdlib.ReverseFunc,
	"strlen":     stdlib.StrlenFunc,
	"substr":     stdlib.SubstrFunc,
	"upper":      stdlib.UpperFunc,
}

// SpecToHCLDec turns a plugin's schema into the form that hcldec decodes with.
// An error tells what in the schema is not usable, and where.
func SpecToHCLDec(s *plugins.Spec) (hcldec.Spec, error) {
	return convertSpec(s, "", 0)
}

// convertSpec converts s; name is the one that an enclosing object gives it, for
// attributes and blocks that do not name themselves.
func convertSpec(s *plugins.Spec, name string, depth int) (hcldec.Spec, error) {
	if depth > maxSpecDepth {
		return nil, fmt.Errorf("schema is nested deeper than %d levels", maxSpecDepth)
	}
	if s == nil {
		return nil, fmt.Errorf("schema of %q is empty", name)
	}
	switch {
	case s.Object != nil:
		return convertObject(s.Object, depth)
	case s.Array != nil:
		tuple := make(hcldec.TupleSpec, 0, len(s.Array))
		for _, v := range s.Array {
			element, err := convertSpec(v, "", depth+1)
			if err != nil {
				return nil, err
			}
			tuple = append(tuple, element)
		}
		return tuple, nil
	case s.Attr != nil:
		return convertAttr(s.Attr, name)
	case s.BlockAttrs != nil:
		a := s.BlockAttrs
		t, err := parseType(a.Type)
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", named(a.Name, name), err)
		}
		return &hcldec.BlockAttrsSpec{TypeName: named(a.Name, name), ElementType: t, Required: a.Required}, nil
	case s.Default != nil:
		return convertDefault(s.Default, name, depth)
	case s.Literal != nil:
		return convertLiteral(*s.Literal)
	}
	return convertBlocks(s, name, depth)
}

func named(own, given string) string {
	if own != "" {
		return own
	}
	return given
}

func convertObject(attributes map[string]*plugins.Spec, depth int) (hcldec.Spec, error) {
	object := make(hcldec.ObjectSpec, len(attributes))
	for key, v := range attributes {
		spec, err := convertSpec(v, key, depth+1)
		if err != nil {
			return nil, err
		}
		object[key] = spec
	}
	return object, nil
}

func convertAttr(a *plugins.AttrSpec, name string) (hcldec.Spec, error) {
	t, err := parseType(a.Type)
	if err != nil {
		return nil, fmt.Errorf("attribute %q: %w", named(a.Name, name), err)
	}
	return &hcldec.AttrSpec{Name: named(a.Name, name), Type: t, Required: a.Required}, nil
}

func convertDefault(d *plugins.DefaultSpec, name string, depth int) (hcldec.Spec, error) {
	primary, err := convertSpec(d.Primary, name, depth+1)
	if err != nil {
		return nil, err
	}
	fallback, err := convertSpec(d.Default, name, depth+1)
	if err != nil {
		return nil, err
	}
	return &hcldec.DefaultSpec{Primary: primary, Default: fallback}, nil
}

// convertLiteral evaluates an expression without variables.
func convertLiteral(text string) (hcldec.Spec, error) {
	expr, err := parseExpression("literal", text)
	if err != nil {
		return nil, err
	}
	value, diags := expr.Value(&hcl.EvalContext{Functions: functions})
	if diags.HasErrors() {
		return nil, fmt.Errorf("literal %q: %w", text, diags)
	}
	if !value.IsWhollyKnown() {
		return nil, fmt.Errorf("literal %q has no value", text)
	}
	return &hcldec.LiteralSpec{Value: value}, nil
}

// convertBlocks converts the kinds of nested blocks. Lists and maps become
// tuples and objects: on the wire these are the same, and they allow blocks
// whose attributes are of "any" type to differ.
func convertBlocks(s *plugins.Spec, name string, depth int) (hcldec.Spec, error) {
	b := s.Block
	for _, other := range []*plugins.BlockSpec{s.BlockList, s.BlockSet, s.BlockMap} {
		if b == nil {
			b = other
		}
	}
	if b == nil {
		return nil, fmt.Errorf("schema of %q is of no known kind", name)
	}
	own := named(b.Name, name)
	nested, err := convertSpec(b.Nested, "", depth+1)
	if err != nil {
		return nil, fmt.Errorf("block %q: %w", own, err)
	}
	if b.Min > math.MaxInt32 || b.Max > math.MaxInt32 {
		return nil, fmt.Errorf("block %q: impossible number of items", own)
	}
	low, high := int(b.Min), int(b.Max)
	switch {
	case s.Block != nil:
		return &hcldec.BlockSpec{TypeName: own, Nested: nested, Required: b.Required}, nil
	case s.BlockMap != nil:
		if len(b.Labels) == 0 {
			return nil, fmt.Errorf("block %q: a map of blocks needs labels", own)
		}
		return &hcldec.BlockObjectSpec{TypeName: own, LabelNames: b.Labels, Nested: nested}, nil
	case s.BlockSet != nil && !hcldec.ImpliedType(nested).HasDynamicTypes():
		return &hcldec.BlockSetSpec{TypeName: own, Nested: nested, MinItems: low, MaxItems: high}, nil
	}
	return &hcldec.BlockTupleSpec{TypeName: own, Nested: nested, MinItems: low, MaxItems: high}, nil
}

// parseType reads a type expression; none means any.
func parseType(text string) (cty.Type, error) {
	if text == "" {
		return cty.DynamicPseudoType, nil
	}
	expr, err := parseExpression("type", text)
	if err != nil {
		return cty.NilType, err
	}
	t, diags := typeexpr.TypeConstraint(expr)
	if diags.HasErrors() {
		return cty.NilType, fmt.Errorf("type %q: %w", text, diags)
	}
	return t, nil
}
