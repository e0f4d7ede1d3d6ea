package jobdiff

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
)

// apart are the fields that are not compared: what servers set, what names the thing,
// and what is compared as groups and tasks.
var apart = map[string]string{
	"Job": `ID TaskGroups NomadTokenID Status StatusDescription Stable Version SubmitTime CreateIndex ModifyIndex
		JobModifyIndex VersionTag`,
	"TaskGroup":     "Name Tasks",
	"Task":          "Name",
	"ScalingPolicy": "ID Namespace Target CreateIndex ModifyIndex",
}

// walker compares by reflection: the model's types are the only list of fields.
type walker struct{ context bool }

func valueOf[T any](p *T) reflect.Value {
	if p == nil {
		return reflect.Value{}
	}
	return reflect.ValueOf(p).Elem()
}

// blocks compares two structs, of which one may be missing.
func (w walker) blocks(before, after reflect.Value) (fields []*Field, objects []*Object) {
	some := before
	if !some.IsValid() {
		some = after
	}
	if !some.IsValid() {
		return nil, nil
	}
	t := some.Type()
	left := strings.Fields(apart[t.Name()])
	for i := range t.NumField() {
		f := t.Field(i)
		if slices.Contains(left, f.Name) || !f.IsExported() {
			continue
		}
		c := comparison{walker: w}
		c.value(f.Name, member(before, i), member(after, i))
		fields, objects = append(fields, c.fields...), append(objects, c.objects...)
	}
	order(fields, objects)
	return fields, objects
}

func member(v reflect.Value, i int) reflect.Value {
	if !v.IsValid() {
		return v
	}
	return v.Field(i)
}

// comparison collects what one value comes to.
type comparison struct {
	walker
	fields  []*Field
	objects []*Object
}

func (c *comparison) value(name string, before, after reflect.Value) {
	before, after = reflect.Indirect(before), reflect.Indirect(after)
	some := before
	if !some.IsValid() {
		some = after
	}
	if !some.IsValid() {
		return
	}
	switch t := some.Type(); {
	case t == reflect.TypeFor[time.Time](), t.Kind() != reflect.Struct && t.Kind() != reflect.Map && t.Kind() != reflect.Slice, isBytes(t):
		c.field(name, text(before), text(after))
	case t.Kind() == reflect.Struct:
		c.object(name, before, after)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface:
		c.config(name, before, after)
	case t.Kind() == reflect.Map && isStruct(t.Elem()):
		c.labelled(name, before, after)
	case t.Kind() == reflect.Map:
		c.entries(name, before, after)
	case isStruct(t.Elem()):
		c.list(name, before, after)
	default:
		c.set(name, before, after)
	}
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}

// text is a plain value as shown; "" for one that says nothing.
func text(v reflect.Value) string {
	switch {
	case !v.IsValid() || v.IsZero() && v.Kind() != reflect.Bool && v.Kind() != reflect.Int:
		return ""
	case v.Type() == reflect.TypeFor[time.Duration]():
		return v.Interface().(time.Duration).String()
	case v.Kind() == reflect.Slice:
		return string(v.Bytes())
	case v.Kind() == reflect.Float64 || v.Kind() == reflect.Float32:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}

func (c *comparison) field(name, before, after string) {
	f := &Field{Type: kind(before != "", after != "", before != after), Name: name, Old: before, New: after}
	if before == after && (before == "" || !c.context) {
		return
	}
	c.fields = append(c.fields, f)
}

// object adds a block, unless nothing is to be told of it.
func (c *comparison) object(name string, before, after reflect.Value) {
	fields, objects := c.blocks(before, after)
	c.put(&Object{
		Type: kind(before.IsValid(), after.IsValid(), differ(fields, objects)), Name: name, Fields: fields, Objects: objects,
	})
}

func (c *comparison) put(o *Object) {
	empty := len(o.Fields) == 0 && len(o.Objects) == 0
	if o.Type == None && (!c.context || empty) {
		return
	}
	c.objects = append(c.objects, o)
}

// entries compares maps of plain values, such as meta and env: a field for each key.
func (c *comparison) entries(name string, before, after reflect.Value) {
	c.pairs(texts(before), texts(after), func(key string) string { return name + "[" + key + "]" })
}

// pairs adds a field for each key of two maps.
func (c *comparison) pairs(x, y map[string]string, name func(key string) string) {
	for key := range union(x, y) {
		old, had := x[key]
		now, has := y[key]
		if had && has && old == now && !c.context {
			continue
		}
		c.fields = append(c.fields, &Field{Type: kind(had, has, old != now), Name: name(key), Old: old, New: now})
	}
}

func texts(m reflect.Value) map[string]string {
	out := make(map[string]string)
	if m.IsValid() {
		for it := m.MapRange(); it.Next(); {
			out[it.Key().String()] = fmt.Sprint(it.Value().Interface())
		}
	}
	return out
}

func union[V any](x, y map[string]V) map[string]bool {
	keys := make(map[string]bool, len(x)+len(y))
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	return keys
}

// config compares free configuration: a block with a field for each leaf.
func (c *comparison) config(name string, before, after reflect.Value) {
	x, y := leaves(before), leaves(after)
	inner := comparison{walker: c.walker}
	inner.pairs(x, y, func(key string) string { return key })
	order(inner.fields, nil)
	c.put(&Object{Type: kind(len(x) > 0, len(y) > 0, differ(inner.fields, nil)), Name: name, Fields: inner.fields})
}

// leaves are the values in free configuration by their paths: args[0], port_map.http.
func leaves(m reflect.Value) map[string]string {
	out := make(map[string]string)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(strings.TrimPrefix(path+"."+k, "."), e)
			}
		case []any:
			for i, e := range v {
				walk(path+"["+strconv.Itoa(i)+"]", e)
			}
		case float64:
			out[path] = strconv.FormatFloat(v, 'f', -1, 64) // as the same number that came through the log
		default:
			out[path] = fmt.Sprint(v)
		}
	}
	if m.IsValid() {
		for it := m.MapRange(); it.Next(); {
			walk(it.Key().String(), it.Value().Interface())
		}
	}
	return out
}

// labelled compares maps of blocks by their keys.
func (c *comparison) labelled(name string, before, after reflect.Value) {
	x, y := blocksOf(before), blocksOf(after)
	for _, key := range slices.Sorted(maps.Keys(union(x, y))) {
		c.object(name+"["+key+"]", x[key], y[key])
	}
}

func blocksOf(m reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value)
	if m.IsValid() {
		for it := m.MapRange(); it.Next(); {
			out[it.Key().String()] = reflect.Indirect(it.Value())
		}
	}
	return out
}

// list compares lists of blocks: by label, or equal with equal.
func (c *comparison) list(name string, before, after reflect.Value) {
	x, y := elements(before), elements(after)
	name = strings.TrimSuffix(name, "s")
	if strings.HasSuffix(name, "ie") {
		name = strings.TrimSuffix(name, "ie") + "y"
	}
	for _, old := range x {
		i := slices.IndexFunc(y, func(now reflect.Value) bool { return c.same(old, now) })
		if i < 0 {
			c.object(name, old, reflect.Value{})
			continue
		}
		c.object(name, old, y[i])
		y = slices.Delete(y, i, i+1)
	}
	for _, now := range y {
		c.object(name, reflect.Value{}, now)
	}
}

func elements(v reflect.Value) []reflect.Value {
	var out []reflect.Value
	if v.IsValid() {
		for i := range v.Len() {
			out = append(out, reflect.Indirect(v.Index(i)))
		}
	}
	return out
}

// same tells whether two blocks of a list are to be compared with each other.
func (c *comparison) same(x, y reflect.Value) bool {
	label := model.LabelField(x.Type())
	if _, named := x.Type().FieldByName("Name"); label == "" && named {
		label = "Name"
	}
	if label != "" {
		return x.FieldByName(label).Interface() == y.FieldByName(label).Interface()
	}
	fields, objects := walker{}.blocks(x, y)
	return !differ(fields, objects)
}

// set compares lists of plain values in which the order does not matter.
func (c *comparison) set(name string, before, after reflect.Value) {
	x, y := counts(before), counts(after)
	inner := comparison{walker: c.walker}
	for key := range union(x, y) {
		had, has := x[key] > 0, y[key] > 0
		if had && has && !c.context {
			continue
		}
		f := &Field{Type: kind(had, has, false), Name: name}
		if had {
			f.Old = key
		}
		if has {
			f.New = key
		}
		inner.fields = append(inner.fields, f)
	}
	order(inner.fields, nil)
	c.put(&Object{Type: kind(len(x) > 0, len(y) > 0, differ(inner.fields, nil)), Name: name, Fields: inner.fields})
}

func counts(v reflect.Value) map[string]int {
	out := make(map[string]int)
	if v.IsValid() {
		for i := range v.Len() {
			out[fmt.Sprint(v.Index(i).Interface())]++
		}
	}
	return out
}
