package shim

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killRounds bounds the sweeps over a cgroup whose members keep forking, and
// killPause is the rest between them.
const (
	killRounds = 100
	killPause  = 5 * time.Millisecond
)

// openProcess returns a pidfd of the process with that id and start time, or
// ESRCH when it is gone, a zombie's included.
func openProcess(pid int, start uint64) (int, error) {
	if pid <= 1 {
		return -1, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.EINVAL) { // just being reaped, say kernels before 6.9
		return -1, unix.ESRCH
	}
	if err != nil {
		return -1, err
	}
	if s, ok := ReadProcess(pid); !ok || s.Start != start {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

func signalProcess(pid int, start uint64, sig syscall.Signal) error {
	fd, err := openProcess(pid, start)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// killOrphans ends what a vanished shim left behind: the main process, all in
// the cgroup, and without a cgroup all of the task's session.
func killOrphans(pid int, start uint64, cgroupDir string) {
	if pid <= 1 {
		return
	}
	_ = signalProcess(pid, start, unix.SIGKILL) // gone is as good
	if cgroupDir != "" {
		killCgroup(cgroupDir)
		return
	}
	for range killRounds {
		if killSession(pid, start) == 0 {
			return
		}
		time.Sleep(killPause)
	}
}

// killSession kills the processes of a session; those older than its leader
// belong to another one with the same number. Returns how many there were.
func killSession(leader int, start uint64) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, ok := ReadProcess(pid)
		if ok && p.Session == leader && p.Start >= start && !p.Zombie() {
			_ = signalProcess(pid, p.Start, unix.SIGKILL)
			n++
		}
	}
	return n
}

// killCgroup kills all processes of a cgroup directory (v2, or v1 freezer) at
// once, and repeats until it is empty or the rounds are used up.
func killCgroup(dir string) {
	for range killRounds {
		pids, err := cgroupPIDs(dir)
		if err != nil || len(pids) == 0 {
			return
		}
		err = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			killFrozen(dir)
		}
		time.Sleep(killPause)
	}
}

func cgroupPIDs(dir string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range bytes.Fields(b) {
		if pid, err := strconv.Atoi(string(f)); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killFrozen signals each process while none can fork (where a freezer exists).
func killFrozen(dir string) {
	state := filepath.Join(dir, "freezer.state")
	frozen := os.WriteFile(state, []byte("FROZEN"), 0) == nil
	pids, _ := cgroupPIDs(dir)
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if frozen {
		_ = os.WriteFile(state, []byte("THAWED"), 0)
	}
}
