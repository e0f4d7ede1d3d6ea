package chaos

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/steppe-project/steppe/internal/faults"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(faults.Main(m))
}

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the faults; 0 takes a new one")
	onlyFlag = flag.String("fault", "", "do only this kind of fault")
)

func seed(t testing.TB) uint64 {
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d", s)
	return s
}

// judge checks everything that a history must satisfy.
func (c *Cluster) judge(w *Workload, inj *Injector, seed uint64) {
	c.T.Helper()
	ops := w.history.Ops()
	bad, keys, undecided := CheckLinear(ops)
	if len(bad) > 0 {
		dir, err := Keep(bad, ops, inj.Log)
		c.T.Errorf("seed %d: %d registers were not linearizable, see %s (%v); the first: %s: %v", seed, len(bad), dir, err, bad[0].Key, bad[0].Err)
	}
	if err := CheckStale(ops); err != nil {
		c.T.Errorf("seed %d: %v", seed, err)
	}
	if err := w.CheckKept(c.Servers[0]); err != nil {
		c.T.Errorf("seed %d: %v", seed, err)
	}
	unknown, conflicts, writes := 0, 0, 0
	for _, o := range ops {
		switch {
		case o.Kind <= CAS && o.Outcome == Unknown:
			unknown++
		case o.Outcome == Conflict:
			conflicts++
		case o.Kind <= CAS:
			writes++
		}
	}
	c.T.Logf("%d operations on %d registers (%d not decided): %d writes accepted, %d refused for their index, %d without an answer",
		len(ops), keys, undecided, writes, conflicts, unknown)
}

// TestLinearizable has a cluster suffer faults while registers are read and written.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	s := seed(t)
	c := New(t, 3, 0)
	w := c.Begin(s)
	inj := c.NewInjector(s, w)
	hashes := w.WatchHashes()
	kinds := ServerFaults
	if *onlyFlag != "" {
		kinds = nil
		for _, f := range ServerFaults {
			if f.Name == *onlyFlag {
				kinds = append(kinds, f)
			}
		}
	}
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
		inj.Any(kinds)
	}
	time.Sleep(2 * time.Second)
	w.End()
	c.Site.Await("the cluster is well again", 2*faults.Patience, func() error { return c.healthy(3) })
	c.judge(w, inj, s)
	if n, err := hashes.End(); err != nil {
		t.Error(err)
	} else {
		t.Logf("%d state hashes compared", n)
	}
	c.SameState()
	for _, l := range inj.Log {
		t.Log(l)
	}
}
