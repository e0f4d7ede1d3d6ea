package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/internal/faults"
	"github.com/steppe-project/steppe/model/feature"
)

// quickPilot are autopilot's settings of a cluster from the start.
const quickPilot = `autopilot {
 server_stabilization_time = "1s"
 last_contact_threshold = "2s"
 enable_redundancy_zones = %v
 enable_custom_upgrades = %[1]v
}
`

// seat adds a server of a zone and a version, and starts it.
func (c *Cluster) seat(expect int, zone, version string) *faults.Agent {
	s := c.addServer(expect)
	s.Configure(seatConf(expect, zone, version, c.Servers[:len(c.Servers)-1]))
	s.Start()
	return s
}

// seatConf is the configuration of a server that joins others.
func seatConf(expect int, zone, version string, others []*faults.Agent) string {
	first := ""
	for _, o := range others {
		first += fmt.Sprintf("%q, ", o.Addr)
	}
	return fmt.Sprintf("server {\n enabled = true\n bootstrap_expect = %d\n retry_join = [%s]\n retry_interval = \"1s\"\n redundancy_zone = %q\n upgrade_version = %q\n}\n",
		expect, strings.TrimSuffix(first, ", "), zone, version) + fmt.Sprintf(quickPilot, true)
}

// autopilot is what any server says of all.
func (c *Cluster) autopilot() (h *api.AutopilotHealth, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err = fmt.Errorf("no server runs")
	for _, s := range c.Servers {
		if s.Up() {
			if h, err = s.API.Cluster().AutopilotHealth(ctx); err == nil {
				return h, nil
			}
		}
	}
	return nil, err
}

// vote checks that these servers vote, and no others.
func (c *Cluster) vote(want ...*faults.Agent) error {
	h, err := c.autopilot()
	if err != nil {
		return err
	}
	var got, names []string
	for _, s := range h.Servers {
		if s.Voter {
			got = append(got, strings.TrimSuffix(s.Name, ".global"))
		}
	}
	for _, a := range want {
		names = append(names, a.Name)
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		return fmt.Errorf("%v vote, not %v: %+v", got, names, h)
	}
	return nil
}

// TestZonesAndMigration: a standby takes the place of its zone's voter that is
// killed; then servers of a newer version take the places of all. Whoever votes,
// writes go on, and none is lost.
func TestZonesAndMigration(t *testing.T) {
	t.Parallel()
	c := &Cluster{T: t, Site: faults.NewSite(t, faults.Namespaces)}
	for _, zone := range []string{"a", "b", "c"} {
		c.seat(3, zone, "1.0.0")
	}
	first := slices.Clone(c.Servers)
	c.Site.Await("zones, as the files have them", 2*faults.Patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		conf, err := first[0].API.Cluster().AutopilotConfig(ctx)
		if err == nil && !conf.EnableRedundancyZones {
			err = fmt.Errorf("%+v", conf)
		}
		return err
	})
	standby := c.seat(0, "a", "1.0.0")
	c.Site.Await("a standby", 2*faults.Patience, func() error {
		h, err := c.autopilot()
		if err == nil && (!h.Healthy || len(h.RedundancyZones["a"].Servers) != 2 || h.Upgrade != nil) {
			err = fmt.Errorf("%+v", h)
		}
		return err
	})
	if err := c.vote(first...); err != nil {
		t.Fatal(err)
	}
	ws := c.write()
	first[0].Signal(syscall.SIGKILL)
	took := c.Site.Await("the standby votes", 2*faults.Patience, func() error { return c.vote(standby, first[1], first[2]) })
	t.Logf("the standby votes, and the killed server does not, after %s", took)

	next := []*faults.Agent{c.seat(0, "a", "2.0.0"), c.seat(0, "b", "2.0.0")}
	c.Site.Await("waiting for a third", 2*faults.Patience, func() error {
		h, err := c.autopilot()
		if err == nil && (h.Upgrade == nil || h.Upgrade.Status != "await-new-voters" || len(h.Upgrade.TargetVersionNonVoters) != 2) {
			err = fmt.Errorf("%+v", h.Upgrade)
		}
		return err
	})
	next = append(next, c.seat(0, "c", "2.0.0"))
	took = c.Site.Await("the new ones vote", 2*faults.Patience, func() error { return c.vote(next...) })
	t.Logf("the new servers have taken all places after %s", took)
	c.Site.Await("one of them leads", faults.Patience, func() error {
		l := c.leader()
		if l == nil || !slices.Contains(next, l) {
			return fmt.Errorf("%v", l)
		}
		return nil
	})
	ws.cancel()
	ws.wg.Wait()
	if bad, _, _ := CheckLinear(ws.w.history.Ops()); len(bad) > 0 {
		t.Errorf("%s: %v", bad[0].Key, bad[0].Err)
	}
	if err := ws.w.CheckKept(next[0]); err != nil {
		t.Error(err)
	}
	// Clean-up had it removed: it has to find the others itself.
	first[0].Configure(seatConf(3, "a", "1.0.0", c.Servers[1:]))
	first[0].Start()
	c.SameState()
	if err := c.vote(next...); err != nil { // it is back, and old
		t.Error(err)
	}
}

// TestFeatureLevels: beside a server that understands less, nothing new comes into the
// log; when it is replaced, the level is activated by itself, and the binary that
// understands less can no longer be put back.
func TestFeatureLevels(t *testing.T) {
	t.Parallel()
	const older = "STEPPE_FAULTS_FEATURE_LEVEL=1"
	lacks := fmt.Sprintf("understands level 1, not %d", feature.Newest)
	c := &Cluster{T: t, Site: faults.NewSite(t, faults.Namespaces)}
	for range 3 {
		s := c.addServer(3)
		s.Append(fmt.Sprintf(quickPilot, false))
	}
	old := c.Servers[2]
	old.Faults = []string{older}
	for _, s := range c.Servers {
		s.Start()
	}
	c.Site.Await("the cluster is complete", 2*faults.Patience, func() error { return c.healthy(3) })
	ctx, cancel := context.WithTimeout(context.Background(), 3*faults.Patience)
	defer cancel()
	list := func() *api.Features {
		f, err := c.Servers[0].API.Cluster().Features(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	// The older server may have founded the cluster; what it leads knows no newer level.
	c.Site.Await("a newer server leads", faults.Patience, func() error {
		l := c.leader()
		if l == old {
			if err := old.API.Cluster().TransferLeadership(ctx, "", ""); err != nil {
				return err
			}
		}
		if l == nil || l == old {
			return errors.New("not yet")
		}
		return nil
	})
	time.Sleep(5 * time.Second) // longer than an activation takes
	f := list()
	if f.Active != 1 || f.Possible != 1 || len(f.Lacking) != 1 || f.Lacking[0] != old.Name+".global "+lacks {
		t.Errorf("beside an older server: %+v", f)
	}
	conf, err := c.Servers[0].API.Cluster().AutopilotConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conf.EnableRedundancyZones = true
	if _, err := c.Servers[0].API.Cluster().SetAutopilotConfig(ctx, conf); err == nil || !strings.Contains(err.Error(), "feature level 2") {
		t.Errorf("zones at level 1: %v", err)
	}
	if _, err := c.Servers[0].API.Cluster().ActivateFeature(ctx, 0); err == nil || !strings.Contains(err.Error(), lacks) {
		t.Errorf("activated: %v", err)
	}
	c.SameState()

	old.Signal(syscall.SIGTERM)
	old.Faults = nil
	old.Start()
	c.Site.Await("the newest level", 2*faults.Patience, func() error {
		if f := list(); f.Active != int(feature.Newest) {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	c.Site.Await("all are well", 2*faults.Patience, func() error { return c.healthy(3) })
	c.SameState()
	old.Signal(syscall.SIGTERM)
	old.Faults = []string{older}
	if said := old.Fails(); !strings.Contains(said, "understands up to 1: upgrade this server") {
		t.Errorf("the older binary, put back, said: %s", said)
	}
	old.Faults = nil
	old.Start()
	c.Site.Await("it is back", 2*faults.Patience, func() error { return c.healthy(3) })
}
