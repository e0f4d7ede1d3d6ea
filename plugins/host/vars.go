package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// maxTypoDistance is how many letters may differ for a suggestion.
const maxTypoDistance = 3

// scope is one level of the variables that a configuration uses.
type scope struct {
	value  cty.Value
	nested map[string]*scope
}

// evalContext has the variables that traversals name, and no others, so that a
// start costs what its configuration uses; and a problem for each that vars has
// not. src is the JSON that the traversals are in.
func evalContext(traversals []hcl.Traversal, vars map[string]string, src []byte) (*hcl.EvalContext, []Problem) {
	root := &scope{nested: map[string]*scope{}}
	var problems []Problem
	complain := func(t hcl.Traversal, format string, args ...any) {
		p := Problem{Path: pathAt(src, t.SourceRange().Start.Byte), Message: fmt.Sprintf(format, args...)}
		if !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	for _, t := range traversals {
		path, ok := segments(t)
		name := strings.Join(path, ".")
		value, found := lookup(path, vars)
		switch {
		case !ok || !found:
			complain(t, "there is no variable %q%s; to pass ${%s} on as it is, write $${%s}", name, suggestion(name, vars), name, name)
		case !root.set(path, value):
			complain(t, "the variable %q cannot be used beside another whose name begins with it", name)
		}
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: functions}
	for name, s := range root.nested {
		ctx.Variables[name] = s.cty()
	}
	return ctx, problems
}

// segments are a traversal's names; not ok when it holds more than names.
func segments(t hcl.Traversal) (path []string, ok bool) {
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			path = append(path, step.Name)
		case hcl.TraverseAttr:
			path = append(path, step.Name)
		case hcl.TraverseIndex:
			if step.Key.Type() != cty.String || step.Key.IsNull() {
				return path, false
			}
			path = append(path, step.Key.AsString())
		default:
			return path, false
		}
	}
	return path, len(path) > 0
}

// lookup tries the spellings of a name: a.b.c, a["b"], a[b].
func lookup(path []string, vars map[string]string) (string, bool) {
	if v, ok := vars[strings.Join(path, ".")]; ok {
		return v, true
	}
	if len(path) < 2 {
		return "", false
	}
	rest := strings.Join(path[1:], ".")
	for _, form := range []string{`%s["%s"]`, `%s[%s]`} {
		if v, ok := vars[fmt.Sprintf(form, path[0], rest)]; ok {
			return v, true
		}
	}
	return "", false
}

// set puts value at path; not ok when a part of path already is a value, or path
// already leads on.
func (s *scope) set(path []string, value string) bool {
	for _, name := range path {
		if s.nested == nil {
			if s.value != cty.NilVal {
				return false
			}
			s.nested = map[string]*scope{}
		}
		next := s.nested[name]
		if next == nil {
			next = &scope{}
			s.nested[name] = next
		}
		s = next
	}
	if s.nested != nil {
		return false
	}
	s.value = cty.StringVal(value)
	return true
}

func (s *scope) cty() cty.Value {
	if s.nested == nil {
		if s.value == cty.NilVal {
			return cty.EmptyObjectVal
		}
		return s.value
	}
	object := make(map[string]cty.Value, len(s.nested))
	for name, n := range s.nested {
		object[name] = n.cty()
	}
	return cty.ObjectVal(object)
}

// suggestion is `, did you mean "x"?` for the nearest known name, or nothing.
func suggestion(name string, vars map[string]string) string {
	best, distance := "", maxTypoDistance+1
	for known := range vars {
		d := levenshtein.Distance(name, known, levenshtein.NewParams().MaxCost(distance))
		if d < distance || d == distance && d <= maxTypoDistance && known < best {
			best, distance = known, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}
