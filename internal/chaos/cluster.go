package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/steppe-project/steppe/internal/faults"
	"github.com/steppe-project/steppe/model"
)

// Cluster is three servers and some clients.
type Cluster struct {
	T       testing.TB
	Site    *faults.Site
	Servers []*faults.Agent
	Clients []*faults.Agent

	next int // number of the next server
}

// New starts a cluster and waits until it is complete. The test is skipped where
// network namespaces or their packet filters cannot be had.
func New(t testing.TB, servers, clients int) *Cluster {
	t.Helper()
	c := &Cluster{T: t, Site: faults.NewSite(t, faults.Namespaces)}
	for range servers {
		c.addServer(servers)
	}
	if err := c.Site.CanFilter(c.Servers[0]); err != nil {
		t.Skipf("packets cannot be filtered here: %v", err)
	}
	for i := range clients {
		c.Clients = append(c.Clients, c.Site.Agent(fmt.Sprintf("c%d", i+1), clientConf(c.Servers)))
	}
	for _, a := range append(c.Servers[:len(c.Servers):len(c.Servers)], c.Clients...) {
		a.Start()
	}
	c.Site.Await("the cluster is complete", 2*faults.Patience, func() error {
		if clients > 0 {
			return c.Servers[0].Nodes(clients)
		}
		return c.healthy(servers)
	})
	return c
}

// addServer adds a server that is not started. expect is 0 for one that joins.
func (c *Cluster) addServer(expect int) *faults.Agent {
	c.next++
	first := ""
	for _, s := range c.Servers {
		first += fmt.Sprintf("%q, ", s.Addr)
	}
	conf := "server {\n enabled = true\n"
	if expect > 0 {
		conf += fmt.Sprintf(" bootstrap_expect = %d\n", expect)
	}
	if first != "" {
		conf += " retry_join = [" + first[:len(first)-2] + "]\n retry_interval = \"1s\"\n"
	}
	s := c.Site.Agent(fmt.Sprintf("s%d", c.next), conf+"}\n")
	c.Servers = append(c.Servers, s)
	return s
}

func clientConf(servers []*faults.Agent) string {
	list := ""
	for _, s := range servers {
		list += fmt.Sprintf("%q, ", s.Addr)
	}
	return "client {\n enabled = true\n servers = [" + list[:len(list)-2] + "]\n options = { \"driver.raw_exec.enable\" = \"1\" }\n}\n"
}

// healthy checks that autopilot sees n voting servers, all of them well.
func (c *Cluster) healthy(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var err error
	for _, s := range c.Servers {
		if !s.Up() {
			continue
		}
		h, e := s.API.Cluster().AutopilotHealth(ctx)
		if e != nil {
			err = e
			continue
		}
		voters := 0
		for _, x := range h.Servers {
			if x.Healthy && x.Voter {
				voters++
			}
		}
		if voters == n && len(h.Servers) == n {
			return nil
		}
		err = fmt.Errorf("%d of %d servers vote and are well: %+v", voters, n, h.Servers)
	}
	return err
}

// leader is the server that leads as the others see it, nil when they see none.
func (c *Cluster) leader() *faults.Agent {
	for _, s := range c.Servers {
		if !s.Up() {
			continue
		}
		if l, err := s.Leader(); err == nil && l.Up() {
			return l
		}
	}
	return nil
}

// others are the servers but a.
func (c *Cluster) others(a *faults.Agent) []*faults.Agent {
	var out []*faults.Agent
	for _, s := range c.Servers {
		if s != a {
			out = append(out, s)
		}
	}
	return out
}

// register is a job of no instances with a value: a register.
func (c *Cluster) register(key string, value int) *model.Job {
	job := c.Site.Script(key, model.JobTypeService, "raw_exec", 0, faults.Forever)
	job.Meta = map[string]string{"value": fmt.Sprint(value)}
	return job
}
