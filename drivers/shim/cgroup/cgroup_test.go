package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fake makes a tree of plain directories with the given files.
func fake(t *testing.T, version Version, controllers ...string) *Tree {
	t.Helper()
	root := t.TempDir()
	for _, c := range controllers {
		if err := os.Mkdir(filepath.Join(root, c), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tree := At(root, version)
	if tree.Version() != version {
		t.Fatal(tree.Reason())
	}
	return tree
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlacesV1(t *testing.T) {
	tree := fake(t, V1, "freezer", "cpu", "cpuacct", "memory", "pids", "cpuset")
	s := tree.Scope("alloc-1", "web", false)
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range controllersV1 {
		want = append(want, filepath.Join(tree.root, c, "nomad/alloc-1.web/cgroup.procs"))
	}
	if got := s.JoinFiles(); !slices.Equal(got, want) {
		t.Errorf("join %v", got)
	}
	if s.Path() != "/nomad/alloc-1.web" || s.KillDir() != filepath.Join(tree.root, "freezer/nomad/alloc-1.web") {
		t.Errorf("%s %s", s.Path(), s.KillDir())
	}
	s.SetCPUWeight(500)
	if b, _ := os.ReadFile(filepath.Join(tree.root, "cpu/nomad/alloc-1.web/cpu.shares")); string(b) != "500" {
		t.Errorf("cpu.shares %q", b)
	}
	os.Remove(filepath.Join(tree.root, "cpu/nomad/alloc-1.web/cpu.shares"))
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(tree.root + "/*/nomad/*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestPlacesV2(t *testing.T) {
	tree := fake(t, V2)
	for _, reserved := range []bool{false, true} {
		s := tree.Scope("alloc-1", "web", reserved)
		if err := s.Create(); err != nil {
			t.Fatal(err)
		}
		slice := map[bool]string{false: "share.slice", true: "reserve.slice"}[reserved]
		path := "/nomad.slice/" + slice + "/alloc-1.web.scope"
		if s.Path() != path || s.KillDir() != tree.root+path || !slices.Equal(s.JoinFiles(), []string{tree.root + path + "/cgroup.procs"}) {
			t.Errorf("%s %s %v", s.Path(), s.KillDir(), s.JoinFiles())
		}
		s.SetCPUWeight(1024)
		if b, _ := os.ReadFile(filepath.Join(s.KillDir(), "cpu.weight")); string(b) != "39" {
			t.Errorf("cpu.weight %q", b)
		}
	}
	for _, dir := range []string{"", "nomad.slice", "nomad.slice/share.slice", "nomad.slice/reserve.slice"} {
		if b, _ := os.ReadFile(filepath.Join(tree.root, dir, "cgroup.subtree_control")); string(b) != "+pids" {
			t.Errorf("%s: controllers were not handed down: %q", dir, b)
		}
	}
}

func TestUsageV1(t *testing.T) {
	tree := fake(t, V1, "freezer", "cpu", "cpuacct", "memory", "pids")
	s := tree.Scope("a", "b", false)
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	write(t, s.dirs["cpuacct"], map[string]string{"cpuacct.usage": "1500000000\n", "cpuacct.stat": "user 100\nsystem 50\n"})
	write(t, s.dirs["cpu"], map[string]string{"cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 7000\n"})
	write(t, s.dirs["memory"], map[string]string{
		"memory.stat": "cache 1\ntotal_cache 30\ntotal_rss 20\ntotal_swap 10\n", "memory.usage_in_bytes": "50\n", "memory.max_usage_in_bytes": "60\n",
		"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
	})
	write(t, s.dirs["pids"], map[string]string{"pids.events": "max 4\n"})
	u, ok := s.Usage()
	want := Usage{
		CPUTotal: 1500 * time.Millisecond, CPUUser: time.Second, CPUSystem: 500 * time.Millisecond, ThrottledPeriods: 3, ThrottledTime: 7000,
		RSS: 20, Cache: 30, Swap: 10, Usage: 50, MaxUsage: 60, Kernel: -1, KernelMax: -1,
	}
	if !ok || u != want {
		t.Errorf("%+v %v", u, ok)
	}
	if s.OOMKills() != 2 || s.PIDLimitHits() != 4 {
		t.Errorf("%d %d", s.OOMKills(), s.PIDLimitHits())
	}
}

func TestUsageV2(t *testing.T) {
	s := fake(t, V2).Scope("a", "b", false)
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	write(t, s.KillDir(), map[string]string{
		"cpu.stat":    "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 1\nnr_throttled 2\nthrottled_usec 3\n",
		"memory.stat": "anon 20\nfile 30\nkernel 40\n", "memory.current": "50\n", "memory.peak": "60\n", "memory.swap.current": "max\n",
		"memory.events": "low 0\nmax 5\noom 1\noom_kill 1\n", "pids.events": "max 9\n",
	})
	u, ok := s.Usage()
	want := Usage{
		CPUTotal: 1500 * time.Microsecond, CPUUser: time.Millisecond, CPUSystem: 500 * time.Microsecond, ThrottledPeriods: 2, ThrottledTime: 3 * time.Microsecond,
		RSS: 20, Cache: 30, Swap: -1, Usage: 50, MaxUsage: 60, Kernel: 40, KernelMax: -1,
	}
	if !ok || u != want {
		t.Errorf("%+v %v", u, ok)
	}
	if s.OOMKills() != 1 || s.PIDLimitHits() != 9 {
		t.Errorf("%d %d", s.OOMKills(), s.PIDLimitHits())
	}
}

func TestNoCgroups(t *testing.T) {
	tree := At(filepath.Join(t.TempDir(), "\x00"), V2)
	if tree.Version() != None || tree.Reason() == "" {
		t.Errorf("%v %q", tree.Version(), tree.Reason())
	}
	s := tree.Scope("a", "b", false)
	_, measured := s.Usage()
	if s.Create() != nil || s.Remove() != nil || s.KillDir() != "" || s.Path() != "" || len(s.JoinFiles()) > 0 || measured || s.OOMKills() != 0 || s.PIDLimitHits() != 0 {
		t.Errorf("%+v", s)
	}
	if l, err := tree.List(); err != nil || len(l) > 0 {
		t.Errorf("%v %v", l, err)
	}
}

func TestResolve(t *testing.T) {
	tree := &Tree{root: "/sys/fs/cgroup", version: V1}
	for in, want := range map[string]string{
		"custom/x":                      "/sys/fs/cgroup/memory/custom/x/cgroup.procs",
		"/custom/x":                     "/sys/fs/cgroup/memory/custom/x/cgroup.procs",
		"/sys/fs/cgroup/memory/other/y": "/sys/fs/cgroup/memory/other/y/cgroup.procs",
	} {
		if got := tree.Resolve("memory", in); got != want {
			t.Errorf("%s: %s", in, got)
		}
		if c := tree.Controller(want); c != "memory" {
			t.Errorf("%s: controller %s", want, c)
		}
	}
}

// TestNamesGiveTheTaskBack: what a name is made of is found again in it.
func TestNamesGiveTheTaskBack(t *testing.T) {
	v1, v2 := fake(t, V1, "freezer"), fake(t, V2)
	rapid.Check(t, func(rt *rapid.T) {
		alloc := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}`).Draw(rt, "alloc")
		task := rapid.StringMatching(`[a-zA-Z0-9_. -]{1,20}`).Draw(rt, "task")
		for _, tree := range []*Tree{v1, v2} {
			s := tree.Scope(alloc, task, rapid.Bool().Draw(rt, "reserved"))
			if err := s.Create(); err != nil {
				rt.Fatal(err)
			}
			procs := filepath.Join(s.KillDir(), "cgroup.procs")
			os.WriteFile(procs, []byte("17\n18\n"), 0o644)
			labels, err := tree.List()
			if err != nil || len(labels) != 1 || labels[0].AllocID != alloc || labels[0].Task != task || !slices.Equal(labels[0].PIDs, []int{17, 18}) {
				// a task may be called "x.scope"; its name is cut once
				if !strings.HasSuffix(task, ".scope") || tree.Version() == V2 {
					rt.Errorf("%q: %+v %v", task, labels, err)
				}
			}
			os.Remove(procs)
			if err := s.Remove(); err != nil {
				rt.Error(err)
			}
		}
	})
}

func TestRemoveKeepsWhatLives(t *testing.T) {
	tree := Detect()
	if tree.Version() == None {
		t.Skip(tree.Reason())
	}
	s := tree.Scope("cgrouptest", "remove", false)
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(s.KillDir(), "made-by-the-task")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.KillDir()); err == nil {
		t.Error("still there")
	}
}

// TestCores: a new v1 group is usable, and confined; where the kernel has no
// cpusets nothing is asked of it.
func TestCores(t *testing.T) {
	for _, version := range []Version{V1, V2} {
		bare := fake(t, version, "freezer").Scope("a", "web", true)
		bare.LimitCores("1")
		if err := bare.Create(); err != nil || slices.ContainsFunc(bare.JoinFiles(), func(f string) bool { return strings.Contains(f, "cpuset") }) {
			t.Errorf("%v: %v %v", version, err, bare.JoinFiles())
		}
	}
	// Plain directories have no files of their own, so they are made first.
	tree := fake(t, V1, "freezer", "cpuset")
	own := filepath.Join(tree.root, "cpuset/nomad/a.web")
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree.root, "cpuset"), map[string]string{"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n"})
	for _, dir := range []string{filepath.Dir(own), own} {
		write(t, dir, map[string]string{"cpuset.cpus": "\n", "cpuset.mems": "\n"})
	}
	s := tree.Scope("a", "web", true)
	s.LimitCores("1,3")
	if err := s.Create(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cpuset.cpus": "1,3", "cpuset.mems": "0", "../cpuset.cpus": "0-3", "../cpuset.mems": "0"} {
		if b, _ := os.ReadFile(filepath.Join(own, file)); string(b) != want {
			t.Errorf("%s %q", file, b)
		}
	}
	if !slices.Contains(s.JoinFiles(), filepath.Join(own, "cgroup.procs")) {
		t.Error(s.JoinFiles())
	}
}
