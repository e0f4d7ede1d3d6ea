package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/internal/faults"
)

// writers write all the time, each to a register of its own, through servers that
// are not the victim.
type writers struct {
	w      *Workload
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

const writersPerServer = 2

func (c *Cluster) write() *writers {
	ctx, cancel := context.WithCancel(context.Background())
	ws := &writers{
		w:      &Workload{c: c, history: NewHistory(), cancel: cancel, lives: map[string]int{}, seen: map[string]uint64{}},
		cancel: cancel,
	}
	h := ws.w.history
	for i := range writersPerServer * len(c.Servers) {
		a := c.Servers[i%len(c.Servers)]
		ws.wg.Go(func() {
			for ctx.Err() == nil {
				op := Op{Client: i, Key: fmt.Sprintf("w%d", i), Value: int(ws.w.values.Add(1)), Server: a.Name, Attempts: 1, Call: h.Now()}
				op.Index, op.Outcome, op.Note = ws.w.put(a, &op, "")
				op.Return = h.Now()
				h.add(op)
				if op.Outcome == Unknown {
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return ws
}

// gapAfter is the longest time without an accepted write that began after at, or
// lasted then.
func gapAfter(ops []Op, at, until time.Duration) time.Duration {
	var returns []time.Duration
	for _, o := range ops {
		if o.Outcome == OK && o.Return >= at-time.Second && o.Return <= until {
			returns = append(returns, o.Return)
		}
	}
	slices.Sort(returns)
	gap := time.Duration(0)
	for i := 1; i < len(returns); i++ {
		if returns[i] >= at {
			gap = max(gap, returns[i]-returns[i-1])
		}
	}
	return gap
}

// BenchmarkFailover: a server that leads goes, each round; the figure is the time
// until the next write is accepted (kill, freeze) or the longest time without one
// (term, leave). Writes go on through all servers; none may be lost.
//
//	go test ./internal/chaos -run '^$' -bench Failover/kill -benchtime 50x
func BenchmarkFailover(b *testing.B) {
	freeze := func(a *faults.Agent) func() { a.Freeze(); return func() { time.Sleep(9 * time.Second); a.Thaw() } }
	start := func(a *faults.Agent, sig syscall.Signal) func() { a.Signal(sig); return func() { a.Start() } }
	for _, kind := range []struct {
		name string
		gap  bool
		do   func(a *faults.Agent) (undo func())
	}{
		{"kill", false, func(a *faults.Agent) func() { return start(a, syscall.SIGKILL) }},
		{"freeze", false, freeze},
		{"term", true, func(a *faults.Agent) func() { return start(a, syscall.SIGTERM) }},
		{"handover", true, func(a *faults.Agent) func() {
			ctx, cancel := context.WithTimeout(context.Background(), faults.Patience)
			defer cancel()
			if err := a.API.Cluster().TransferLeadership(ctx, "", ""); err != nil {
				b.Error(err)
			}
			return func() {}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			c := New(b, 3, 0)
			ws := c.write()
			var took []time.Duration
			for range b.N {
				time.Sleep(300 * time.Millisecond)
				took = append(took, c.failover(ws, kind.gap, kind.do))
			}
			ws.cancel()
			ws.wg.Wait()
			ops := ws.w.history.Ops()
			if bad, _, _ := CheckLinear(ops); len(bad) > 0 {
				b.Errorf("%s: %v", bad[0].Key, bad[0].Err)
			}
			if err := ws.w.CheckKept(c.Servers[0]); err != nil {
				b.Error(err)
			}
			mid, most := median(took)
			b.ReportMetric(float64(mid.Milliseconds()), "ms/median")
			b.ReportMetric(float64(most.Milliseconds()), "ms/worst")
			b.ReportMetric(0, "ns/op")
			b.Logf("%d rounds, %d writes, median %v, worst %v, load %s", b.N, len(ops), mid, most, load())
		})
	}
}

// awaitLeader waits until a server leads.
func (c *Cluster) awaitLeader() (l *faults.Agent) {
	c.T.Helper()
	c.Site.Await("a server leads", faults.Patience, func() error {
		if l = c.leader(); l == nil {
			return fmt.Errorf("none leads")
		}
		return nil
	})
	return l
}

// failover does one round and returns its figure.
func (c *Cluster) failover(ws *writers, gap bool, do func(a *faults.Agent) func()) time.Duration {
	c.T.Helper()
	old := c.awaitLeader()
	h := ws.w.history
	at := h.Now()
	undo := do(old)
	var took []time.Duration
	c.Site.Await("a write is accepted", faults.Patience, func() error {
		if took = Failovers(h.Ops(), []time.Duration{at}); len(took) == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	time.Sleep(time.Second) // for the gap, and for the new leader to be known
	figure := took[0]
	if gap {
		figure = gapAfter(h.Ops(), at, h.Now())
	}
	newest := uint64(0) // of a register that somebody else writes
	for _, o := range h.Ops() {
		if o.Key == "w0" {
			newest = max(newest, o.Index)
		}
	}
	undo()
	c.Site.Await(old.Name+" is back", faults.Patience, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		job, _, err := old.API.Jobs().Get(ctx, "w0", &api.Query{Stale: true})
		if err == nil && job.JobModifyIndex < newest {
			err = fmt.Errorf("it is at index %d, the others had %d", job.JobModifyIndex, newest)
		}
		return err
	})
	return figure
}
