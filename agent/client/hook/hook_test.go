package hook

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

const allocID = "0a1b2c3d-0000-4000-8000-000000000001"

// plainDecoder is a schema that shows what it was given.
type plainDecoder struct{ vars map[string]string }

func (d *plainDecoder) Decode(_ map[string]any, vars map[string]string) ([]byte, error) {
	d.vars = vars
	return []byte{0x80}, nil
}

func build(t testing.TB) *Build {
	t.Helper()
	dir, err := allocdir.New(t.TempDir(), allocID)
	if err != nil {
		t.Fatal(err)
	}
	task := &model.Task{
		Name: "app", Driver: "raw_exec", Meta: map[string]string{"k": "task ${attr.kernel.name}"},
		Env:       map[string]string{"WHERE": "${node.unique.name}/${NOMAD_ALLOC_INDEX}/${env[\"BASE\"]}/${unknown}", "X_${NOMAD_TASK_NAME}": "1"},
		LogConfig: &model.LogConfig{MaxFiles: 3, MaxFileSizeMB: 2}, Resources: &model.Resources{CPU: 100, MemoryMB: 64},
	}
	group := &model.TaskGroup{Name: "g", Tasks: []*model.Task{task}, Meta: map[string]string{"k": "group", "dash-ed": "yes"}}
	job := &model.Job{ID: "job", Name: "job name", Namespace: "default", TaskGroups: []*model.TaskGroup{group}, Meta: map[string]string{"k": "job", "j": "job"}}
	alloc := &model.Allocation{
		ID: allocID, Name: "job.g[3]", JobID: "job", Namespace: "default", TaskGroup: "g",
		AllocatedResources: &model.AllocatedResources{
			Tasks:  map[string]*model.AllocatedTaskResources{"app": {Cpu: model.AllocatedCpuResources{CpuShares: 500, ReservedCores: []uint16{0, 1, 2, 5}}, Memory: model.AllocatedMemoryResources{MemoryMB: 64, MemoryMaxMB: 128}}},
			Shared: model.AllocatedSharedResources{Ports: []model.PortMapping{{Label: "http", Value: 21000, HostIP: "10.0.0.1"}, {Label: "in-side", Value: 21001, To: 80, HostIP: "fe80::1"}}},
		},
	}
	return &Build{
		TaskID: allocID + "/app/00000000", Alloc: alloc, Job: job, Group: group, Task: task, Region: "global", Dir: dir,
		Node: &model.Node{ID: "node", Name: "n1", Datacenter: "dc1", Attributes: map[string]string{"kernel.name": "linux"},
			NodeResources: &model.NodeResources{Cpu: model.NodeCpuResources{CpuShares: 2000}}},
		Caps: &plugins.Capabilities{RotatesLogs: true}, Schema: &plainDecoder{}, HostEnv: map[string]string{"BASE": "base"},
	}
}

func TestPrepare(t *testing.T) {
	b := build(t)
	if err := b.Dir.Build(); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"WHERE": "n1/3/base/${unknown}", "X_app": "1", "BASE": "base", "NOMAD_SHORT_ALLOC_ID": "0a1b2c3d",
		"NOMAD_META_k": "task linux", "NOMAD_META_K": "task linux", "NOMAD_META_j": "job", "NOMAD_META_dash_ed": "yes",
		"NOMAD_PORT_http": "21000", "NOMAD_ADDR_http": "10.0.0.1:21000", "NOMAD_PORT_in_side": "80",
		"NOMAD_HOST_ADDR_in_side": "[fe80::1]:21001", "NOMAD_CPU_LIMIT": "500", "NOMAD_CPU_CORES": "0-2,5",
		"NOMAD_MEMORY_LIMIT": "64", "NOMAD_MEMORY_MAX_LIMIT": "128", "NOMAD_ALLOC_DIR": b.Dir.SharedPath(),
		"NOMAD_JOB_NAME": "job name", "NOMAD_DC": "dc1", "NOMAD_REGION": "global",
	} {
		if got := b.Config.Env[name]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if c := b.Config; c.Logs == nil || c.Logs.MaxFiles != 3 || c.Logs.MaxBytes != 2<<20 || c.Resources.Linux.PercentTicks != 0.25 {
		t.Errorf("logs %+v resources %+v", c.Logs, c.Resources.Linux)
	}
	vars := b.Schema.(*plainDecoder).vars
	if vars["NOMAD_PORT_in-side"] != "80" || vars["attr.kernel.name"] != "linux" || vars["env[BASE]"] != "base" {
		t.Errorf("vars lack something: %v", vars)
	}
}

func TestIsolatedPaths(t *testing.T) {
	b := build(t)
	b.Caps = &plugins.Capabilities{FSIsolation: plugins.FSImage}
	env := NewEnv(b).task
	if env["NOMAD_TASK_DIR"] != "/local" || env["NOMAD_ALLOC_DIR"] != "/alloc" || env["BASE"] != "" {
		t.Errorf("%v", env)
	}
}

func TestHostEnv(t *testing.T) {
	got := HostEnv([]string{"PATH=/bin", "STEPPE_TOKEN=x", "NOMAD_TOKEN=x", "VAULT_TOKEN=x", "MINE=x", "odd", "A=b=c"}, []string{"MINE"})
	if len(got) != 2 || got["PATH"] != "/bin" || got["A"] != "b=c" {
		t.Errorf("%v", got)
	}
}

func TestReplace(t *testing.T) {
	e := &Env{task: map[string]string{"A": "1"}, values: map[string]string{"attr.b": "2"}}
	for in, want := range map[string]string{
		"": "", "x": "x", "${A}": "1", "${ A }${attr.b}": "12", "${c}": "${c}", "$${A}": "${A}", "a${": "a${", "${A": "${A",
		`${env["A"]}-${env[A]}`: "1-1", "${}": "${}", "${A}}": "1}",
	} {
		if got := e.Replace(in); got != want {
			t.Errorf("%q -> %q, want %q", in, got, want)
		}
	}
}

// TestReplaceUnknown: text whose names are all unknown is never changed.
func TestReplaceUnknown(t *testing.T) {
	e := &Env{}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([a-z]|\$\{|\}|\$)*`).Draw(t, "text")
		if strings.Contains(text, "$${") {
			return
		}
		if got := e.Replace(text); got != text {
			t.Fatalf("%q -> %q", text, got)
		}
	})
}

func FuzzReplace(f *testing.F) {
	for _, s := range []string{"", "${A}", "$${A}", "${${A}}", "a${", `${env["A"]}`} {
		f.Add(s)
	}
	e := &Env{task: map[string]string{"A": "v"}}
	f.Fuzz(func(t *testing.T, s string) {
		if out := e.Replace(s); !strings.Contains(s, "${") && out != s {
			t.Fatalf("%q -> %q", s, out)
		}
	})
}

// The payload is where the task looks for it, every time it starts, and never where a
// link of the task's leads.
func TestPayload(t *testing.T) {
	b := build(t)
	b.Job.Payload = []byte("input\x00\xff")
	b.Task.DispatchPayload = &model.DispatchPayloadConfig{File: "in/put.bin"}
	if err := b.Dir.Build(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(b.Dir.TaskPath("app"), "local", "in", "put.bin")
	for _, spoil := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(file, []byte("spoilt, and longer than before"), 0o600) },
		func() error { return errors.Join(os.Remove(file), os.Symlink(filepath.Join(t.TempDir(), "x"), file)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := Prepare(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		info, statErr := os.Lstat(file)
		if err != nil || statErr != nil || string(got) != "input\x00\xff" || info.Mode() != 0o644 {
			t.Fatalf("%q, %v, %v, %v", got, info.Mode(), err, statErr)
		}
	}
	// A directory that leads out of the allocation's.
	outside := t.TempDir()
	if err := errors.Join(os.RemoveAll(filepath.Dir(file)), os.Symlink(outside, filepath.Dir(file))); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), b); err == nil {
		t.Error("a link out of the directory was followed")
	}
	if list, _ := os.ReadDir(outside); len(list) > 0 {
		t.Errorf("written outside: %v", list)
	}
	b.Task.DispatchPayload.File = "../../../x"
	if err := Prepare(t.Context(), b); err == nil {
		t.Error("a path out of the directory was taken")
	}
	b.Job.Payload = nil
	if err := Prepare(t.Context(), b); err != nil {
		t.Errorf("without a payload: %v", err)
	}
}
