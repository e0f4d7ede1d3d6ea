package cgroup

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// userHZ is the unit of cpuacct.stat: ticks a second, 100 on every Linux ABI.
const userHZ = 100

// Usage is one reading. A negative number was not measured. CPU times grow from
// the scope's creation; memory is in bytes.
type Usage struct {
	CPUTotal, CPUUser, CPUSystem time.Duration
	ThrottledPeriods             int64
	ThrottledTime                time.Duration
	RSS, Cache, Swap             int64
	Usage, MaxUsage              int64
	Kernel, KernelMax            int64
}

// Usage reads the scope; ok is false when there is nothing to read.
func (s *Scope) Usage() (u Usage, ok bool) {
	u = Usage{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
	switch s.version {
	case V1:
		s.usageV1(&u)
	case V2:
		s.usageV2(&u)
	}
	return u, u.CPUTotal >= 0 || u.Usage >= 0
}

func (s *Scope) usageV1(u *Usage) {
	if dir, ok := s.dirs["cpuacct"]; ok {
		u.CPUTotal = time.Duration(readNumber(dir, "cpuacct.usage"))
		stat := readTable(dir, "cpuacct.stat")
		u.CPUUser = ticks(stat.get("user"))
		u.CPUSystem = ticks(stat.get("system"))
	}
	if dir, ok := s.dirs["cpu"]; ok {
		stat := readTable(dir, "cpu.stat")
		u.ThrottledPeriods = stat.get("nr_throttled")
		u.ThrottledTime = time.Duration(stat.get("throttled_time"))
	}
	if dir, ok := s.dirs["memory"]; ok {
		stat := readTable(dir, "memory.stat")
		u.RSS, u.Cache, u.Swap = stat.get("total_rss"), stat.get("total_cache"), stat.get("total_swap")
		u.Usage = readNumber(dir, "memory.usage_in_bytes")
		u.MaxUsage = readNumber(dir, "memory.max_usage_in_bytes")
		u.Kernel = readNumber(dir, "memory.kmem.usage_in_bytes")
		u.KernelMax = readNumber(dir, "memory.kmem.max_usage_in_bytes")
	}
}

func (s *Scope) usageV2(u *Usage) {
	dir := s.dirs[""]
	stat := readTable(dir, "cpu.stat")
	u.CPUTotal = micros(stat.get("usage_usec"))
	u.CPUUser = micros(stat.get("user_usec"))
	u.CPUSystem = micros(stat.get("system_usec"))
	u.ThrottledPeriods = stat.get("nr_throttled")
	u.ThrottledTime = micros(stat.get("throttled_usec"))
	mem := readTable(dir, "memory.stat")
	u.RSS, u.Cache, u.Kernel = mem.get("anon"), mem.get("file"), mem.get("kernel")
	u.Swap = readNumber(dir, "memory.swap.current")
	u.Usage = readNumber(dir, "memory.current")
	u.MaxUsage = readNumber(dir, "memory.peak")
}

func ticks(n int64) time.Duration {
	if n < 0 {
		return -1
	}
	return time.Duration(n) * time.Second / userHZ
}

func micros(n int64) time.Duration {
	if n < 0 {
		return -1
	}
	return time.Duration(n) * time.Microsecond
}

// OOMKills counts the processes that the kernel killed for memory in the scope.
func (s *Scope) OOMKills() int64 {
	switch s.version {
	case V1:
		if dir, ok := s.dirs["memory"]; ok {
			return max(0, readTable(dir, "memory.oom_control").get("oom_kill"))
		}
	case V2:
		return max(0, readTable(s.dirs[""], "memory.events").get("oom_kill"))
	}
	return 0
}

// PIDLimitHits counts the forks that the limit on processes refused.
func (s *Scope) PIDLimitHits() int64 {
	dir, ok := s.dirs["pids"]
	if s.version == V2 {
		dir, ok = s.dirs[""]
	}
	if !ok {
		return 0
	}
	return max(0, readTable(dir, "pids.events").get("max"))
}

// table is a file of "name number" lines.
type table map[string]int64

func (t table) get(key string) int64 {
	if v, ok := t[key]; ok {
		return v
	}
	return -1
}

func readTable(dir, name string) table {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	t := table{}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(value, 10, 64); ok && err == nil {
			t[key] = n
		}
	}
	return t
}

// readNumber returns -1 for a file that is absent or says "max".
func readNumber(dir, name string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
