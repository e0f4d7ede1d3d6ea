package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

const (
	// settle is the pause before something is measured.
	settle = 10 * time.Second
	// writePause is between two writes of the prober, writeLimit bounds one.
	writePause = 20 * time.Millisecond
	writeLimit = 10 * time.Second
	// progress is how often something long tells how far it is, on stderr.
	progress = time.Second
)

type measurer struct {
	options
	cluster *cluster
	fleet   *fleet
}

// register has all nodes come at once.
func (m *measurer) register(ctx context.Context) error {
	_, before, err := m.cluster.usage()
	if err != nil {
		return err
	}
	start := time.Now()
	m.fleet.start()
	if err := m.allFresh(ctx, start); err != nil {
		return err
	}
	took := time.Since(start)
	row(fmt.Sprintf("%d nodes register at once", m.nodes), took.Seconds(), 0, "s")
	mb, after, err := m.cluster.usage()
	if err != nil {
		return err
	}
	row("processor time of the servers for it", (after - before).Seconds(), 0, "s")
	row("memory of the servers then, PSS", mb, 0, "MB")
	fmt.Printf("| nodes by server | %v | | |\n", m.fleet.on())
	return nil
}

// allFresh waits until all nodes have renewed their leases after at.
func (m *measurer) allFresh(ctx context.Context, at time.Time) error {
	told := time.Now()
	return await(ctx, "all nodes renew their leases", func() error {
		n := m.fleet.fresh(at)
		if time.Since(told) > progress {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%.0f s: %d of %d nodes have renewed, sessions %v\n%s\n",
				time.Since(at).Seconds(), n, m.nodes, m.fleet.on(), m.fleet.ended.take())
		}
		if n < m.nodes {
			return fmt.Errorf("%d of %d have", n, m.nodes)
		}
		return nil
	})
}

// job is one of count instances, a system job's on each node.
func job(id, kind string, count int) *model.Job {
	job := model.NewJob(kind)
	job.ID, job.Name, job.Datacenters = id, id, []string{"*"}
	group := model.NewTaskGroup(job)
	group.Name, group.Count = "g", count
	task := model.NewTask(group)
	task.Name, task.Driver = "t", "raw_exec"
	task.Config = map[string]any{"command": "/bin/sleep", "args": []string{"3600"}}
	group.Tasks = append(group.Tasks, task)
	job.TaskGroups = append(job.TaskGroups, group)
	return job
}

// place has a task run on every node.
func (m *measurer) place(ctx context.Context) error {
	start := time.Now()
	a := m.cluster.servers[0].api
	if _, err := a.Jobs().Register(ctx, job("everywhere", model.JobTypeSystem, 1), nil); err != nil {
		return err
	}
	told := time.Now()
	err := await(ctx, "the task runs on every node", func() error {
		sum, _, err := a.Jobs().Summary(ctx, "everywhere", nil)
		if err == nil && time.Since(told) > progress {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%.0f s: %+v, %d nodes fresh\n%s\n", time.Since(start).Seconds(), sum.Summary["g"],
				m.fleet.fresh(time.Now().Add(-lease.TTL)), m.fleet.ended.take())
		}
		if err == nil && sum.Summary["g"].Running != m.nodes {
			err = fmt.Errorf("%+v", sum.Summary["g"])
		}
		return err
	})
	row("a system job runs on all of them", time.Since(start).Seconds(), 0, "s")
	return err
}

// rest measures the servers while nothing happens.
func (m *measurer) rest(ctx context.Context) error {
	time.Sleep(settle)
	_, before, err := m.cluster.usage()
	if err != nil {
		return err
	}
	start := time.Now()
	for tick := time.NewTicker(progress); time.Since(start) < m.steady; {
		select {
		case <-tick.C:
			if lost := m.fleet.ended.take(); lost != "" {
				fmt.Fprintf(os.Stderr, "at rest, %.0f s: sessions %v\n%s\n", time.Since(start).Seconds(), m.fleet.on(), lost)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	mb, after, err := m.cluster.usage()
	if err != nil {
		return err
	}
	row("steady state, all servers", (after-before).Seconds()/time.Since(start).Seconds(), targetCores, "cores")
	row("steady state, all servers, PSS", mb, targetMB, "MB")
	return nil
}

// write is one accepted write of the prober.
type write struct{ sent, done time.Time }

// prober writes all the time, through whichever server runs.
type prober struct {
	mu     sync.Mutex
	writes []write
	errs   []error
	wg     sync.WaitGroup
	cancel context.CancelFunc
}

func (m *measurer) probe(ctx context.Context, through []*server) *prober {
	ctx, cancel := context.WithCancel(ctx)
	p := &prober{cancel: cancel}
	for i, s := range through {
		p.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				w := write{sent: time.Now()}
				one, end := context.WithTimeout(ctx, writeLimit)
				j := job(fmt.Sprintf("probe%d", i), model.JobTypeService, 0)
				j.Meta = map[string]string{"n": fmt.Sprint(n)}
				_, err := s.api.Jobs().Register(one, j, nil)
				end()
				w.done = time.Now()
				p.mu.Lock()
				if err == nil {
					p.writes = append(p.writes, w)
				} else if ctx.Err() == nil {
					p.errs = append(p.errs, err)
				}
				p.mu.Unlock()
				time.Sleep(writePause)
			}
		})
	}
	return p
}

// end stops it. first is when the first write that was sent after at was
// accepted; stall is the slowest write that was sent after that.
func (p *prober) end(at time.Time) (first time.Time, stall time.Duration) {
	p.cancel()
	p.wg.Wait()
	slices.SortFunc(p.writes, func(a, b write) int { return a.done.Compare(b.done) })
	for _, w := range p.writes {
		switch {
		case w.sent.Before(at):
		case first.IsZero():
			first = w.done
		case w.sent.After(first):
			stall = max(stall, w.done.Sub(w.sent))
		}
	}
	return first, stall
}

// storms kills the leader, each round, and lets it come back.
func (m *measurer) storms(ctx context.Context) error {
	for round := range m.rounds {
		if err := m.storm(ctx, fmt.Sprintf("storm %d: ", round+1)); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurer) storm(ctx context.Context, name string) error {
	l := m.cluster.leader(ctx)
	if l == nil {
		return errors.New("no server leads")
	}
	moved := m.fleet.on()[l.addr+":4647"]
	p := m.probe(ctx, slices.DeleteFunc(slices.Clone(m.cluster.servers), func(s *server) bool { return s == l }))
	time.Sleep(time.Second)
	at := time.Now()
	if err := l.kill(); err != nil {
		return err
	}
	settled := m.allFresh(ctx, at)
	took := time.Since(at)
	time.Sleep(5 * time.Second) // writes after the storm count, too
	first, stall := p.end(at)
	if settled != nil {
		return settled
	}
	fmt.Printf("| %snodes of the killed leader | %d | | |\n", name, moved)
	row(name+"all nodes have renewed their leases after", took.Seconds(), targetSettle.Seconds(), "s")
	row(name+"first write accepted after", first.Sub(at).Seconds(), 0, "s")
	row(name+"slowest write from then on", stall.Seconds(), targetStall.Seconds(), "s")
	for _, err := range p.errs {
		fmt.Printf("| %swrite refused | %v | | |\n", name, err)
	}
	if err := m.nobodyLost(ctx, l); err != nil {
		return err
	}
	if err := l.start(); err != nil {
		return err
	}
	return await(ctx, "the killed server is back", func() error {
		_, _, err := l.api.Nodes().List(ctx, &api.Query{Stale: true, PerPage: 1})
		if err == nil && m.cluster.leader(ctx) == nil {
			err = errors.New("no server leads")
		}
		return err
	})
}

// nobodyLost checks that no node was taken down and no task was replaced.
func (m *measurer) nobodyLost(ctx context.Context, killed *server) error {
	for _, s := range m.cluster.servers {
		if s == killed {
			continue
		}
		nodes, _, err := s.api.Nodes().List(ctx, nil)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if n.Status != model.NodeStatusReady {
				return fmt.Errorf("the storm cost node %s its state, which is %s: %s", n.ID, n.Status, n.StatusDescription)
			}
		}
		if m.idle {
			continue
		}
		sum, _, err := s.api.Jobs().Summary(ctx, "everywhere", nil)
		if err != nil {
			return err
		}
		if g := sum.Summary["g"]; g.Running != m.nodes || g.Lost != 0 || g.Failed != 0 || g.Complete != 0 {
			return fmt.Errorf("the storm cost tasks: %+v", g)
		}
	}
	return nil
}
