package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// rounds of each kind of kill.
const rounds = 2

// managedAgain is how soon after a restart tasks must be managed again; the
// figure is for an idle machine and is logged, only several times it fails.
const managedAgain = 2 * time.Second

// waitGo ends with 7 once the test makes the file "go" in its directory.
const waitGo = `while ! test -e $NOMAD_TASK_DIR/go; do sleep 0.02; done; exit 7`

// TestKill: kill -9 of the agent, of the drivers, and of all at once. Every task
// keeps its process and is managed again soon; a task that exited 7 meanwhile
// reports 7; nothing is left at the end.
func TestKill(t *testing.T) {
	t.Parallel()
	s, a := single(t)
	for _, d := range taskDrivers() {
		a.Register(s.Script("long-"+d, model.JobTypeService, d, 2, Forever))
	}
	for _, d := range taskDrivers() {
		a.AwaitRunning("long-"+d, 2)
	}
	before := s.Tasks()
	for _, what := range []string{"agent", "drivers", "both"} {
		for round := range rounds {
			killOnce(t, s, a, what, fmt.Sprintf("short-%s-%d", what, round))
			for task, pid := range before {
				if now := s.Tasks(); now[task] != pid {
					t.Fatalf("%s killed: task %s had process %d, now %d\n%s", what, task, pid, now[task], a.Log(6000))
				}
			}
		}
	}
	for _, d := range taskDrivers() {
		if allocs, err := a.Allocs("long-" + d); err != nil || len(allocs) != 2 {
			t.Errorf("%d allocations of long-%s instead of the first two: %v", len(allocs), d, err)
		}
	}
	a.AwaitGone(each("long-")...)
}

// killOnce kills what with a short task of each driver around it, and returns
// when all is as before: how long it took until tasks were managed again.
func killOnce(t testing.TB, s *Site, a *Agent, what, id string) time.Duration {
	t.Helper()
	short := map[string]string{} // job -> the file that ends it
	for _, d := range taskDrivers() {
		job := id + "-" + d
		a.Register(s.Script(job, model.JobTypeBatch, d, 1, waitGo))
		a.AwaitRunning(job, 1)
		allocs, err := a.Allocs(job)
		if err != nil {
			t.Fatal(err)
		}
		short[job] = filepath.Join(a.DataDir, "alloc", allocs[0].ID, "t", "local", "go")
	}
	tasks := len(s.Tasks())
	drivers := a.Drivers()
	if what == "agent" || what == "both" {
		a.Signal(syscall.SIGKILL)
	}
	if what == "drivers" || what == "both" {
		for _, pid := range drivers {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if what != "drivers" { // with the agent alive there is no telling what comes first
		end(t, short)
		s.Await("the short tasks end", Patience, func() error {
			if n := len(s.Tasks()); n != tasks-len(short) {
				return fmt.Errorf("%d tasks run", n)
			}
			return nil
		})
		a.Start()
	}
	took := s.Await("tasks are managed again", Patience, func() error { return a.manages("long-" + taskDrivers()[0]) })
	t.Logf("%s killed: managed again after %v", what, took.Round(time.Millisecond))
	if took > 5*managedAgain {
		t.Errorf("managed again after %v, wanted %v on an idle machine", took, managedAgain)
	}
	if what == "drivers" {
		end(t, short)
	}
	for job := range maps.Keys(short) {
		s.Await(job+" reports 7", Patience, func() error {
			code, err := a.ExitCode(job)
			if err == nil && code != 7 {
				t.Fatalf("%s: exit code %d", job, code)
			}
			return err
		})
	}
	return took
}

func end(t testing.TB, files map[string]string) {
	t.Helper()
	for _, f := range files {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// manages checks that an agent signals a job's tasks, which takes agent, driver
// and shim.
func (a *Agent) manages(job string) error {
	allocs, err := a.Allocs(job)
	if err != nil {
		return err
	}
	for _, x := range allocs {
		if err := a.API.Allocations().Signal(short(), x.ID, "t", "SIGCONT"); err != nil {
			return err
		}
	}
	return nil
}

// TestTerm: SIGTERM and a restart of the agent leave tasks alone.
func TestTerm(t *testing.T) {
	t.Parallel()
	s, a := single(t)
	for _, d := range taskDrivers() {
		a.Register(s.Script("long-"+d, model.JobTypeService, d, 2, Forever))
		a.AwaitRunning("long-"+d, 2)
	}
	before := s.Tasks()
	for range rounds {
		a.Signal(syscall.SIGTERM)
		if now := s.Tasks(); !maps.Equal(before, now) {
			t.Fatalf("tasks were %v, are %v", before, now)
		}
		a.Start()
		for _, d := range taskDrivers() {
			s.Await("tasks are managed again", Patience, func() error { return a.manages("long-" + d) })
		}
		if now := s.Tasks(); !maps.Equal(before, now) {
			t.Fatalf("tasks were %v, are %v", before, now)
		}
	}
	a.AwaitGone(each("long-")...)
}

// TestStateLost: the client's state file is deleted while the agent is down. What
// runs is found again and kept, unless it was stopped meanwhile.
func TestStateLost(t *testing.T) {
	t.Parallel()
	s := NewSite(t, Loopback)
	server := s.Agent("server", serverOnly)
	client := s.Agent("client", clientOf(server))
	server.Start()
	client.Start()
	s.Await("the node is ready", Patience, func() error { return server.Nodes(1) })
	for _, d := range taskDrivers() {
		for _, fate := range []string{"keep", "stop"} {
			server.Register(s.Script(fate+"-"+d, model.JobTypeService, d, 1, Forever))
			server.AwaitRunning(fate+"-"+d, 1)
		}
	}
	keep := map[string]int{}
	for _, d := range taskDrivers() {
		allocs, err := server.Allocs("keep-" + d)
		if err != nil {
			t.Fatal(err)
		}
		task := allocs[0].ID + "/t"
		keep[task] = s.Tasks()[task]
	}
	client.Signal(syscall.SIGKILL)
	for _, d := range taskDrivers() {
		server.Stop("stop-" + d)
	}
	if err := os.Remove(filepath.Join(client.DataDir, "client", "client.db")); err != nil {
		t.Fatal(err)
	}
	client.Start()
	s.Await("what is stopped has ended and the rest goes on", Patience, func() error {
		if now := s.Tasks(); !maps.Equal(now, keep) {
			return fmt.Errorf("tasks are %v, wanted %v", now, keep)
		}
		return nil
	})
	for _, d := range taskDrivers() {
		s.Await("what goes on is managed", Patience, func() error { return server.manages("keep-" + d) })
	}
	if now := s.Tasks(); !maps.Equal(now, keep) {
		t.Errorf("tasks are %v, wanted %v", now, keep)
	}
	server.AwaitGone(each("keep-")...)
}

// TestDevLeavesNothing: Ctrl-C ends a dev agent and everything it made.
func TestDevLeavesNothing(t *testing.T) {
	t.Parallel()
	s := NewSite(t, Loopback)
	a := s.Agent("dev", "# data_dir is made by -dev\n")
	a.Start("-dev", "-bind", a.Addr)
	s.Await("the agent is ready", Patience, func() error { return a.Nodes(1) })
	for _, d := range taskDrivers() {
		a.Register(s.Script("long-"+d, model.JobTypeService, d, 3, Forever))
		a.AwaitRunning("long-"+d, 3)
	}
	groups := s.Groups()
	if len(groups) == 0 && os.Geteuid() == 0 {
		t.Error("tasks have no control groups")
	}
	a.Signal(syscall.SIGINT)
	if left := s.processes(); len(left) > 0 {
		t.Errorf("processes are left: %+v", left)
	}
	if left := s.Mounts(); len(left) > 0 {
		t.Errorf("mounts are left: %v", left)
	}
	for _, g := range groups {
		if _, err := os.Stat(g); err == nil {
			t.Errorf("a control group is left: %s", g)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(s.Dir(), "dev", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		switch filepath.Base(d) {
		case "steppe", "agent.hcl", "agent.log":
		default:
			t.Errorf("a file is left: %s", d)
		}
	}
}

// TestEndedWhileStarting: SIGTERM at any moment of its start ends an agent.
func TestEndedWhileStarting(t *testing.T) {
	t.Parallel()
	s, a := single(t)
	a.Signal(syscall.SIGTERM)
	for d := 20 * time.Millisecond; d <= 700*time.Millisecond; d += 40 * time.Millisecond {
		a.Start()
		time.Sleep(d)
		if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-a.done: // how it ends depends on how far it was
			a.cmd = nil
		case <-time.After(Patience):
			t.Fatalf("SIGTERM after %v did not end it\n%s", d, a.stacks())
		}
	}
	a.Start()
	s.Await("the agent is ready", Patience, func() error { return a.Nodes(1) })
}
