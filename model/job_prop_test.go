package model

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fill sets every field below v from rapid: strings short, pointers, slices
// and maps mostly present, schema-less values of all kinds that JSON has.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Kind() == reflect.Pointer && rapid.IntRange(0, 3).Draw(t, "nil") == 0 {
				continue
			}
			fill(t, f, depth+1)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 2).Draw(t, "len")
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i), depth+1)
		}
	case reflect.Map:
		n := rapid.IntRange(0, 2).Draw(t, "len")
		if n == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(t, e, depth+1)
			v.SetMapIndex(reflect.ValueOf(word(t)), e)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(anyValue(t, 2)))
	case reflect.String:
		v.SetString(word(t))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int64:
		v.SetInt(rapid.Int64Range(-128, 127).Draw(t, "int"))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(0, 255).Draw(t, "uint"))
	default:
		panic(fmt.Sprintf("a field of type %s", v.Type()))
	}
}

func word(t *rapid.T) string { return rapid.StringMatching(`[a-zA-Z]{1,6}`).Draw(t, "word") }

func anyValue(t *rapid.T, depth int) any {
	switch k := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case k == 0:
		return rapid.Int64().Draw(t, "int")
	case k == 1:
		return rapid.Float64Range(0.1, 0.9).Draw(t, "float")
	case k == 2:
		return rapid.Bool().Draw(t, "bool")
	case k == 3 && depth > 0:
		return []any{anyValue(t, depth-1)}
	case k == 4 && depth > 0:
		return map[string]any{word(t): anyValue(t, depth-1)}
	}
	return word(t)
}

func anyJob(t *rapid.T) *Job {
	j := new(Job)
	fill(t, reflect.ValueOf(j).Elem(), 0)
	return j
}

func mustJSON(t interface{ Fatal(...any) }, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCanonicalizeIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := anyJob(t)
		j.Canonicalize()
		once := j.Copy()
		j.Canonicalize()
		if !reflect.DeepEqual(once, j) {
			t.Fatalf("first  %s\nsecond %s", mustJSON(t, once), mustJSON(t, j))
		}
	})
}

func TestJSONKeepsJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := anyJob(t)
		j.Canonicalize()
		back, warnings, err := DecodeJob([]byte(mustJSON(t, j)))
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		back.Canonicalize()
		if !reflect.DeepEqual(j, back) {
			t.Fatalf("before %s\nafter  %s", mustJSON(t, j), mustJSON(t, back))
		}
	})
}

func TestMsgpackKeepsJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := anyJob(t)
		data, err := j.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		var back Job
		if _, err := back.UnmarshalMsg(data); err != nil {
			t.Fatal(err)
		}
		again, err := back.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		var twice Job
		if _, err := twice.UnmarshalMsg(again); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&back, &twice) || len(data) != len(again) {
			t.Fatal("two passes differ")
		}
		dropEmpty(reflect.ValueOf(&back))
		if !reflect.DeepEqual(j, &back) {
			t.Fatalf("before %s\nafter  %s", mustJSON(t, j), mustJSON(t, &back))
		}
	})
}

// dropEmpty makes empty slices and maps nil: msgpack does not tell them apart.
func dropEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			dropEmpty(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			dropEmpty(v.Field(i))
		}
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		if v.Kind() == reflect.Slice {
			for i := range v.Len() {
				dropEmpty(v.Index(i))
			}
			return
		}
		for it := v.MapRange(); it.Next(); {
			if e := it.Value(); e.Kind() == reflect.Slice && e.Len() == 0 {
				v.SetMapIndex(it.Key(), reflect.Zero(e.Type()))
			} else {
				dropEmpty(e)
			}
		}
	}
}

func TestCopyIsEqualAndSharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := anyJob(t)
		c := j.Copy()
		if !reflect.DeepEqual(j, c) {
			t.Fatalf("job  %s\ncopy %s", mustJSON(t, j), mustJSON(t, c))
		}
		if at := shared(reflect.ValueOf(j), reflect.ValueOf(c), "Job"); at != "" {
			t.Fatalf("%s is shared", at)
		}
	})
}

// shared is the first place where two equal values point to the same memory.
func shared(a, b reflect.Value, at string) string {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() {
			return ""
		}
		if a.Kind() == reflect.Pointer && a.Pointer() == b.Pointer() {
			return at
		}
		return shared(a.Elem(), b.Elem(), at)
	case reflect.Struct:
		for i := range a.NumField() {
			if s := shared(a.Field(i), b.Field(i), at+"."+a.Type().Field(i).Name); s != "" {
				return s
			}
		}
	case reflect.Slice, reflect.Map:
		if a.Len() == 0 {
			return ""
		}
		if a.Pointer() == b.Pointer() {
			return at
		}
		return sharedElements(a, b, at)
	}
	return ""
}

func sharedElements(a, b reflect.Value, at string) string {
	if a.Kind() == reflect.Map {
		for it := a.MapRange(); it.Next(); {
			if s := shared(it.Value(), b.MapIndex(it.Key()), at+"[]"); s != "" {
				return s
			}
		}
		return ""
	}
	for i := range a.Len() {
		if s := shared(a.Index(i), b.Index(i), at+"[]"); s != "" {
			return s
		}
	}
	return ""
}

func BenchmarkJobCopy(b *testing.B) {
	j := NewJob(JobTypeService)
	for g := range 3 {
		group := NewTaskGroup(j)
		group.Name = fmt.Sprint("g", g)
		for k := range 3 {
			task := NewTask(group)
			task.Name, task.Driver = fmt.Sprint("t", k), "exec"
			task.Config = map[string]any{"command": "sleep", "args": []any{"1"}}
			task.Env = map[string]string{"A": "b"}
			task.KillTimeout = time.Second
			group.Tasks = append(group.Tasks, task)
		}
		j.TaskGroups = append(j.TaskGroups, group)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = j.Copy()
	}
}
