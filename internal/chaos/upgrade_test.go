package chaos

import (
	"fmt"
	"maps"
	"syscall"
	"testing"

	"github.com/steppe-project/steppe/internal/faults"
	"github.com/steppe-project/steppe/model"
)

// TestUpgrade: servers and a client of the previous version are replaced by this
// one, one after the other, while jobs are written through all of them. After each
// step old and new together have one state; no acknowledged write is lost, and no
// task notices.
//
//	s1 s2 s3 c1 ──► S1 s2 s3 c1 ──► S1 S2 s3 c1 ──► S1 S2 S3 c1 ──► S1 S2 S3 C1
func TestUpgrade(t *testing.T) {
	t.Parallel()
	old := faults.Previous(t)
	c := &Cluster{T: t, Site: faults.NewSite(t, faults.Namespaces)}
	const servers = 3
	for range servers {
		c.addServer(servers)
	}
	c.Clients = []*faults.Agent{c.Site.Agent("c1", clientConf(c.Servers))}
	for _, a := range append(c.Servers[:servers:servers], c.Clients...) {
		a.Use(old)
		a.Start()
	}
	c.Site.Await("the old cluster is complete", 2*faults.Patience, func() error { return c.Servers[0].Nodes(1) })
	c.Site.Await("its servers vote", 2*faults.Patience, func() error { return c.healthy(servers) })
	const count = 3
	c.Servers[0].Register(c.Site.Script("lasting", model.JobTypeService, "raw_exec", count, faults.Forever))
	tasks := c.running("lasting", count)

	ws := c.write()
	for _, s := range c.Servers[:servers-1] {
		c.renew(s, servers)
	}
	ws.cancel()
	ws.wg.Wait()
	if bad, _, _ := CheckLinear(ws.w.history.Ops()); len(bad) > 0 {
		t.Errorf("%s: %v", bad[0].Key, bad[0].Err)
	}
	if err := ws.w.CheckKept(c.Servers[0]); err != nil {
		t.Error(err)
	}
	c.SameState() // two new ones and an old one
	c.renew(c.Servers[servers-1], servers)
	c.SameState()

	client := c.Clients[0]
	client.Signal(syscall.SIGTERM)
	client.Use(faults.Binary)
	client.Start()
	c.Servers[0].Register(c.Site.Script("last", model.JobTypeService, "raw_exec", 1, faults.Forever))
	c.Servers[0].AwaitRunning("last", 1)
	now := c.Site.Tasks()
	maps.DeleteFunc(now, func(task string, _ int) bool { _, before := tasks[task]; return !before })
	if !maps.Equal(now, tasks) {
		t.Errorf("tasks were %v and are %v", tasks, now)
	}
	c.Servers[0].AwaitGone("lasting", "last")
	c.SameState()
}

// renew replaces a server's binary by this version's. A new job is then placed by
// whoever leads, and run by the old client.
func (c *Cluster) renew(s *faults.Agent, servers int) {
	c.T.Helper()
	s.Signal(syscall.SIGTERM)
	s.Use(faults.Binary)
	s.Start()
	c.Site.Await(s.Name+" is back, new", 2*faults.Patience, func() error {
		if err := s.Nodes(1); err != nil { // it answers itself
			return err
		}
		return c.healthy(servers)
	})
	id := "after-" + s.Name
	s.Register(c.Site.Script(id, model.JobTypeBatch, "raw_exec", 1, "exit 0"))
	c.Site.Await(id+" has run", faults.Patience, func() error {
		code, err := s.ExitCode(id)
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d", code)
		}
		return err
	})
}
