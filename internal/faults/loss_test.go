package faults

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// TestManyVanish: three of four machines lose the network at once. The brake is
// on, and says so everywhere; nothing is replaced. They return, and nothing has
// been restarted.
func TestManyVanish(t *testing.T) {
	t.Parallel()
	s := NewSite(t, Namespaces)
	server := s.Agent("s1", "server {\n enabled = true\n bootstrap_expect = 1\n}\n")
	var clients []*Agent
	for i := range 4 {
		clients = append(clients, s.Agent(fmt.Sprintf("c%d", i+1), clientOf(server)))
	}
	for _, a := range append([]*Agent{server}, clients...) {
		a.Start()
	}
	s.Await("the cluster is complete", 2*Patience, func() error { return server.Nodes(4) })
	// However slow this machine is, nobody is given up meanwhile.
	if out, err := server.CLI("operator", "scheduler", "set-config", "-mass-loss-rate=-1"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server.Register(s.Script("four", model.JobTypeService, "raw_exec", 4, Forever))
	where := server.AwaitRunning("four", 4)
	tasks := s.Tasks()
	for _, c := range clients[1:] {
		s.Cut(c)
	}
	took := s.Await("the brake holds three nodes", Patience, func() error { return server.held(3) })
	t.Logf("the brake is on %v after three machines were cut", took.Round(time.Millisecond))
	for _, c := range []struct{ what, want string }{
		{"operator brake status", "3 of 4 are held"}, {"node status", "ALARM: many nodes vanished together"}, {"node status", "disconnected"},
	} {
		if out, err := server.CLI(strings.Fields(c.what)...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, without %q:\n%s", c.what, err, c.want, out)
		}
	}
	server.gauge(t, "steppe_brake_engaged 1")
	server.gauge(t, "steppe_brake_held_nodes 3")
	if now, err := server.Running("four", 4); err != nil || !maps.Equal(now, where) {
		t.Errorf("while the brake is on: %v, %v, before: %v", err, now, where)
	}
	for _, c := range clients[1:] {
		s.Heal(c)
	}
	s.Await("the machines are back", 2*Patience, func() error { return server.Nodes(4) })
	s.Await("the alarm is over", Patience, func() error { return server.held(0) })
	server.gauge(t, "steppe_brake_engaged 0")
	if now := s.Tasks(); !maps.Equal(now, tasks) {
		t.Errorf("tasks were %v and are %v", tasks, now)
	}
	if now, err := server.Running("four", 4); err != nil || !maps.Equal(now, where) {
		t.Errorf("in the end: %v, %v, before: %v", err, now, where)
	}
	// And for good: an operator lets go.
	for _, c := range clients[1:] {
		s.Cut(c)
	}
	s.Await("the brake holds them again", Patience, func() error { return server.held(3) })
	if out, err := server.CLI("operator", "brake", "release"); err != nil {
		t.Errorf("release: %v\n%s", err, out)
	}
	s.Await("everything runs on the machine that is left", 2*Patience, func() error {
		now, err := server.Running("four", 4)
		if err == nil && now["c1"] != 4 {
			err = fmt.Errorf("on %v", now)
		}
		return err
	})
	for _, c := range clients[1:] {
		s.Heal(c)
	}
	server.AwaitGone("four")
}

// held checks how many nodes the brake holds, and that it is on if any.
func (a *Agent) held(want int) error {
	b, err := a.API.Cluster().Brake(short())
	if err == nil && (len(b.Held) != want || b.Engaged != (want > 0) || (b.Alarm != "") != b.Engaged) {
		err = fmt.Errorf("brake: %+v", *b)
	}
	return err
}

// gauge checks a line of the metrics.
func (a *Agent) gauge(t *testing.T, line string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: a.site.dial, DisableKeepAlives: true}, Timeout: Patience}
	resp, err := client.Get(a.URL() + "/v1/metrics?format=prometheus")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "\n"+line+"\n") {
		t.Errorf("metrics without %q: %v", line, err)
	}
}

// TestServersAway: the only server is dead for a while, and the agent of the
// client dies in between. Tasks go on as the same processes, but for those that
// are to stop on disconnection; what was reported meanwhile arrives.
func TestServersAway(t *testing.T) {
	t.Parallel()
	s := NewSite(t, Namespaces)
	server := s.Agent("s1", "server {\n enabled = true\n bootstrap_expect = 1\n}\n")
	client := s.Agent("c1", clientOf(server))
	server.Start()
	client.Start()
	s.Await("the cluster is complete", 2*Patience, func() error { return server.Nodes(1) })
	fenced := s.Script("fenced", model.JobTypeService, "raw_exec", 1, Forever)
	fenced.TaskGroups[0].Disconnect = model.NewDisconnectStrategy()
	fenced.TaskGroups[0].Disconnect.StopOnClientAfter = 8 * time.Second
	server.Register(s.Script("stays", model.JobTypeService, "raw_exec", 3, Forever))
	server.AwaitRunning("stays", 3)
	stays := s.Tasks()
	server.Register(fenced)
	server.AwaitRunning("fenced", 1)
	server.Register(s.Script("ends", model.JobTypeBatch, "raw_exec", 1, "sleep 5; exit 0"))
	s.Await("the batch job has begun", Patience, func() error {
		allocs, err := server.Allocs("ends")
		if err == nil && (len(allocs) != 1 || allocs[0].ClientStatus == model.ClientPending) {
			err = fmt.Errorf("%d allocations", len(allocs))
		}
		return err
	})
	server.Signal(syscall.SIGKILL)
	client.Signal(syscall.SIGKILL)
	client.Start()
	s.Await("what is to stop without servers has stopped, and the batch job has ended", 2*Patience, func() error {
		if now := s.Tasks(); len(now) != len(stays) {
			return fmt.Errorf("%d tasks run instead of %d", len(now), len(stays))
		}
		return nil
	})
	server.Start()
	s.Await("the end of the batch job has arrived", 2*Patience, func() error {
		code, err := server.ExitCode("ends")
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d", code)
		}
		return err
	})
	server.AwaitRunning("fenced", 1)
	s.Await("the history says why it was stopped", Patience, func() error { return server.tellsOfSilence("fenced") })
	now := s.Tasks()
	for task, pid := range stays {
		if now[task] != pid {
			t.Errorf("task %s was process %d and is %d", task, pid, now[task])
		}
	}
	server.AwaitGone("stays", "fenced")
}

// tellsOfSilence checks that an allocation of a job was stopped by its node.
func (a *Agent) tellsOfSilence(job string) error {
	allocs, _, err := a.API.Jobs().Allocations(short(), job, true, nil)
	if err != nil {
		return err
	}
	for _, x := range allocs {
		for _, state := range x.TaskStates {
			for _, e := range state.Events {
				if x.ClientStatus == model.ClientLost && e.Type == model.EventDisconnected &&
					strings.Contains(e.DisplayMessage, "No contact with the servers for 8s") {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("none of %d allocations was", len(allocs))
}
