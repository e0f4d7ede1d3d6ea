package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sim/matrix"
)

const matrixHead = `# Features and faults

How often the simulator saw a feature of the orchestrator at work while a fault was on, or less than five seconds after
(package sim/matrix; written by make matrix). With all of it, every checker of the simulator was content.

`

var (
	seedFlag   = flag.Uint64("sim.seed", 0, "run this seed alone")
	seedsFlag  = flag.Int("sim.seeds", 0, "run so many seeds")
	fromFlag   = flag.Uint64("sim.from", 1, "the first of them")
	firstFlag  = flag.Bool("sim.first", false, "stop at the first seed that fails")
	matrixFlag = flag.String("sim.matrix", "", "write what was seen of features and faults together to this file")
	traceFlag  = flag.Bool("sim.trace", false, "tell everything that happens in the run of -sim.seed")
)

// found are seeds that found bugs when they were found (BUGS.md). What they do has
// changed with the code since; they are run all the same.
var found = []uint64{6, 8, 9, 14, 19, 21, 22, 29, 36, 130, 188, 380, 1356, 1383, 1510, 1836, 1838, 3201, 3436, 3876, 124, 387, 1117, 84, 314, 794, 960, 968, 3133, 3711, 4942, 5136, 5481, 54, 2719, 605, 624, 1001}

// foundThere are those of TestControlPlane.
var foundThere = []uint64{96, 291, 1399, 5997}

// TestFound runs them.
func TestFound(t *testing.T) {
	for _, seed := range found {
		if _, err := Run(Config{Seed: seed}); err != nil {
			t.Errorf("seed %d: %v\n\treplay: %s", seed, err, replay(seed))
		}
	}
	for _, seed := range foundThere {
		if _, err := Run(Config{Seed: seed, Faults: controlPlane, NoLoss: true}); err != nil {
			t.Errorf("seed %d: %v\n\treplay: %s", seed, err, replayThere(seed))
		}
	}
}

// TestSeeds runs seeds: a few dozen, or as many as -sim.seeds says.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		cfg := Config{Seed: *seedFlag}
		if *traceFlag {
			cfg.Trace = os.Stdout
		}
		report, err := Run(cfg)
		t.Logf("%+v", report)
		if err != nil {
			t.Fatalf("seed %d: %v", *seedFlag, err)
		}
		return
	}
	n := *seedsFlag
	if n == 0 {
		n = 60
	}
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := Report{Faults: map[string]int{}, Counts: map[string]int{}, Matrix: matrix.Matrix{}}
	failures := 0
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				r, err := Run(Config{Seed: seed})
				mu.Lock()
				total.add(r)
				if err != nil {
					failures++
					if failures <= 20 {
						t.Errorf("seed %d: %v\n\treplay: %s", seed, err, replay(seed))
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		mu.Lock()
		enough := *firstFlag && failures > 0
		mu.Unlock()
		if enough {
			break
		}
		seeds <- *fromFlag + uint64(i)
	}
	close(seeds)
	wg.Wait()
	t.Logf("%d seeds, %d failed, in %s: %s of virtual time, %d events, %d entries, %d writes, %d placements, %d launches, %d preempted, %d admitted into quotas and %d refused, %d nodes down, %d held, %d tasks fenced, %d faults of %d kinds",
		n, failures, time.Since(began).Round(time.Millisecond), total.Virtual.Round(time.Second), total.Events, total.Entries, total.Writes,
		total.Placements, total.Launches, total.Preempted, total.Admitted, total.Refused, total.Downs, total.Held, total.Fenced, total.faults(), len(total.Faults))
	if n >= 60 && failures == 0 && (total.Held == 0 || total.Fenced == 0) {
		t.Errorf("%d nodes were held by the brake, %d tasks stopped for want of a lease: the check is idle", total.Held, total.Fenced)
	}
	t.Logf("seen: %v; begun, updated, stopped in the order of dependencies: %v", total.Counts, total.After)
	if n >= 60 && failures == 0 && min(total.After[0], total.After[1], total.After[2]) < n/30 {
		t.Errorf("%v were begun, updated, stopped in the order of dependencies: the check is idle", total.After)
	}
	for _, what := range []string{model.DeploymentSuccessful, model.DeploymentFailed, model.DeploymentCancelled, "promoted", "reverted", "overran", "gangs", "disbanded"} {
		if n >= 60 && failures == 0 && total.Counts[what] < n/20 {
			t.Errorf("only %d were %s: the check is idle", total.Counts[what], what)
		}
	}
	if n >= 60 && failures == 0 && total.Launches < n {
		t.Errorf("%d jobs were launched by others: the check is idle", total.Launches)
	}
	if n >= 60 && failures == 0 && total.Preempted < n {
		t.Errorf("%d allocations gave way to others: the check is idle", total.Preempted)
	}
	if n >= 60 && failures == 0 && (total.Admitted < n || total.Refused < n) {
		t.Errorf("%d jobs were admitted into quotas, %d refused: the check is idle", total.Admitted, total.Refused)
	}
	if empty := total.Matrix.Empty(FaultNames()); n >= 1000 && len(empty) > 0 {
		t.Errorf("never seen together: %v", empty)
	}
	if *matrixFlag != "" {
		text := fmt.Sprintf("%s%d seeds from %d on.\n\n%s", matrixHead, n, *fromFlag, total.Matrix.Markdown(FaultNames()))
		if err := os.WriteFile(*matrixFlag, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	if n >= 60 && failures == 0 && len(total.Faults) != len(FaultNames()) {
		t.Errorf("only %d of %d kinds of faults happened", len(total.Faults), len(FaultNames()))
	}
}

func replay(seed uint64) string {
	return fmt.Sprintf("go test ./sim -run 'TestSeeds$' -v -sim.seed=%d -sim.trace", seed)
}

func replayThere(seed uint64) string {
	return strings.Replace(replay(seed), "Seeds", "ControlPlane", 1)
}

func (r *Report) add(o Report) {
	r.Events += o.Events
	r.Entries += o.Entries
	r.Writes += o.Writes
	r.Placements += o.Placements
	r.Launches += o.Launches
	r.Preempted += o.Preempted
	for i, n := range o.After {
		r.After[i] += n
	}
	r.Admitted += o.Admitted
	r.Refused += o.Refused
	r.Downs += o.Downs
	r.Held += o.Held
	r.Fenced += o.Fenced
	r.Virtual += o.Virtual
	for k, n := range o.Faults {
		r.Faults[k] += n
	}
	for k, n := range o.Counts {
		r.Counts[k] += n
	}
	r.Matrix.Join(o.Matrix)
}

func (r *Report) faults() int {
	n := 0
	for _, k := range r.Faults {
		n += k
	}
	return n
}

// TestMatrix: the matrix that is kept has a row for every fault and a column for every
// feature, and no empty cell. (TestSeeds looks at its own, of 1,000 seeds or more.)
func TestMatrix(t *testing.T) {
	text, err := os.ReadFile("matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"); len(cells) > 1 {
			rows[strings.TrimSpace(cells[0])] = cells[1:]
		}
	}
	for i, f := range matrix.Features {
		if head := rows[""]; i >= len(head) || strings.TrimSpace(head[i]) != f[0] {
			t.Fatalf("the columns are %q, not those of matrix.Features: run make matrix", head)
		}
	}
	for _, fault := range FaultNames() {
		if len(rows[fault]) != len(matrix.Features) {
			t.Errorf("fault %q has %d cells: run make matrix", fault, len(rows[fault]))
			continue
		}
		for i, cell := range rows[fault] {
			if n, err := strconv.Atoi(strings.TrimSpace(cell)); err != nil || n == 0 {
				t.Errorf("%s x %s: %q", matrix.Features[i][0], fault, cell)
			}
		}
	}
}

// controlPlane are the faults that nodes and tasks must not notice.
var controlPlane = []string{
	"server crash", "leader crash", "all servers gone", "server paused", "leader paused", "leadership moves",
	"servers cut apart", "one way between servers", "clock stepped", "clock drifts", "log disk full", "plans lost",
	"snapshot taken", "snapshot installed", "session broken",
}

// TestControlPlane: whatever happens to servers, no node is taken down for it, no
// task is restarted.
func TestControlPlane(t *testing.T) {
	n := max(*seedsFlag, 40)
	if *seedFlag != 0 {
		cfg := Config{Seed: *seedFlag, Faults: controlPlane, NoLoss: true}
		if *traceFlag {
			cfg.Trace = os.Stdout
		}
		if _, err := Run(cfg); err != nil {
			t.Fatal(err)
		}
		return
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		seed := *fromFlag + uint64(i)
		g.Go(func() error {
			if *firstFlag && t.Failed() {
				return nil
			}
			if _, err := Run(Config{Seed: seed, Faults: controlPlane, NoLoss: true}); err != nil {
				t.Errorf("seed %d: %v\n\treplay: %s", seed, err, replayThere(seed))
			}
			return nil
		})
	}
	_ = g.Wait() // failures are the test's
}

// TestReplay: a seed gives the same run again, word for word.
func TestReplay(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		var a, b strings.Builder
		_, errA := Run(Config{Seed: seed, Trace: &a})
		_, errB := Run(Config{Seed: seed, Trace: &b})
		if a.String() != b.String() || fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Errorf("seed %d went another way the second time: %v, %v", seed, errA, errB)
		}
	}
}
