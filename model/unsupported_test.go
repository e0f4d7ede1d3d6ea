package model

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every field of every block that a job can hold is acted on, kept, or refused.
func TestEveryAttributeIsClassified(t *testing.T) {
	used := map[string]bool{}
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(s reflect.Type) {
		if seen[s] {
			return
		}
		seen[s] = true
		for i := range s.NumField() {
			f := s.Field(i)
			key := s.Name() + "." + f.Name
			known := strings.Fields(supported[s.Name()])
			_, isRefused := refused[key]
			isSupported := contains(known, f.Name)
			if isRefused == isSupported {
				t.Errorf("%s: supported %v, refused %v: it must be in exactly one table", key, isSupported, isRefused)
			}
			used[key] = true
			if isSupported {
				if b := blockType(f.Type); b != nil {
					visit(b)
				}
			}
		}
	}
	visit(reflect.TypeFor[Job]())
	for field := range refused {
		if !used[field] {
			t.Errorf("refusals has a row for %s, which does not exist", field)
		}
	}
	for name, fields := range supported {
		for _, f := range strings.Fields(fields) {
			if !used[name+"."+f] {
				t.Errorf("supported has %s.%s, which does not exist", name, f)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// blockType is the struct that a field holds, one or several times.
func blockType(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		return t
	}
	return nil
}

// minimal is a job that this version runs.
func minimal() *Job {
	j := NewJob(JobTypeService)
	j.ID = "web"
	g := NewTaskGroup(j)
	g.Name = "g"
	task := NewTask(g)
	task.Name, task.Driver = "t", "exec"
	g.Tasks = []*Task{task}
	j.TaskGroups = []*TaskGroup{g}
	return j
}

func TestUnsupported(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Job)
		want   string // path: start of message
	}{
		{"nothing", func(*Job) {}, ""},
		{"rolling update", func(j *Job) { j.Update.MaxParallel = 3; j.Update.MinHealthyTime = time.Minute }, ""},
		{"update in full", func(j *Job) { j.Update.Canary = 1; j.TaskGroups[0].Update.AutoRevert = true }, ""},
		{"host network", func(j *Job) { j.TaskGroups[0].Networks = []*NetworkResource{{Mode: "host"}} }, ""},
		{"bridge", func(j *Job) { j.TaskGroups[0].Networks = []*NetworkResource{{Mode: "bridge"}} },
			`job.group["g"].network[0].mode: mode = "bridge" is not`},
		{"volume", func(j *Job) { j.TaskGroups[0].Volumes = map[string]*VolumeRequest{"b": {}, "a": {}} },
			`job.group["g"].volume["a"]: volume is not`},
		{"template", func(j *Job) { j.TaskGroups[0].Tasks[0].Templates = []*Template{NewTemplate()} },
			`job.group["g"].task["t"].template[0]: template is not`},
		{"default identity", func(j *Job) { j.TaskGroups[0].Tasks[0].Identities = []*WorkloadIdentity{{}} }, ""},
		{"identity file", func(j *Job) { j.TaskGroups[0].Tasks[0].Identities = []*WorkloadIdentity{{File: true}} },
			`job.group["g"].task["t"].identity: identity is not`},
		{"connect", func(j *Job) {
			j.TaskGroups[0].Services = []*Service{{Connect: map[string]any{"Native": true}}}
		}, `job.group["g"].service[0].connect: connect is not`},
		{"service is kept", func(j *Job) {
			j.TaskGroups[0].Services = []*Service{{Checks: []*ServiceCheck{{Type: "tcp"}}}}
		}, ""},
		{"default disconnect", func(j *Job) { j.TaskGroups[0].Disconnect = NewDisconnectStrategy() }, ""},
		{"disconnect", func(j *Job) { j.TaskGroups[0].Disconnect = &DisconnectStrategy{LostAfter: 1, Replace: true} },
			`job.group["g"].disconnect: disconnect is not`},
		{"stop on client", func(j *Job) {
			j.TaskGroups[0].Disconnect = NewDisconnectStrategy()
			j.TaskGroups[0].Disconnect.StopOnClientAfter = time.Minute
		}, ""},
		{"stop after client disconnect", func(j *Job) { j.TaskGroups[0].StopAfterClientDisconnect = time.Minute }, ""},
		{"no replacement", func(j *Job) {
			j.TaskGroups[0].Disconnect = &DisconnectStrategy{StopOnClientAfter: time.Minute, Reconcile: "best_score"}
		}, `job.group["g"].disconnect: disconnect is not`},
		{"unlimited memory", func(j *Job) { j.TaskGroups[0].Tasks[0].Resources.MemoryMaxMB = -1 },
			`job.group["g"].task["t"].resources.memory_max: memory_max is not`},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := minimal()
			c.change(j)
			j.Canonicalize()
			problems := Unsupported(j)
			switch {
			case c.want == "" && len(problems) == 0:
			case len(problems) != 1 || c.want == "" || !strings.HasPrefix(problems[0].String(), c.want):
				t.Errorf("got %v, want %q", problems, c.want)
			case problems[0].Hint == "":
				t.Errorf("%v has no hint", problems[0])
			}
		})
	}
}
