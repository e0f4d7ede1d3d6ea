package exec

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/drivers/entry"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/tasks"
	"github.com/steppe-project/steppe/plugins"
)

// planner turns a task's configuration into a container.
type planner struct {
	conf  config
	c     *plugins.TaskConfig
	t     *taskConfig
	tree  *cgroup.Tree
	scope *cgroup.Scope
	dir   string // control directory

	files    map[string][]byte // to be written there
	warnings []string
}

// spec is everything about the container that can be decided before it starts.
func (p *planner) spec() (*entry.Spec, error) {
	user, err := resolveUser(p.conf, p.c.User)
	if err != nil {
		return nil, err
	}
	taskDir, err := filepath.EvalSymlinks(tasks.TaskDir(p.c))
	if err != nil {
		return nil, fmt.Errorf("the task's directory: %w", err)
	}
	caps, err := taskCaps(p.conf.allowCaps, p.t.capAdd, p.t.capDrop, user.UID == 0)
	if err != nil {
		return nil, err
	}
	filter, err := seccompFilter(caps.Bounding, runs32Bit())
	if err != nil {
		return nil, fmt.Errorf("system call filter: %w", err)
	}
	cfg := &configs.Config{
		Rootfs: taskDir, NoPivotRoot: p.conf.noPivotRoot, NoNewPrivileges: true, NoNewKeyring: false,
		Capabilities: caps, Seccomp: filter, Namespaces: p.namespaces(), Version: specs.Version,
		MaskPaths: append(slices.Clone(hiddenProc), privateDir), ReadonlyPaths: readOnlyProc,
	}
	if p.conf.chroot == nil {
		cfg.MaskPaths = append(cfg.MaskPaths, hiddenEtc...)
	}
	if n := p.c.NetworkIsolation; n != nil {
		cfg.Hostname = n.Hostname
	}
	if err := p.mount(cfg); err != nil {
		return nil, err
	}
	inside := &view{root: taskDir, mounts: cfg.Mounts}
	command, err := findCommand(p.t.command, inside)
	if err != nil {
		return nil, err
	}
	if err := checkWorkDir(p.t.workDir, inside); err != nil {
		return nil, err
	}
	if err := p.limit(cfg); err != nil {
		return nil, err
	}
	last, err := p.joinLast(p.tree)
	if err != nil {
		return nil, err
	}
	env := tasks.Env(p.c)
	if _, set := tasks.Getenv(env, "PATH"); !set {
		env = append(env, "PATH="+defaultPath)
	}
	s := &entry.Spec{
		Root: p.dir, ID: containerID, Config: cfg, Args: append([]string{command}, p.t.args...),
		Env: user.LoginEnv(env), Cwd: p.t.workDir, UID: int(user.UID), GID: int(user.GID), JoinLast: last,
	}
	for _, g := range user.Groups {
		s.Groups = append(s.Groups, int(g))
	}
	return s, nil
}

func (p *planner) namespaces() configs.Namespaces {
	ns := configs.Namespaces{{Type: configs.NEWNS}, {Type: configs.NEWUTS}}
	if p.t.pidMode == modePrivate {
		ns = append(ns, configs.Namespace{Type: configs.NEWPID})
	}
	if p.t.ipcMode == modePrivate {
		ns = append(ns, configs.Namespace{Type: configs.NEWIPC})
	}
	if configs.IsNamespaceSupported(configs.NEWCGROUP) {
		ns = append(ns, configs.Namespace{Type: configs.NEWCGROUP})
	}
	if n := p.c.NetworkIsolation; n != nil && (n.Path != "" || n.Mode == plugins.NetNone) {
		ns = append(ns, configs.Namespace{Type: configs.NEWNET, Path: n.Path})
	}
	return ns
}

// mount lists what the task sees, in the order in which it is mounted.
func (p *planner) mount(cfg *configs.Config) error {
	chroot, missing, err := chrootMounts(cfg.Rootfs, p.conf.chroot)
	if err != nil {
		return err
	}
	for _, m := range missing {
		p.warnings = append(p.warnings, "chroot_env names "+m+", which this machine does not have")
	}
	volumes, shared, err := volumeMounts(p.c.Mounts)
	if err != nil {
		return err
	}
	if shared {
		cfg.RootPropagation = unix.MS_SHARED | unix.MS_REC
	}
	cfg.Mounts = append(chroot, kernelMounts(p.t.ipcMode == modePrivate)...)
	if p.scope.Version() == cgroup.V2 {
		const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		cfg.Mounts = append(cfg.Mounts, &configs.Mount{Device: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Flags: safe | unix.MS_RDONLY})
	}
	cfg.Mounts = append(cfg.Mounts, bind(filepath.Join(p.c.AllocDir, "alloc"), "/alloc", false))
	cfg.Mounts = append(cfg.Mounts, p.networkFiles()...)
	cfg.Mounts = append(cfg.Mounts, volumes...)
	return nil
}

// limit sets devices and resources.
func (p *planner) limit(cfg *configs.Config) error {
	r := &cgroups.Resources{}
	cfg.Cgroups = &cgroups.Cgroup{Path: p.scope.Path(), Resources: r}
	for _, d := range specconv.AllowedDevices {
		r.Devices = append(r.Devices, &d.Rule)
		if d.Path != "" {
			cfg.Devices = append(cfg.Devices, d)
		}
	}
	for _, n := range p.c.Devices {
		d, err := device(n)
		if err != nil {
			return err
		}
		cfg.Devices = append(cfg.Devices, d)
		r.Devices = append(r.Devices, &d.Rule)
	}
	if p.t.pidsLimit > 0 {
		r.PidsLimit = &p.t.pidsLimit
	}
	if res := p.c.Resources; res != nil {
		p.limitMemory(r, res)
		p.limitCPU(r, res)
	}
	return nil
}

// limitMemory makes memory_max, or else memory, the hard limit. Swap would only
// make a task that is too large slow before it fails.
func (p *planner) limitMemory(r *cgroups.Resources, res *plugins.Resources) {
	switch {
	case res.MemoryMaxMB > res.MemoryMB:
		r.Memory, r.MemoryReservation = res.MemoryMaxMB<<20, res.MemoryMB<<20
	case res.MemoryMB > 0:
		r.Memory = res.MemoryMB << 20
	case res.Linux != nil:
		r.Memory = res.Linux.MemoryLimitBytes
	}
	if r.Memory > 0 && (p.scope.Version() == cgroup.V2 || p.tree.Has("memory", "memory.memsw.limit_in_bytes")) {
		r.MemorySwap = r.Memory
	}
}

func (p *planner) limitCPU(r *cgroups.Resources, res *plugins.Resources) {
	shares := res.CPUShares
	if l := res.Linux; l != nil {
		if l.CPUShares > 0 {
			shares = l.CPUShares
		}
		r.CpuQuota, r.CpuPeriod = l.CPUQuota, uint64(max(0, l.CPUPeriod))
		r.CpusetCpus = l.CpusetCPUs
	}
	if shares <= 0 {
		return
	}
	if p.scope.Version() == cgroup.V2 {
		r.CpuWeight = cgroup.WeightOfShares(shares)
	} else {
		r.CpuShares = uint64(max(2, shares))
	}
}

// networkFiles plans the hosts and resolv.conf files that the task's network
// asks for, and the mounts that put them in place.
func (p *planner) networkFiles() []*configs.Mount {
	var mounts []*configs.Mount
	add := func(name, text string) {
		if p.files == nil {
			p.files = map[string][]byte{}
		}
		p.files[name] = []byte(text)
		mounts = append(mounts, bind(filepath.Join(p.dir, name), "/etc/"+name, true))
	}
	if n := p.c.NetworkIsolation; n != nil && n.Hostname != "" {
		add("hosts", hostsFile(n.Hostname, n.Address))
	}
	if p.c.DNS != nil {
		add("resolv.conf", resolvFile(p.c.DNS))
	}
	return mounts
}
