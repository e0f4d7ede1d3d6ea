package crash

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	full  = flag.Bool("crash.full", false, "every fault point instead of some, and write matrix/*.md")
	only  = flag.String("crash.only", "", "this workload alone")
	seed  = flag.Uint64("crash.seed", 1, "which fault points are tried without -crash.full")
	point = flag.Int("crash.at", -1, "this change alone, with its number: a failure is tried again by it")
	kinds = flag.String("crash.kinds", "", "these kinds alone, with commas")
)

// sample is how many faults of each kind are tried without -crash.full, for each
// workload.
const sample = 4

// workers run at a time.
const workers = 4

// tables is where the committed tables are, one for each workload.
const tables = "matrix"

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// TestMatrix is the crash matrix.
func TestMatrix(t *testing.T) {
	for _, w := range Works {
		if *only != "" && *only != w.Name {
			continue
		}
		t.Run(w.Name, func(t *testing.T) {
			path := filepath.Join(tables, w.Name+".md")
			known, err := os.ReadFile(path)
			if err != nil && !*full {
				t.Fatal(err)
			}
			m := NewMatrix(w, t.TempDir())
			rec, err := m.Reference(t.Context())
			if errors.Is(err, errNoListener) && strings.Contains(err.Error(), "seccomp: ") {
				t.Skipf("system calls cannot be watched here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, point := range rec.Points() {
				if !*full && !strings.Contains(string(known), "\n| "+point+" |") {
					t.Errorf("fault point %q is not in %s: run make crash", point, path)
				}
			}
			try(t, m, rec)
			failures := m.Failures()
			for _, f := range failures[:min(len(failures), 20)] {
				t.Error(f)
			}
			t.Logf("%d changes, %d runs unmet, %d failures, refusals %v", rec.Changes(), m.Unmet, len(failures), m.Refusals)
			if !*full || *kinds != "" || *point >= 0 || t.Failed() {
				return
			}
			if err := os.WriteFile(path, []byte(m.Table()), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// try makes all faults, or some.
func try(t *testing.T, m *Matrix, rec *Recording) {
	var jobs []func(context.Context) error
	dice := rand.New(rand.NewPCG(*seed, 0))
	var names []string // of the changes, by number
	for i := range rec.Ops {
		if o := &rec.Ops[i]; o.Call != "said" {
			names = append(names, o.Point())
		}
	}
	some := func(points []int) []int {
		if *point >= 0 {
			return slices.DeleteFunc(points, func(at int) bool { return at != *point })
		}
		most := sample
		if m.Work.Most > 0 {
			most = 1
		}
		if *full {
			most = cmp.Or(m.Work.Most, len(points))
		}
		dice.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		met := map[string]bool{}
		var out []int
		for _, at := range points {
			name := names[at]
			if len(out) < most || *full && !met[name] { // one of each at the least
				met[name], out = true, append(out, at)
			}
		}
		return out
	}
	wanted := func(kind Kind) bool { return *kinds == "" || slices.Contains(strings.Split(*kinds, ","), string(kind)) }
	for _, kind := range Injected {
		for _, at := range some(pointsFor(rec, kind)) {
			if wanted(kind) {
				jobs = append(jobs, func(ctx context.Context) error { return m.Inject(ctx, Fault{At: at, Kind: kind}) })
			}
		}
	}
	for _, at := range some(pointsFor(rec, PowerLost)) {
		if wanted("power") {
			jobs = append(jobs, func(ctx context.Context) error { return m.PowerFails(ctx, rec, at) })
		}
	}
	queue := make(chan func(context.Context) error)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for job := range queue {
				if err := job(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i, job := range jobs {
		if *full && i%100 == 0 {
			fmt.Fprintf(os.Stderr, "%s: %d of %d\n", m.Work.Name, i, len(jobs))
		}
		queue <- job
	}
	close(queue)
	wg.Wait()
}

// pointsFor lists the numbers of the changes that a kind applies to.
func pointsFor(rec *Recording, kind Kind) []int {
	var out []int
	n := 0
	for i := range rec.Ops {
		o := &rec.Ops[i]
		if o.Call == "said" {
			continue
		}
		applies := kind != Torn && kind != ENOSPC || o.Call == "write" || kind == ENOSPC && o.Call != "sync" && o.Call != "unlink"
		if applies {
			out = append(out, n)
		}
		n++
	}
	return out
}
