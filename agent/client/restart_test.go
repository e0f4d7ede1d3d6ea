package client

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// pid is the process that a task wrote down.
func pid(t *testing.T, a *agent, id string) int {
	t.Helper()
	var n int
	deadline := time.Now().Add(patience)
	for n == 0 && time.Now().Before(deadline) {
		data, err := os.ReadFile(filepath.Join(a.cfg.AllocDir, id, "alloc/data/pid"))
		if err == nil {
			_, err = fmt.Sscan(string(data), &n)
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if n == 0 {
		t.Fatal("the task has not started")
	}
	return n
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

const stays = `echo $$ > $NOMAD_ALLOC_DIR/data/pid; exec sleep 1000`

// TestRestart: tasks keep their processes while the agent is away, and what
// ended meanwhile has its true exit code. The state file may be lost as well.
func TestRestart(t *testing.T) {
	for _, lose := range []string{"nothing", "state file", "state file damaged"} {
		t.Run(lose, func(t *testing.T) {
			c, dir := newCluster(t), t.TempDir()
			a := start(t, config(t, c, dir))
			long, short := shell(1, model.JobTypeService, stays), shell(2, model.JobTypeBatch, `echo $$ > $NOMAD_ALLOC_DIR/data/pid; while ! test -e $NOMAD_ALLOC_DIR/data/go; do sleep 0.01; done; exit 7`)
			c.assign(long, short)
			c.await(long.Alloc.ID, model.ClientRunning)
			c.await(short.Alloc.ID, model.ClientRunning)
			longPID, shortPID := pid(t, a, long.Alloc.ID), pid(t, a, short.Alloc.ID)
			if err := a.stop(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(a.cfg.AllocDir, short.Alloc.ID, "alloc/data/go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			c.eventually("the short task ends", func() bool { return !alive(shortPID) })
			state := filepath.Join(a.cfg.StateDir, stateFile)
			var err error
			switch lose {
			case "state file":
				err = os.Remove(state)
			case "state file damaged":
				err = os.WriteFile(state, []byte(strings.Repeat("damage", 10_000)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			start(t, config(t, c, dir))
			if u := c.await(short.Alloc.ID, model.ClientFailed); !strings.Contains(words(u), "Exit Code: 7") {
				t.Error(words(u))
			}
			if !alive(longPID) {
				t.Fatal("the agent's restart ended a task")
			}
			c.stop(long.Alloc.ID)
			c.await(long.Alloc.ID, model.ClientComplete)
			if alive(longPID) {
				t.Error("it still runs")
			}
		})
	}
}

// driverPID is the process of a built-in driver that this process started.
func driverPID(t *testing.T) int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range dirs {
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), "\x00__driver\x00raw_exec") {
			continue
		}
		var n, parent int
		var name, state string
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		if err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(stat), &n, &name, &state, &parent); err == nil && parent == os.Getpid() {
			return n
		}
	}
	return 0
}

// TestDriverKilled: kill -9 of the driver's process; its tasks keep running and
// are managed again within two seconds.
func TestDriverKilled(t *testing.T) {
	c := newCluster(t)
	a := start(t, config(t, c, t.TempDir()))
	as := shell(1, model.JobTypeService, stays)
	c.assign(as)
	c.await(as.Alloc.ID, model.ClientRunning)
	taskPID, victim := pid(t, a, as.Alloc.ID), driverPID(t)
	if victim == 0 {
		t.Fatal("no driver process")
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	c.eventually("another driver process", func() bool { n := driverPID(t); return n != 0 && n != victim })
	if !alive(taskPID) {
		t.Fatal("the task died with its driver")
	}
	_, err := msg.ClientAllocSignal.Call(t.Context(), a.rpc.Caller(), &msg.AllocSignalRequest{AllocID: as.Alloc.ID, Task: "sh", Signal: "SIGTERM"})
	for err != nil && time.Since(begun) < patience {
		time.Sleep(5 * time.Millisecond)
		_, err = msg.ClientAllocSignal.Call(t.Context(), a.rpc.Caller(), &msg.AllocSignalRequest{AllocID: as.Alloc.ID, Task: "sh", Signal: "SIGTERM"})
	}
	took := time.Since(begun)
	if u := c.await(as.Alloc.ID, model.ClientFailed); !strings.Contains(words(u), "Signal: 15") {
		t.Error(words(u))
	}
	t.Logf("managed again after %v", took)
	if took > 2*time.Second {
		t.Errorf("managed again only after %v", took)
	}
}

// childEnv makes the test's binary an agent on the directory that it names.
const childEnv = "CLIENT_TEST_AGENT"

// The allocations of the child agent.
const (
	childLong  = "11111111-0000-4000-8000-000000000001"
	childShort = "11111111-0000-4000-8000-000000000002"
)

// childAgent runs a client with servers that have assigned two allocations and
// prints every status it hears of.
func childAgent(dir string) {
	c := newCluster(nil)
	long, short := shell(1, model.JobTypeService, stays), shell(2, model.JobTypeBatch, `echo $$ > $NOMAD_ALLOC_DIR/data/pid; while ! test -e $NOMAD_ALLOC_DIR/data/go; do sleep 0.01; done; exit 7`)
	long.Alloc.ID, short.Alloc.ID = childLong, childShort
	c.assigned = map[string]*msg.AssignedAlloc{childLong: long, childShort: short}
	cfg := DefaultConfig()
	cfg.StateDir, cfg.AllocDir = filepath.Join(dir, "client"), filepath.Join(dir, "alloc")
	cfg.NetworkInterface, cfg.Options = "lo", map[string]string{"driver.raw_exec.enable": "1", "driver.denylist": "exec"}
	cfg.Servers, cfg.Handlers, cfg.Logger = c, rpc.NewServer(rpc.Config{}), slog.New(slog.NewTextHandler(os.Stderr, nil))
	cl, err := New(context.Background(), cfg)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() {
		said := map[string]string{}
		for range c.wake {
			c.mu.Lock()
			for id, u := range c.latest {
				if line := u.ClientStatus + " " + words(u); said[id] != line {
					said[id] = line
					fmt.Println(id, line)
				}
			}
			if c.cut != nil && said[""] == "" {
				said[""] = "registered"
				fmt.Println("registered", cl.NodeID())
			}
			c.mu.Unlock()
		}
	}()
	fmt.Println("ended", cl.Run(context.Background()))
	os.Exit(0)
}

// child is an agent in a process of its own.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	said  []string
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command("/proc/self/exe"), lines: make(chan string, 1000)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+dir)
	c.cmd.Stderr = t.Output()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(c.kill)
	return c
}

// hear waits for a line that begins and goes on as given, or has been said.
func (c *child) hear(prefix, part string) string {
	c.t.Helper()
	for _, line := range c.said {
		if strings.HasPrefix(line, prefix) && strings.Contains(line, part) {
			return line
		}
	}
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the agent ended before it said %q", prefix)
			}
			c.said = append(c.said, line)
			if strings.HasPrefix(line, prefix) && strings.Contains(line, part) {
				return line
			}
		case <-timeout:
			c.t.Fatalf("the agent did not say %q ... %q", prefix, part)
		}
	}
}

func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.cmd.Wait()
	}
}

// driversBelow are driver processes whose socket or environment lies in dir.
func driversBelow(t *testing.T, dir string) []int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(env), childEnv+"="+dir+"\x00") {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || !strings.Contains(string(cmdline), "\x00__driver\x00") {
			continue
		}
		var n int
		if _, err := fmt.Sscan(filepath.Base(filepath.Dir(path)), &n); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// TestAgentKilled: kill -9 of the agent, and of its driver's process too. Every
// task keeps its process and is managed again within two seconds of the restart;
// what exited 7 meanwhile reports 7.
func TestAgentKilled(t *testing.T) {
	for _, driverToo := range []bool{false, true} {
		t.Run(fmt.Sprintf("driver killed too %v", driverToo), func(t *testing.T) {
			dir := t.TempDir()
			first := startChild(t, dir)
			t.Cleanup(func() { endChild(t, dir) })
			id := strings.Fields(first.hear("registered", ""))[1]
			first.hear(childLong, "running")
			first.hear(childShort, "running")
			a := &agent{cfg: Config{AllocDir: filepath.Join(dir, "alloc")}}
			longPID, shortPID := pid(t, a, childLong), pid(t, a, childShort)
			first.kill()
			drivers := driversBelow(t, dir)
			if len(drivers) != 1 {
				t.Fatalf("driver processes %v", drivers)
			}
			if driverToo {
				if err := syscall.Kill(drivers[0], syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(a.cfg.AllocDir, childShort, "alloc/data/go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(patience); alive(shortPID) && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			begun := time.Now()
			second := startChild(t, dir)
			if again := strings.Fields(second.hear("registered", ""))[1]; again != id {
				t.Errorf("the node was %s and is %s", id, again)
			}
			second.hear(childShort, "Exit Code: 7")
			second.hear(childLong, "running")
			took := time.Since(begun)
			t.Logf("managed again after %v", took)
			if took > 2*time.Second {
				t.Errorf("managed again only after %v", took)
			}
			if !alive(longPID) {
				t.Error("a task died with its agent")
			}
			if again := driversBelow(t, dir); !driverToo && (len(again) != 1 || again[0] != drivers[0]) {
				t.Errorf("the driver's process was %v and is %v", drivers, again)
			}
		})
	}
}

// endChild ends what the child agent left: its tasks, and its driver.
func endChild(t *testing.T, dir string) {
	t.Helper()
	a := start(t, func() Config {
		c := newCluster(t)
		cfg := config(t, c, dir)
		cfg.Dev = true
		return cfg
	}())
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	for _, n := range driversBelow(t, dir) {
		_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
	}
}
