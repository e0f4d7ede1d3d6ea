// Package fingerprint finds out what this machine is: processors, memory, disk,
// operating system and networks, as attributes that jobs' constraints name and
// as resources that the servers place by.
//
// Contract and invariants:
//
//   - Collect reads a few files of /proc and /sys, at once and without waiting:
//     it is on the way of an agent's start.
//   - What cannot be found is left out or, where placement needs it, guessed low;
//     only nothing to run on is an error.
//   - Numbers of Config replace what is found.
//
// Example:
//
//	facts, err := fingerprint.Collect(fingerprint.Config{AllocDir: dir})
//	node.Attributes = facts.Attributes
//	node.NodeResources = facts.Resources
package fingerprint

import (
	"errors"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/internal/version"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/plugins"
)

// Config is what the operator says of the machine; zero values are found out.
type Config struct {
	// AllocDir is on the disk that tasks use.
	AllocDir string
	// NetworkInterface is the one whose addresses tasks get. Empty: that of the
	// default route, or loopback if there is none.
	NetworkInterface string
	// Loopback prefers the loopback interface (a dev agent).
	Loopback bool
	// HostNetworks are further networks by name.
	HostNetworks []*model.HostNetworkInfo
	// TotalMHz, MemoryMB, DiskMB and DiskFreeMB override what is found.
	TotalMHz, MemoryMB, DiskMB, DiskFreeMB int
	// ReservableCores lists cores that jobs may reserve ("0-3,8"); empty = all
	// this process may use.
	ReservableCores string
	// ReservedPorts are withheld on every address.
	ReservedPorts string
}

// Facts is what was found.
type Facts struct {
	Attributes map[string]string
	Resources  *model.NodeResources
	// CgroupParent is the group that tasks' groups are made in.
	CgroupParent string
	Topology     *plugins.Topology
}

// part is what one of the collectors found.
type part struct {
	attrs map[string]string
	err   error
}

// Collect finds everything out.
func Collect(c Config) (*Facts, error) {
	f := &Facts{Attributes: map[string]string{}, Resources: &model.NodeResources{}}
	collectors := []func() part{
		func() part { return f.cpu(c) },
		func() part { return f.memory(c) },
		func() part { return f.storage(c) },
		func() part { return f.network(c) },
		func() part { return system() },
		func() part { return f.cgroups() },
	}
	parts := make([]part, len(collectors))
	var wg sync.WaitGroup
	for i, collect := range collectors {
		wg.Go(func() { parts[i] = collect() })
	}
	wg.Wait()
	var errs []error
	for _, p := range parts {
		maps.Copy(f.Attributes, p.attrs)
		errs = append(errs, p.err)
	}
	return f, errors.Join(errs...)
}

// system describes kernel, distribution and this program.
func system() part {
	attrs := map[string]string{
		"kernel.name": runtime.GOOS, "cpu.arch": runtime.GOARCH, "kernel.arch": runtime.GOARCH,
		model.AttrVersion: version.Compat, "nomad.revision": version.Commit, "steppe.version": version.Number, deploy.AttrHealth: "1",
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		attrs["kernel.version"] = unix.ByteSliceToString(u.Release[:])
		attrs["kernel.arch"] = unix.ByteSliceToString(u.Machine[:])
	}
	if name, err := os.Hostname(); err == nil {
		attrs["unique.hostname"] = name
	}
	attrs["os.name"], attrs["os.version"] = distribution("/etc/os-release", "/usr/lib/os-release")
	return part{attrs: attrs}
}

// distribution reads the first of the files that is there.
func distribution(files ...string) (name, release string) {
	name = runtime.GOOS
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			value = strings.Trim(value, `"'`)
			switch key {
			case "ID":
				name = value
			case "VERSION_ID":
				release = value
			}
		}
		return name, release
	}
	return name, ""
}

// cgroups tells the version of control groups; a hybrid machine counts as 1,
// because its controllers are there.
func (f *Facts) cgroups() part {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err != nil {
		return part{}
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		f.CgroupParent = "nomad.slice"
		return part{attrs: map[string]string{"os.cgroups.version": "2"}}
	}
	f.CgroupParent = "/nomad"
	return part{attrs: map[string]string{"os.cgroups.version": "1"}}
}

// memory reads the machine's memory, within the limit of its own control group
// left to the operator.
func (f *Facts) memory(c Config) part {
	bytes := uint64(c.MemoryMB) << 20
	if bytes == 0 {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return part{err: err}
		}
		bytes = uint64(info.Totalram) * uint64(info.Unit)
	}
	f.Resources.Memory.MemoryMB = int64(bytes >> 20)
	return part{attrs: map[string]string{"memory.totalbytes": strconv.FormatUint(bytes, 10)}}
}

// storage reads the disk of the allocation directories.
func (f *Facts) storage(c Config) part {
	var fs unix.Statfs_t
	if err := unix.Statfs(c.AllocDir, &fs); err != nil {
		return part{err: err}
	}
	total, free := fs.Blocks*uint64(fs.Bsize), fs.Bavail*uint64(fs.Bsize)
	if c.DiskMB > 0 {
		total = uint64(c.DiskMB) << 20
	}
	if c.DiskFreeMB > 0 {
		free = uint64(c.DiskFreeMB) << 20
	}
	f.Resources.Disk.DiskMB = int64(min(free, total) >> 20)
	return part{attrs: map[string]string{
		"unique.storage.volume":     c.AllocDir,
		"unique.storage.bytestotal": strconv.FormatUint(total, 10),
		"unique.storage.bytesfree":  strconv.FormatUint(min(free, total), 10),
	}}
}
