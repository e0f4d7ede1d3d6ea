package faults

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/model"
)

// smallDisk puts an agent's data directory on a file system of some megabytes.
func (a *Agent) smallDisk(t *testing.T, size string) {
	t.Helper()
	if err := os.Mkdir(a.DataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", a.DataDir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no file system of a given size can be made: %v", err)
	}
}

// fill writes a file until the file system is full and returns its path.
func (a *Agent) fill(t *testing.T) string {
	t.Helper()
	path := filepath.Join(a.DataDir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err == nil {
			continue
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		size /= 2
	}
	return path
}

// TestServerDiskFull: a server without space goes on answering reads, refuses
// writes in words, and takes them again when there is space. Nothing that was
// accepted is lost.
func TestServerDiskFull(t *testing.T) {
	t.Parallel()
	s := NewSite(t, Loopback)
	server := s.Agent("server", serverOnly)
	server.smallDisk(t, "48m")
	client := s.Agent("client", clientOf(server))
	server.Start()
	client.Start()
	s.Await("the node is ready", Patience, func() error { return server.Nodes(1) })
	server.Register(s.Script("before", model.JobTypeService, "raw_exec", 1, Forever))
	server.AwaitRunning("before", 1)
	tasks := s.Tasks()

	server.Register(s.Script("stopped", model.JobTypeService, "raw_exec", 1, Forever))
	server.AwaitRunning("stopped", 1)
	filler := server.fill(t)
	var accepted []string
	var refusal error
	for i := range 2000 {
		job := s.Script(fmt.Sprintf("full-%d", i), model.JobTypeBatch, "raw_exec", 1, Forever)
		job.Datacenters = []string{"nowhere"} // it waits: gc leaves it
		job.Meta = map[string]string{"filling": strings.Repeat("x", 64<<10)}
		if _, refusal = server.API.Jobs().Register(short(), job, nil); refusal != nil {
			break
		}
		accepted = append(accepted, job.ID)
	}
	if refusal == nil {
		t.Fatal("no write was refused on a full disk")
	}
	t.Logf("after %d writes: %v", len(accepted), refusal)
	if text := refusal.Error(); !strings.Contains(text, "disk") && !strings.Contains(text, "space") {
		t.Errorf("the refusal does not speak of the disk: %s", text)
	}
	if _, _, err := server.API.Jobs().Get(short(), "before", staleRead); err != nil {
		t.Errorf("a read while the disk is full: %v", err)
	}
	server.canAct(t)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.Await("writes are taken again", 2*Patience, func() error {
		_, err := server.API.Jobs().Register(short(), s.Script("after", model.JobTypeService, "raw_exec", 1, Forever), nil)
		return err
	})
	server.AwaitRunning("after", 1)
	s.checkKept(t, server, accepted, tasks)
	server.Signal(syscall.SIGTERM)
	server.Start()
	s.Await("the server is back", Patience, func() error { return server.Nodes(1) })
	s.checkKept(t, server, accepted, tasks)
	server.AwaitGone("before", "after")
}

// canAct checks that an operator is told of a server's full disk and can act on it.
func (a *Agent) canAct(t *testing.T) {
	t.Helper()
	answer, err := http.Get(a.URL() + "/v1/agent/health")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusInternalServerError || !strings.Contains(string(text), "disk of the data directory is full") {
		t.Errorf("health of a server with a full disk: %s: %s", answer.Status, text)
	}
	a.gauge(t, "steppe_disk_level 1")
	saved := filepath.Join(t.TempDir(), "saved.snap")
	for _, args := range [][]string{
		{"job", "status", "before"},
		{"job", "stop", "-purge", "-detach", "stopped"},
		{"operator", "snapshot", "save", saved},
		{"system", "gc"},
	} {
		if out, err := a.CLI(args...); err != nil {
			t.Errorf("%v on a full disk: %v\n%s", args, err, out)
		}
	}
	a.site.Await("the stopped job's task ended", Patience, func() error {
		tasks, err := a.Running("stopped", 0)
		if err == nil && len(tasks) > 0 {
			err = fmt.Errorf("it runs on %v", tasks)
		}
		return err
	})
}

// checkKept checks that all accepted jobs are there, and that tasks run on.
func (s *Site) checkKept(t *testing.T, server *Agent, accepted []string, tasks map[string]int) {
	t.Helper()
	for _, id := range accepted {
		if _, _, err := server.API.Jobs().Get(short(), id, nil); err != nil {
			t.Errorf("accepted job %s: %v", id, err)
		}
	}
	now := s.Tasks()
	for task, pid := range tasks {
		if now[task] != pid {
			t.Errorf("task %s was process %d, is %d", task, pid, now[task])
		}
	}
}

// TestClientDiskFull: a client without space keeps what runs, says why new tasks
// cannot start, and starts them again when there is space.
func TestClientDiskFull(t *testing.T) {
	t.Parallel()
	s := NewSite(t, Loopback)
	server := s.Agent("server", serverOnly)
	client := s.Agent("client", clientOf(server))
	client.smallDisk(t, "64m")
	server.Start()
	client.Start()
	s.Await("the node is ready", Patience, func() error { return server.Nodes(1) })
	server.Register(s.Script("before", model.JobTypeService, "raw_exec", 1, Forever))
	server.AwaitRunning("before", 1)
	tasks := s.Tasks()

	filler := client.fill(t)
	job := s.Script("full", model.JobTypeBatch, "raw_exec", 1, Forever)
	server.Register(job)
	s.Await("the task's failure is told in words", Patience, func() error { return server.tellsOfSpace("full") })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	server.Stop("full")
	server.Register(s.Script("after", model.JobTypeService, "raw_exec", 1, Forever))
	server.AwaitRunning("after", 1)
	s.checkKept(t, server, nil, tasks)
	client.Signal(syscall.SIGKILL)
	client.Start()
	s.Await("the client is back", Patience, func() error { return server.manages("after") })
	s.checkKept(t, server, nil, tasks)
	server.AwaitGone("before", "after")
}

// tellsOfSpace checks that a job's allocation failed for want of space, and says so.
func (a *Agent) tellsOfSpace(job string) error {
	allocs, _, err := a.API.Jobs().Allocations(short(), job, true, nil)
	if err != nil {
		return err
	}
	for _, x := range allocs {
		text := x.ClientDescription
		for _, st := range x.TaskStates {
			for _, e := range st.Events {
				text += " " + e.DisplayMessage
			}
		}
		if x.ClientStatus == model.ClientFailed && strings.Contains(text, "space") {
			return nil
		}
		err = errors.Join(err, fmt.Errorf("%s: %s: %s", x.ID, x.ClientStatus, text))
	}
	if err == nil {
		err = errors.New("no allocation")
	}
	return err
}
