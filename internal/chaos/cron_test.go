package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/internal/faults"
	"github.com/steppe-project/steppe/model"
)

var cronFlag = flag.Duration("cron", 20*time.Second, "how long TestCron has a job launched each second")

// TestCron: a job is launched each second while the leader is killed twice. Each
// second's instance runs exactly once: no slot is that late that it counts as
// missed.
//
//	go test ./internal/chaos -run TestCron -cron 5m
func TestCron(t *testing.T) {
	t.Parallel()
	c := New(t, 3, 1)
	c.Site.Await("periodic jobs can be registered", faults.Patience, c.launches)
	ran := filepath.Join(t.TempDir(), "ran")
	job := c.Site.Script("tick", model.JobTypeBatch, "raw_exec", 1, `echo "$NOMAD_JOB_ID" >> `+ran)
	job.Periodic = &model.PeriodicConfig{Enabled: true, SpecType: "cron", Specs: []string{"* * * * * * *"}}
	c.Servers[0].Register(job)
	begin := time.Now().Unix() + 1
	for range 2 {
		time.Sleep(*cronFlag / 3)
		c.killLeader()
	}
	time.Sleep(*cronFlag / 3)
	end := time.Now().Unix()
	var slots map[int64]int
	c.Site.Await("every second's instance has run", 2*faults.Patience, func() (err error) {
		slots, err = readSlots(ran)
		for s := begin; err == nil && s <= end; s++ {
			if slots[s] == 0 {
				err = fmt.Errorf("nothing ran for %d, the %dth second of %d", s, s-begin, end-begin)
			}
		}
		return err
	})
	c.Servers[0].Stop("tick")
	c.Site.Await("no instance runs", faults.Patience, c.Site.Left)
	slots, err := readSlots(ran)
	if err != nil {
		t.Error(err)
	}
	for s, n := range slots {
		if n != 1 {
			t.Errorf("the instance of %d ran %d times", s, n)
		}
	}
	t.Logf("%d slots, each once, over two leaders killed", len(slots))
}

// launches checks that the feature level of launches is active.
func (c *Cluster) launches() error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	job := c.Site.Script("probe", model.JobTypeBatch, "raw_exec", 1, "true")
	job.Periodic = &model.PeriodicConfig{Enabled: true, SpecType: "cron", Specs: []string{"0 0 1 1 * 2090"}}
	if _, err := c.Servers[0].API.Jobs().Register(ctx, job, nil); err != nil {
		return err
	}
	_, err := c.Servers[0].API.Jobs().Deregister(ctx, "probe", true, false, &api.Query{})
	return err
}

// killLeader kills the server that leads, waits until another one does, and
// starts it again.
func (c *Cluster) killLeader() {
	c.T.Helper()
	old := c.awaitLeader()
	old.Signal(syscall.SIGKILL)
	c.Site.Await("another server leads", faults.Patience, func() error {
		if l := c.leader(); l == nil || l == old {
			return fmt.Errorf("none leads")
		}
		return nil
	})
	old.Start()
}

// readSlots counts the lines of a file by the slot that they name.
func readSlots(path string) (map[int64]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	slots := map[int64]int{}
	for line := range strings.Lines(string(text)) {
		s, ok := strings.CutPrefix(strings.TrimSpace(line), "tick/periodic-")
		slot, err := strconv.ParseInt(s, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("strange line %q", line)
		}
		slots[slot]++
	}
	return slots, nil
}
