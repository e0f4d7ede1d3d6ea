package host

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"
)

// shapeBody changes body, in place, where a job file may say the same in two
// ways: a map where the schema has a list of maps (a block written once), and a
// list of maps where it has one map (blocks that HCL collected).
func shapeBody(spec hcldec.Spec, body map[string]any) {
	switch s := spec.(type) {
	case hcldec.ObjectSpec:
		for _, child := range s {
			shapeBody(child, body)
		}
	case hcldec.TupleSpec:
		for _, child := range s {
			shapeBody(child, body)
		}
	case *hcldec.DefaultSpec:
		shapeBody(s.Primary, body)
		shapeBody(s.Default, body)
	case *hcldec.AttrSpec:
		if v, ok := body[s.Name]; ok {
			body[s.Name] = shapeValue(s.Type, v)
		}
	case *hcldec.BlockSpec:
		shapeBlocks(s.Nested, body[s.TypeName])
	case *hcldec.BlockTupleSpec:
		shapeBlocks(s.Nested, body[s.TypeName])
	case *hcldec.BlockSetSpec:
		shapeBlocks(s.Nested, body[s.TypeName])
	}
}

// shapeBlocks visits one block or a list of them.
func shapeBlocks(nested hcldec.Spec, v any) {
	switch v := v.(type) {
	case map[string]any:
		shapeBody(nested, v)
	case []any:
		for _, element := range v {
			if m, ok := element.(map[string]any); ok {
				shapeBody(nested, m)
			}
		}
	}
}

func shapeValue(t cty.Type, v any) any {
	isMap := func(t cty.Type) bool { return t.IsMapType() || t.IsObjectType() }
	switch v := v.(type) {
	case map[string]any:
		if (t.IsListType() || t.IsSetType()) && isMap(t.ElementType()) {
			return []any{v}
		}
	case []any:
		if isMap(t) {
			if merged, ok := merge(v); ok {
				return merged
			}
		}
	}
	return v
}

// merge joins maps; not when one key comes twice or an element is no map.
func merge(list []any) (map[string]any, bool) {
	out := map[string]any{}
	for _, element := range list {
		m, ok := element.(map[string]any)
		if !ok {
			return nil, false
		}
		for k, v := range m {
			if _, twice := out[k]; twice {
				return nil, false
			}
			out[k] = v
		}
	}
	return out, true
}

// pathAt names the value or key of valid JSON that holds the byte at offset, as
// "ports[0].label"; "" when it is in the outermost object itself.
func pathAt(src []byte, offset int) string {
	decoder := json.NewDecoder(bytes.NewReader(src))
	type level struct {
		key   string
		index int
		array bool
		value bool // the next token of an object is a value
	}
	var stack []level
	path := func() string {
		out := ""
		for _, l := range stack {
			switch {
			case l.array:
				out += fmt.Sprintf("[%d]", l.index)
			case l.key != "" && out != "":
				out += "." + l.key
			default:
				out += l.key
			}
		}
		return out
	}
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		top := len(stack) - 1
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			if offset < int(decoder.InputOffset()) {
				stack[top].key = ""
				if stack[top].array {
					stack = stack[:top]
				}
				return path()
			}
			stack = stack[:top]
			top--
		} else if top >= 0 && !stack[top].array && !stack[top].value {
			stack[top].key, _ = token.(string)
			stack[top].value = true
			if offset < int(decoder.InputOffset()) {
				return path()
			}
			continue
		} else {
			if offset < int(decoder.InputOffset()) {
				return path()
			}
			if ok {
				stack = append(stack, level{array: delim == '['})
				continue
			}
		}
		if top >= 0 {
			stack[top].value = false
			stack[top].index++
		}
	}
}
