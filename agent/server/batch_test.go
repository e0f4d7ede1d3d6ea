package server_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server"
	"github.com/steppe-project/steppe/model"
)

var batchFlag = flag.Int("batch", 600, "how many tasks TestBatchCounts has run")

// finish has a node's running instances complete, some at each call.
func (s *node) finish(share float64) {
	var updates []*model.AllocUpdate
	s.mu.Lock()
	for id, a := range s.allocs {
		if s.status[id] == model.ClientRunning && !a.ServerTerminal() && rand.Float64() < share {
			s.status[id] = model.ClientComplete
			updates = append(updates, &model.AllocUpdate{ID: id, ClientStatus: model.ClientComplete})
		}
	}
	s.mu.Unlock()
	if len(updates) == 0 {
		return
	}
	_, err := msg.NodeUpdateAllocs.Call(context.Background(), s.c.call, &msg.NodeUpdateAllocsRequest{NodeID: s.ID, SecretID: s.SecretID, Updates: updates})
	if err != nil {
		s.c.t.Errorf("node %s reports: %v", s.Name, err)
	}
}

// TestBatchCounts: of a large batch job each instance completes exactly once, while
// machines die with what they run, and come back, before anybody noticed or after.
//
//	go test ./agent/server -run TestBatchCounts -batch 10000
func TestBatchCounts(t *testing.T) {
	t.Parallel()
	c := start(t, server.Config{})
	nodes := c.machines(20)
	j := small("batch", *batchFlag)
	j.Type = model.JobTypeBatch
	j.Update = nil
	j.TaskGroups[0].Update = nil
	c.register(j)
	began, deaths := time.Now(), 0
	var back sync.WaitGroup
	var mu sync.Mutex // nodes
	for c.completed("batch") < *batchFlag {
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("%d of %d completed", c.completed("batch"), *batchFlag)
		}
		mu.Lock()
		if i := rand.IntN(len(nodes)); nodes[i] != nil && rand.IntN(6) == 0 {
			dead := nodes[i]
			nodes[i], deaths = nil, deaths+1
			dead.stop()
			c.region.fail(dead.ID, true)
			back.Go(func() {
				time.Sleep(rand.N(6 * time.Second)) // a lease lasts half of it
				c.region.fail(dead.ID, false)
				n := c.connect(dead.Node)
				mu.Lock()
				nodes[i] = n
				mu.Unlock()
			})
		}
		for _, n := range nodes {
			if n != nil {
				n.finish(0.05)
			}
		}
		mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
	back.Wait()
	c.until("the job is over", func() bool {
		j := c.store.Snapshot().Job(model.DefaultNamespace, "batch")
		return j.Status == model.JobStatusDead
	})
	done, lost := map[int]int{}, 0
	for a := range c.store.Snapshot().AllocsByJob(model.DefaultNamespace, "batch") {
		switch {
		case a.ClientStatus == model.ClientComplete && !a.ServerTerminal():
			done[a.Index()]++
		case a.ClientStatus == model.ClientLost:
			lost++
		}
	}
	for i := range *batchFlag {
		if done[i] != 1 {
			t.Errorf("instance %d completed %d times", i, done[i])
		}
	}
	s := c.store.Snapshot().JobSummary(model.DefaultNamespace, "batch").Summary["web"]
	if lost == 0 {
		t.Error("no instance was lost: nothing was tried")
	}
	if len(done) != *batchFlag || s.Complete != *batchFlag {
		t.Errorf("%d instances completed, the summary says %+v", len(done), s)
	}
	t.Logf("%d completions, %d machines died, %d instances were lost with them and ran again, in %s", len(done), deaths, lost, time.Since(began).Round(time.Second))
}

// completed counts the instances of a job that have completed.
func (c *cluster) completed(job string) int {
	if s := c.store.Snapshot().JobSummary(model.DefaultNamespace, job); s != nil {
		return s.Summary["web"].Complete
	}
	return 0
}
