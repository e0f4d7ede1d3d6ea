// Package proc reads what processes cost, for the benchmarks.
//
// Example:
//
//	mb, cpu, err := proc.Cost("/proc/self")
package proc

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is USER_HZ, which is 100 on every Linux architecture Go runs on.
const tick = 10 * time.Millisecond

// Cost reads a process' PSS in MB and its processor time
// since its start from its directory in /proc.
func Cost(dir string) (pss float64, cpu time.Duration, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "Pss:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return 0, 0, err
			}
			pss = kb / 1024
		}
	}
	if b, err = os.ReadFile(filepath.Join(dir, "stat")); err != nil {
		return 0, 0, err
	}
	// Fields 14 and 15 of the whole line; the name in parentheses may hold spaces.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	for _, x := range f[11:13] {
		n, err := strconv.ParseInt(x, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		cpu += time.Duration(n) * tick
	}
	return pss, cpu, nil
}
