package stats

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

func TestHost(t *testing.T) {
	h := NewHost(t.TempDir(), 4000)
	for range 2 {
		s, err := h.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Memory.Total == 0 || len(s.CPU) == 0 || s.AllocDirStats.Size == 0 || s.Uptime == 0 || s.CPUTicksConsumed < 0 || s.CPUTicksConsumed > 4000 {
			t.Errorf("%+v", s)
		}
	}
}

func TestRates(t *testing.T) {
	a := parseTimes("cpu  9 9 9 9\ncpu0 100 0 100 800 0 0 0 0 0 0\ncpu10 0 0 0 0\nintr 5\n")
	b := parseTimes("cpu0 150 0 125 825 0 0 0 0 50 0\ncpu10 0 0 0 0\n")
	got := rates(a, b)
	if len(got) != 2 || got[0].CPU != "cpu0" || got[0].User != 50 || got[0].System != 25 || got[0].Total != 75 || got[1].Idle != 100 {
		t.Errorf("%+v %+v", got[0], got[1])
	}
}

// source counts how often it is asked.
type source struct{ opened, closed int }

func (s *source) TaskStats(ctx context.Context, id string, every time.Duration) (<-chan *plugins.TaskUsage, error) {
	if id == "bad" {
		return nil, errors.New("no such task")
	}
	s.opened++
	out := make(chan *plugins.TaskUsage)
	go func() {
		defer close(out)
		defer func() { s.closed++ }()
		for {
			u := &plugins.TaskUsage{Timestamp: time.Now(), Total: plugins.Usage{CPU: plugins.CPUUsage{Percent: 5, TotalTicks: math.NaN()}, Memory: plugins.MemoryUsage{RSS: 7}}}
			select {
			case out <- u:
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tasks := &source{}, NewTasks()
		for range 3 {
			u, err := tasks.Read(t.Context(), s, "a")
			if err != nil || u.ResourceUsage.CpuStats.Percent != 5 || u.ResourceUsage.CpuStats.TotalTicks != 0 {
				t.Fatalf("%+v %v", u, err)
			}
			time.Sleep(Linger / 2)
		}
		if s.opened != 1 {
			t.Errorf("opened %d times", s.opened)
		}
		time.Sleep(Linger + time.Second)
		synctest.Wait()
		if s.closed != 1 {
			t.Error("still measured though nobody asks")
		}
		if _, err := tasks.Read(t.Context(), s, "bad"); err == nil {
			t.Error("no error")
		}
		if _, err := tasks.Read(t.Context(), s, "a"); err != nil || s.opened != 2 {
			t.Error(err, s.opened)
		}
		tasks.Close()
	})
}
