package chaos

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/steppe-project/steppe/internal/faults"
)

var soakFlag = flag.Duration("soak", 12*time.Second, "how long faults are done in TestSoak; from a minute on, all servers are replaced at the end")

// TestSoak does faults at random for as long as asked; make soak runs it long.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := seed(t)
	c := New(t, 3, 2)
	tasks := c.Sleepers()
	w := c.Begin(s)
	inj := c.NewInjector(s, w)
	hashes := w.WatchHashes()
	kinds := append(append([]Fault(nil), ServerFaults...), ClientFaults...)
	for begin := time.Now(); time.Since(begin) < *soakFlag && !t.Failed(); {
		time.Sleep(time.Duration(inj.r.IntN(1500)) * time.Millisecond)
		inj.Any(kinds)
		if err := c.SameTasks(tasks); err != nil {
			inj.say("%v", err)
			t.Errorf("seed %d, after %s: %v", s, inj.Log[len(inj.Log)-2], err)
		}
	}
	well := func() error { return c.healthy(3) }
	c.Site.Await("the cluster is well again", 2*faults.Patience, well)
	if *soakFlag >= time.Minute {
		for _, old := range append([]*faults.Agent(nil), c.Servers...) {
			inj.Count["replace a server"]++
			c.Replace(w, old)
		}
	}
	w.End()
	n, err := hashes.End()
	if err != nil {
		t.Error(err)
	}
	c.judge(w, inj, s)
	c.SameState()
	c.Site.Await("the clients are ready", 2*faults.Patience, func() error { return c.Servers[0].Nodes(2) })
	if err := c.SameTasks(tasks); err != nil {
		t.Error(err)
	}
	c.Servers[0].AwaitRunning("sleepers", sleepers)
	c.Servers[0].AwaitGone("sleepers")
	t.Logf("seed %d, load %s\n%s", s, load(), Report(inj, w.history.Ops(), n))
	if t.Failed() {
		for _, l := range inj.Log {
			t.Log(l)
		}
	}
}

// load is the machine's, for figures.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return string(b[:min(14, len(b))])
}
