package jobdiff

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

func job() *model.Job {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name, j.Datacenters = "web", "web", []string{"dc1"}
	g := model.NewTaskGroup(j)
	g.Name, g.Count = "g", 2
	t := model.NewTask(g)
	t.Name, t.Driver = "t", "exec"
	t.Config = map[string]any{"command": "/bin/a", "args": []any{"-x", float64(1)}}
	t.Env = map[string]string{"A": "1", "B": "2"}
	g.Tasks = append(g.Tasks, t)
	g.Services = []*model.Service{{Name: "http", PortLabel: "p"}, {Name: "admin", PortLabel: "q"}}
	g.Constraints = []*model.Constraint{{LTarget: "${attr.kernel.name}", RTarget: "linux", Operand: "="}}
	j.TaskGroups = append(j.TaskGroups, g)
	return j
}

// lines is a difference as text.
func lines(d *Job) []string {
	var out []string
	var fields func(at string, list []*Field)
	var objects func(at string, list []*Object)
	fields = func(at string, list []*Field) {
		for _, f := range list {
			if f.Type != None {
				out = append(out, fmt.Sprintf("%s %s%s %q %q", f.Type, at, f.Name, f.Old, f.New))
			}
		}
	}
	objects = func(at string, list []*Object) {
		for _, o := range list {
			fields(at+o.Name+"/", o.Fields)
			objects(at+o.Name+"/", o.Objects)
		}
	}
	fields("", d.Fields)
	objects("", d.Objects)
	for _, g := range d.TaskGroups {
		fields(g.Name+"/", g.Fields)
		objects(g.Name+"/", g.Objects)
		for _, t := range g.Tasks {
			fields(g.Name+"/"+t.Name+"/", t.Fields)
			objects(g.Name+"/"+t.Name+"/", t.Objects)
		}
	}
	return out
}

func TestEdits(t *testing.T) {
	tests := []struct {
		name string
		edit func(j *model.Job)
		want []string
	}{
		{"nothing", func(*model.Job) {}, nil},
		{"what servers set", func(j *model.Job) { j.Version, j.Status, j.ModifyIndex, j.Stable = 7, "dead", 9, true }, nil},
		{"a number", func(j *model.Job) { j.TaskGroups[0].Count = 5 }, []string{`Edited g/Count "2" "5"`}},
		{"a count of nothing", func(j *model.Job) { j.TaskGroups[0].Count = 0 }, []string{`Edited g/Count "2" "0"`}},
		{"a duration", func(j *model.Job) { j.TaskGroups[0].Tasks[0].KillTimeout = time.Minute }, []string{`Edited g/t/KillTimeout "5s" "1m0s"`}},
		{"a datacenter", func(j *model.Job) { j.Datacenters = []string{"dc2", "dc1"} }, []string{`Added Datacenters/Datacenters "" "dc2"`}},
		{"a variable", func(j *model.Job) { j.TaskGroups[0].Tasks[0].Env = map[string]string{"A": "3", "C": "2"} },
			[]string{`Edited g/t/Env[A] "1" "3"`, `Deleted g/t/Env[B] "2" ""`, `Added g/t/Env[C] "" "2"`}},
		{"brackets", func(j *model.Job) { j.TaskGroups[0].Tasks[0].Env["A"] = "[1]" }, []string{`Edited g/t/Env[A] "1" "[1]"`}},
		{"an argument", func(j *model.Job) { j.TaskGroups[0].Tasks[0].Config["args"] = []any{"-x", int64(1), "y"} },
			[]string{`Added g/t/Config/args[2] "" "y"`}},
		{"a block with a label", func(j *model.Job) { j.TaskGroups[0].Services[1].PortLabel = "r" }, []string{`Edited g/Service/PortLabel "q" "r"`}},
		{"a block without one", func(j *model.Job) { j.TaskGroups[0].Constraints[0].RTarget = "plan9" }, []string{
			`Deleted g/Constraint/LTarget "${attr.kernel.name}" ""`, `Deleted g/Constraint/Operand "=" ""`, `Deleted g/Constraint/RTarget "linux" ""`,
			`Added g/Constraint/LTarget "" "${attr.kernel.name}"`, `Added g/Constraint/Operand "" "="`, `Added g/Constraint/RTarget "" "plan9"`}},
		{"a block that is new", func(j *model.Job) { j.UI = &model.JobUIConfig{Description: "x"} }, []string{`Added UI/Description "" "x"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			after := job()
			test.edit(after)
			for _, context := range []bool{false, true} {
				d := Of(job(), after, context)
				if got := lines(d); !slices.Equal(got, test.want) {
					t.Errorf("%s", strings.Join(got, "\n"))
				}
				if want := map[bool]string{true: None, false: Edited}[test.want == nil]; d.Type != want || d.ID != "web" {
					t.Errorf("%s %s", d.Type, d.ID)
				}
			}
		})
	}
}

func TestGroupsAndTasks(t *testing.T) {
	after := job()
	after.TaskGroups[0].Name = "h"
	d := Of(job(), after, false)
	if len(d.TaskGroups) != 2 || d.TaskGroups[0].Type != Deleted || d.TaskGroups[1].Type != Added || d.TaskGroups[1].Tasks[0].Type != Added {
		t.Errorf("%s", lines(d))
	}
	if d := Of(nil, job(), true); d.Type != Added || len(d.TaskGroups) != 1 || d.ID != "web" {
		t.Errorf("a new job: %s", d.Type)
	}
	if d := Of(job(), nil, true); d.Type != Deleted {
		t.Errorf("no job any more: %s", d.Type)
	}
}

// With context, what did not change is there as well, and only there.
func TestContext(t *testing.T) {
	after := job()
	after.TaskGroups[0].Tasks[0].Env["A"] = "9"
	count := func(d *Job) (n int) {
		for _, f := range d.TaskGroups[0].Tasks[0].Fields {
			if f.Type == None {
				n++
			}
		}
		return n
	}
	if with, without := Of(job(), after, true), Of(job(), after, false); count(with) == 0 || count(without) != 0 {
		t.Errorf("%d fields with context, %d without", count(with), count(without))
	}
}

// Every field of a job is compared, or named as one that is not.
func TestEveryFieldIsCompared(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			walk(f.Type)
			if slices.Contains(strings.Fields(apart[typ.Name()]), f.Name) {
				continue
			}
			before, after := reflect.New(typ).Elem(), reflect.New(typ).Elem()
			if !set(after.Field(i), 3) {
				t.Errorf("%s.%s of kind %s is not known here", typ.Name(), f.Name, f.Type.Kind())
				continue
			}
			if fields, objects := (walker{}).blocks(before, after); !differ(fields, objects) {
				t.Errorf("a change of %s.%s is not seen", typ.Name(), f.Name)
			}
		}
	}
	walk(reflect.TypeFor[model.Job]())
}

// set makes a value differ from zero.
func set(v reflect.Value, depth int) bool {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int8, reflect.Int32:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint64, reflect.Uint8, reflect.Uint32:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return set(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return set(v.Index(0), depth)
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		if !set(e, depth) {
			return false
		}
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k").Convert(v.Type().Key()), e)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(9, 0)))
			return true
		}
		if depth == 0 {
			return true
		}
		for i := range v.NumField() {
			if !slices.Contains(strings.Fields(apart[v.Type().Name()]), v.Type().Field(i).Name) && set(v.Field(i), depth-1) {
				return true
			}
		}
		return false
	default:
		return false
	}
	return true
}

func TestAnnotate(t *testing.T) {
	after := job()
	after.TaskGroups[0].Count, after.TaskGroups[0].Tasks[0].Driver = 3, "raw_exec"
	d := Of(job(), after, false)
	d.Annotate(map[string]*model.DesiredUpdates{"g": {Place: 1, DestructiveUpdate: 2}})
	b, _ := json.Marshal(d.TaskGroups[0])
	for _, want := range []string{`"create":1`, `"create/destroy update":2`, ForcesCreate, ForcesReplace} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is missing in %s", want, b)
		}
	}
}

// The codec keeps everything.
func TestCodec(t *testing.T) {
	after := job()
	after.TaskGroups[0].Services[0].PortLabel = "z"
	d := Of(job(), after, true)
	d.Annotate(map[string]*model.DesiredUpdates{"g": {Place: 1}})
	b, err := d.MarshalMsg(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back Job
	if _, err := back.UnmarshalMsg(b); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(d)
	y, _ := json.Marshal(&back)
	if string(x) != string(y) {
		t.Errorf("%d bytes of JSON, %d after the codec", len(x), len(y))
	}
}
