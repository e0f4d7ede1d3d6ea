package exec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/drivers/entry"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

// planOn plans a container on a machine with the given control groups.
func planOn(t *testing.T, tree *cgroup.Tree, c *plugins.TaskConfig) *entry.Spec {
	t.Helper()
	conf := New().config
	tc, err := parseTask(conf, c.Msgpack)
	if err != nil {
		t.Fatal(err)
	}
	p := &planner{conf: conf, c: c, t: tc, tree: tree, scope: tree.Scope(c.AllocID, c.Name, false), dir: t.TempDir()}
	spec, err := p.spec()
	if err != nil {
		if strings.Contains(err.Error(), "filter") {
			t.Skip(err) // a build without seccomp
		}
		t.Fatal(err)
	}
	return spec
}

func TestLimitsByVersion(t *testing.T) {
	c := task(t, map[string]any{"command": "true", "pids_limit": 50})
	c.Resources = &plugins.Resources{CPUShares: 1024, MemoryMB: 100, MemoryMaxMB: 200, Linux: &plugins.LinuxResources{CPUQuota: 5000, CPUPeriod: 10000, CpusetCPUs: "0-1"}}
	root := t.TempDir()
	os.MkdirAll(filepath.Join(root, "memory"), 0o755)
	os.WriteFile(filepath.Join(root, "memory", "memory.memsw.limit_in_bytes"), nil, 0o644)
	for _, v := range []cgroup.Version{cgroup.V1, cgroup.V2} {
		s := planOn(t, cgroup.At(root, v), c)
		r := s.Config.Cgroups
		if r.Memory != 200<<20 || r.MemoryReservation != 100<<20 || r.MemorySwap != 200<<20 || *r.PidsLimit != 50 || r.CpuQuota != 5000 || r.CpuPeriod != 10000 || r.CpusetCpus != "0-1" {
			t.Errorf("%v: %+v", v, r.Resources)
		}
		mounted := slices.ContainsFunc(s.Config.Mounts, func(m *configs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
		switch v {
		case cgroup.V1:
			if r.CpuShares != 1024 || r.CpuWeight != 0 || r.Path != "/nomad/"+c.AllocID+".web" || mounted {
				t.Errorf("%+v", r)
			}
		case cgroup.V2:
			if r.CpuShares != 0 || r.CpuWeight != 39 || r.Path != "/nomad.slice/share.slice/"+c.AllocID+".web.scope" || !mounted {
				t.Errorf("%+v", r)
			}
		}
	}
}

func TestPlanOfMounts(t *testing.T) {
	c := task(t, map[string]any{"command": "true"})
	c.Mounts = []*plugins.Mount{{TaskPath: "/vol", HostPath: "/tmp", PropagationMode: "bidirectional"}}
	s := planOn(t, new(cgroup.Tree), c)
	if s.Config.RootPropagation != unix.MS_SHARED|unix.MS_REC {
		t.Errorf("root propagation %x", s.Config.RootPropagation)
	}
	for _, m := range s.Config.Mounts {
		if m.Destination == "/usr" && m.Flags&unix.MS_RDONLY == 0 {
			t.Error("/usr is writable")
		}
	}
	if !slices.Contains(s.Config.MaskPaths, "/private") || !slices.Contains(s.Config.MaskPaths, "/etc/shadow") {
		t.Errorf("masked: %v", s.Config.MaskPaths)
	}
	if _, _, err := volumeMounts([]*plugins.Mount{{PropagationMode: "sideways"}}); err == nil {
		t.Error("an unknown propagation mode was accepted")
	}
}

func TestView(t *testing.T) {
	root, vol := t.TempDir(), t.TempDir()
	os.MkdirAll(filepath.Join(root, "local/dir"), 0o755)
	os.WriteFile(filepath.Join(vol, "file"), nil, 0o644)
	os.Symlink("/vol/file", filepath.Join(root, "local/link"))
	os.Symlink("loop", filepath.Join(root, "loop"))
	os.Symlink("../local", filepath.Join(vol, "up"))
	v := &view{root: root, mounts: []*configs.Mount{bind(vol, "/vol", true), {Device: "proc", Source: "proc", Destination: "/proc"}}}
	for path, want := range map[string]string{
		"/local/dir": "dir", "/vol/file": "file", "/local/link": "file", "/vol/up/dir": "dir", "/": "dir", "/local/../vol/file": "file",
		"/nothing": "none", "/loop": "none", "/vol/nothing": "none", "/proc/self": "unknown",
	} {
		info, known := v.stat(filepath.Clean(path))
		got := "unknown"
		switch {
		case known && info == nil:
			got = "none"
		case known && info.IsDir():
			got = "dir"
		case known:
			got = "file"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestTaskCaps(t *testing.T) {
	caps, err := taskCaps(defaultCaps, []string{"NET_BIND_SERVICE"}, []string{"mknod"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(caps.Effective, []string{"CAP_NET_BIND_SERVICE"}) || slices.Contains(caps.Bounding, "CAP_MKNOD") || !slices.Contains(caps.Bounding, "CAP_CHOWN") {
		if os.Getuid() == 0 {
			t.Errorf("%+v", caps)
		}
	}
	caps, err = taskCaps(defaultCaps, nil, []string{"all"}, true)
	if err != nil || len(caps.Bounding)+len(caps.Effective) > 0 {
		t.Errorf("%+v %v", caps, err)
	}
	for _, bad := range [][]string{{"sys_admin"}, {"no_such_capability"}} {
		if _, err := taskCaps(defaultCaps, bad, nil, true); err == nil {
			t.Errorf("%v was granted", bad)
		}
	}
}
