package chaos

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/internal/faults"
)

// TestMajorityLost: two of three servers are lost for good, with their disks. The
// third goes on alone by one command, with all that was acknowledged before; new
// servers join it; and no task has noticed.
func TestMajorityLost(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 2)
	tasks := c.Sleepers()
	c.writes(7)
	c.SameState() // the survivor has it all
	left, lost := c.Servers[0], c.Servers[1:]
	for _, a := range lost {
		a.Signal(syscall.SIGKILL)
		if err := os.RemoveAll(a.DataDir); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := left.CLI("operator", "raft", "recover", "-config", left.Conf(), "-yes"); err == nil || !strings.Contains(out, "in use") {
		t.Errorf("while the agent runs: %v, %s", err, out)
	}
	left.Signal(syscall.SIGTERM)
	out, err := left.CLI("operator", "raft", "recover", "-config", left.Conf())
	if err != nil || !strings.Contains(out, "Nothing was changed") || strings.Count(out, "lost") != 2 {
		t.Fatalf("a look: %v\n%s", err, out)
	}
	left.Start()
	c.Site.Await("it answers, and has not changed", faults.Patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		servers, err := left.API.Cluster().RaftConfiguration(ctx, &api.Query{Stale: true})
		if err == nil && len(servers) != 3 {
			t.Fatalf("%d servers", len(servers))
		}
		return err
	})
	if c.writable(left) {
		t.Fatal("one of three servers took a write")
	}
	left.Signal(syscall.SIGTERM)
	if out, err = left.CLI("operator", "raft", "recover", "-config", left.Conf(), "-yes"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.Servers = []*faults.Agent{left}
	left.Start()
	c.Site.Await("the survivor leads alone", faults.Patience, func() error { return c.healthy(1) })
	readThawed(t, left, 7, true)
	c.writes(8)
	for range 2 {
		c.addServer(0).Start()
	}
	c.Site.Await("new servers vote", 2*faults.Patience, func() error { return c.healthy(3) })
	c.Site.Await("the clients are ready", 2*faults.Patience, func() error { return left.Nodes(2) })
	readThawed(t, left, 8, true)
	c.SameState()
	if err := c.SameTasks(tasks); err != nil {
		t.Error(err)
	}
	left.AwaitGone("sleepers")
}

// writable tells whether a server takes a write.
func (c *Cluster) writable(a *faults.Agent) bool {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	_, err := a.API.Jobs().Register(ctx, c.register("r", 1), nil)
	return err == nil
}
