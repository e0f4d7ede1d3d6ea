package tenants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// decode reads a JSON object into v, a pointer to a struct. Fields that v does not have
// may be there as long as they say nothing.
func decode(raw []byte, v any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return model.Errorf(model.CodeInvalid, "Request body is empty")
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return model.Errorf(model.CodeInvalid, "%v", err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return model.Errorf(model.CodeInvalid, "%v", err)
	}
	unknown := strangers(tree, reflect.TypeOf(v), "")
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return model.Errorf(model.CodeInvalid, "not supported by this version: %s: delete it", strings.Join(unknown, ", "))
}

// strangers are the paths of fields that a type does not have and that say something.
func strangers(v any, t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var out []string
	switch v := v.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for i, e := range v {
				out = append(out, strangers(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil // a map's keys are free
		}
		for key, e := range v {
			at := strings.TrimPrefix(path+"."+key, ".")
			f, ok := t.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, key) })
			if ok {
				out = append(out, strangers(e, f.Type, at)...)
			} else if says(e) {
				out = append(out, at)
			}
		}
	}
	return out
}

// says tells whether a value is more than empty.
func says(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return slices.ContainsFunc(v, says)
	case map[string]any:
		for _, e := range v {
			if says(e) {
				return true
			}
		}
	}
	return false
}
