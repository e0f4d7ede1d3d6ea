package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/internal/faults"
	"github.com/steppe-project/steppe/model"
)

// sleepers are the tasks whose processes must outlive every fault.
const sleepers = 50

// ClientFaults are faults of the machines that run tasks, with the network whole.
var ClientFaults = []Fault{
	{"kill a client agent", func(i *Injector, d time.Duration) {
		a := i.client()
		a.Signal(syscall.SIGKILL)
		time.Sleep(d / 2)
		a.Start()
	}},
	{"kill the drivers", func(i *Injector, _ time.Duration) { i.killDrivers(i.client()) }},
	{"kill a client agent and its drivers", func(i *Injector, d time.Duration) {
		a := i.client()
		a.Signal(syscall.SIGKILL)
		i.killDrivers(a)
		time.Sleep(d / 2)
		a.Start()
	}},
}

func (i *Injector) client() *faults.Agent { return i.c.Clients[i.r.IntN(len(i.c.Clients))] }

func (i *Injector) killDrivers(a *faults.Agent) {
	for _, pid := range a.Drivers() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			i.say("a driver of %s was gone already: %v", a.Name, err)
		}
	}
}

// Sleepers runs a job of tasks that sleep and returns their processes.
func (c *Cluster) Sleepers() map[string]int {
	c.T.Helper()
	c.Servers[0].Register(c.Site.Script("sleepers", model.JobTypeService, "raw_exec", sleepers, faults.Forever))
	return c.running("sleepers", sleepers)
}

// running waits until a job of so many tasks runs, alone, and returns their
// processes. One that has just begun may show no environment yet: it is waited for.
func (c *Cluster) running(job string, count int) (tasks map[string]int) {
	c.T.Helper()
	c.Servers[0].AwaitRunning(job, count)
	c.Site.Await("all processes of job "+job+" are seen", faults.Patience, func() error {
		if tasks = c.Site.Tasks(); len(tasks) != count {
			return fmt.Errorf("%d of %d: %v", len(tasks), count, tasks)
		}
		return nil
	})
	return tasks
}

// SameTasks checks that exactly the tasks of before run, as the same processes.
func (c *Cluster) SameTasks(before map[string]int) error {
	now := c.Site.Tasks()
	if maps.Equal(before, now) {
		return nil
	}
	var diff []string
	for task, pid := range before {
		if now[task] != pid {
			diff = append(diff, fmt.Sprintf("%s was process %d, is %d", task, pid, now[task]))
		}
	}
	for task, pid := range now {
		if before[task] == 0 {
			diff = append(diff, fmt.Sprintf("%s is new, process %d", task, pid))
		}
	}
	slices.Sort(diff)
	return fmt.Errorf("%d tasks changed: %s", len(diff), strings.Join(diff[:min(len(diff), 6)], "; "))
}

// Replace puts a new server in the place of an old one, whose machine is lost.
func (c *Cluster) Replace(w *Workload, old *faults.Agent) {
	c.T.Helper()
	n := len(c.Servers)
	fresh := c.addServer(0)
	fresh.Start()
	c.Site.Await(fresh.Name+" votes", 2*faults.Patience, func() error { return c.healthy(n + 1) })
	id, err := c.serverID(old)
	if err != nil {
		c.T.Fatal(err)
	}
	old.Signal(syscall.SIGKILL)
	w.NewLife(old)
	c.Servers = c.others(old)
	w.Use(c.Servers)
	c.Site.Await(old.Name+" is removed", 2*faults.Patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		err := c.Servers[0].API.Cluster().RemovePeer(ctx, id, "")
		if err != nil && model.CodeOf(err) != model.CodeNotFound {
			return err
		}
		return c.healthy(n)
	})
}

func (c *Cluster) serverID(a *faults.Agent) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), faults.Patience)
	defer cancel()
	conf, err := c.Servers[len(c.Servers)-1].API.Cluster().RaftConfiguration(ctx, nil)
	if err != nil {
		return "", err
	}
	for _, s := range conf {
		if strings.HasPrefix(s.Address, a.Addr+":") {
			return s.ID, nil
		}
	}
	return "", fmt.Errorf("%s is no server of %+v", a.Name, conf)
}

// Report tells what a soak did and saw.
func Report(inj *Injector, ops []Op, hashes int) string {
	var b strings.Builder
	b.WriteString("faults:\n")
	for _, name := range slices.Sorted(maps.Keys(inj.Count)) {
		fmt.Fprintf(&b, "  %4d  %s\n", inj.Count[name], name)
	}
	count := map[string]int{}
	for _, o := range ops {
		count[o.Kind.String()+", "+o.Outcome.String()]++
	}
	b.WriteString("operations:\n")
	for _, name := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&b, "  %6d  %s\n", count[name], name)
	}
	fails := Failovers(ops, inj.Led)
	mid, most := median(fails)
	fmt.Fprintf(&b, "failovers: %d, median %v, max %v until the next accepted write\n", len(fails), mid.Round(time.Millisecond), most.Round(time.Millisecond))
	if gaps := Gaps(ops); len(gaps) > 0 {
		fmt.Fprintf(&b, "longest time without an accepted write: %v (faults of a majority and loss included)\n", gaps[0].Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "state hashes compared: %d\n", hashes)
	return b.String()
}
