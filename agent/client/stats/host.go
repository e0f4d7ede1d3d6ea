package stats

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/rpc/msg"
)

const (
	// firstLook is the time between the two looks of a first measurement.
	firstLook = 50 * time.Millisecond
	// freshFor is how long an earlier look serves as the first of two.
	freshFor = time.Minute
)

// Host measures the machine. Safe for concurrent use.
type Host struct {
	allocDir string
	totalMHz int64

	mu   sync.Mutex
	last map[string]cpuTimes
	at   time.Time
}

// cpuTimes are the counters of one core, in ticks.
type cpuTimes struct{ user, system, idle, total uint64 }

// NewHost measures this machine; totalMHz is what all its cores give.
func NewHost(allocDir string, totalMHz int64) *Host {
	return &Host{allocDir: allocDir, totalMHz: totalMHz}
}

// Read measures now.
func (h *Host) Read(ctx context.Context) (*msg.HostStats, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) > freshFor {
		if err := h.look(); err != nil {
			return nil, err
		}
		timer := time.NewTimer(firstLook)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	before := h.last
	if err := h.look(); err != nil {
		return nil, err
	}
	out := &msg.HostStats{Timestamp: time.Now().UnixNano(), CPU: rates(before, h.last), DiskStats: disks()}
	for _, c := range out.CPU {
		out.CPUTicksConsumed += c.Total / 100 * float64(h.totalMHz) / float64(len(out.CPU))
	}
	var err error
	if out.Memory, err = memory(); err != nil {
		return nil, err
	}
	if out.AllocDirStats, err = disk("", h.allocDir); err != nil {
		return nil, err
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, err
	}
	out.Uptime = uint64(info.Uptime)
	return out, nil
}

// look reads the counters of all cores.
func (h *Host) look() error {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return err
	}
	h.last, h.at = parseTimes(string(data)), time.Now()
	return nil
}

// parseTimes reads lines such as "cpu0 user nice system idle iowait irq softirq steal".
func parseTimes(text string) map[string]cpuTimes {
	out := map[string]cpuTimes{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		var t cpuTimes
		for i, field := range f[1:min(len(f), 9)] { // guest times are part of user
			n, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				continue
			}
			t.total += n
			switch i {
			case 0, 1:
				t.user += n
			case 3, 4:
				t.idle += n
			default:
				t.system += n
			}
		}
		out[f[0]] = t
	}
	return out
}

// rates are the shares of each core's time between two looks, in percent.
func rates(before, after map[string]cpuTimes) []*msg.HostCPUStats {
	out := make([]*msg.HostCPUStats, 0, len(after))
	for name, b := range after {
		a := before[name]
		s := &msg.HostCPUStats{CPU: name, Idle: 100}
		if total := float64(b.total - a.total); b.total > a.total {
			s.User = 100 * float64(b.user-a.user) / total
			s.System = 100 * float64(b.system-a.system) / total
			s.Idle = 100 * float64(b.idle-min(a.idle, b.idle)) / total
		}
		s.Total = max(100-s.Idle, 0)
		s.TotalPercent = s.Total
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *msg.HostCPUStats) int {
		if len(a.CPU) != len(b.CPU) {
			return len(a.CPU) - len(b.CPU) // cpu2 before cpu10
		}
		return strings.Compare(a.CPU, b.CPU)
	})
	return out
}

// memory reads /proc/meminfo.
func memory() (*msg.HostMemoryStats, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	values := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			if kb, err := strconv.ParseUint(f[0], 10, 64); err == nil {
				values[name] = kb << 10
			}
		}
	}
	m := &msg.HostMemoryStats{Total: values["MemTotal"], Available: values["MemAvailable"], Free: values["MemFree"]}
	m.Used = m.Total - min(m.Available, m.Total)
	return m, nil
}

// maxDisks bounds the list of file systems.
const maxDisks = 64

// disks are the file systems on devices, each once.
func disks() []*msg.HostDiskStats {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Source, "/dev/"), false
	})
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	var out []*msg.HostDiskStats
	for _, m := range mounts {
		if seen[m.Source] || len(out) == maxDisks {
			continue
		}
		seen[m.Source] = true
		if d, err := disk(m.Source, m.Mountpoint); err == nil {
			out = append(out, d)
		}
	}
	return out
}

// disk measures one file system.
func disk(device, path string) (*msg.HostDiskStats, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return nil, fmt.Errorf("measure file system of %s: %w", path, err)
	}
	block := uint64(fs.Bsize)
	d := &msg.HostDiskStats{
		Device: device, Mountpoint: path,
		Size: fs.Blocks * block, Available: fs.Bavail * block, Used: (fs.Blocks - fs.Bfree) * block,
	}
	if usable := d.Used + d.Available; usable > 0 {
		d.UsedPercent = 100 * float64(d.Used) / float64(usable)
	}
	if fs.Files > 0 {
		d.InodesUsedPercent = 100 * float64(fs.Files-fs.Ffree) / float64(fs.Files)
	}
	return d, nil
}

// Disk is how full, in percent, the file system of a path is.
func Disk(path string) (bytes, inodes float64, err error) {
	d, err := disk("", path)
	if err != nil {
		return 0, 0, err
	}
	return d.UsedPercent, d.InodesUsedPercent, nil
}
