package shim

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// userHZ is the unit of times in /proc/<pid>/stat: 100 on every Linux ABI.
const userHZ = 100

// Process is what /proc/<pid>/stat tells of a process.
type Process struct {
	PID, PPID, Session int
	State              byte
	Start              uint64 // ticks since boot; names the process together with PID
	User, System       time.Duration
	RSS                int64 // bytes
}

// Zombie tells whether the process has ended and waits for its parent.
func (p Process) Zombie() bool { return p.State == 'Z' || p.State == 'X' }

// ReadProcess reads one process; ok is false when there is none.
func ReadProcess(pid int) (p Process, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}, false
	}
	// The name in parentheses may hold anything; fields after it are plain.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 22 {
		return Process{}, false
	}
	num := func(field int) int64 { // as numbered in proc(5), from 3
		n, _ := strconv.ParseInt(f[field-3], 10, 64)
		return n
	}
	return Process{
		PID: pid, State: f[0][0], PPID: int(num(4)), Session: int(num(6)),
		User:   time.Duration(num(14)) * time.Second / userHZ,
		System: time.Duration(num(15)) * time.Second / userHZ,
		Start:  uint64(num(22)), RSS: num(24) * int64(os.Getpagesize()),
	}, true
}

// Processes are the living descendants of the task's shim, found by the process
// tree: the task, its children, and orphans that the shim adopted.
func (t *Task) Processes() []Process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]Process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := ReadProcess(pid); ok && !p.Zombie() {
			children[p.PPID] = append(children[p.PPID], p)
		}
	}
	var found []Process
	for next := children[t.shimPID]; len(next) > 0; {
		p := next[len(next)-1]
		next = append(next[:len(next)-1:len(next)-1], children[p.PID]...)
		found = append(found, p)
	}
	return found
}
