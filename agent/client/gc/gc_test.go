package gc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/agent/client/alloc"
)

// shelf is a set of allocations that all have ended, but for some.
type shelf struct {
	living int
	ended  []alloc.Ended
}

func (s *shelf) Count() (int, []alloc.Ended) { return s.living + len(s.ended), slices.Clone(s.ended) }

func (s *shelf) Remove(_ context.Context, id string) error {
	s.ended = slices.DeleteFunc(s.ended, func(e alloc.Ended) bool { return e.ID == id })
	return nil
}

func fill(n int) *shelf {
	s := &shelf{living: 2}
	for i := range n {
		s.ended = append(s.ended, alloc.Ended{ID: fmt.Sprint(i), At: time.Now().Add(time.Duration(i) * time.Minute)})
	}
	return s
}

func TestPolicy(t *testing.T) {
	usage := 95.0
	for _, tc := range []struct {
		name string
		cfg  Config
		left int
	}{
		{"no limits", Config{}, 10},
		{"number", Config{MaxAllocs: 5}, 3},
		{"age", Config{MaxAge: 10 * time.Minute}, 6},
		{"disk", Config{DiskPercent: 80, Usage: func() (float64, float64, error) { usage -= 5; return usage, 0, nil }}, 8},
		{"inodes", Config{InodePercent: 70, Usage: func() (float64, float64, error) { return 0, 71, nil }}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := fill(10)
				tc.cfg.Interval = time.Minute
				c := New(tc.cfg, s, slog.New(slog.DiscardHandler))
				if err := c.apply(t.Context(), time.Now().Add(14*time.Minute)); err != nil {
					t.Fatal(err)
				}
				if len(s.ended) != tc.left {
					t.Errorf("%d left, want %d", len(s.ended), tc.left)
				}
				if n := len(s.ended); n > 0 && s.ended[n-1].ID != "9" {
					t.Error("the youngest went first")
				}
			})
		})
	}
}

func TestCollect(t *testing.T) {
	s := fill(3)
	c := New(Config{}, s, slog.New(slog.DiscardHandler))
	if err := c.Collect(t.Context(), "1"); err != nil || len(s.ended) != 2 {
		t.Error(err, s.ended)
	}
	if err := c.Collect(t.Context(), "1"); err == nil {
		t.Error("removed twice")
	}
	if err := c.Collect(t.Context(), ""); err != nil || len(s.ended) != 0 {
		t.Error(err, s.ended)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fill(3)
		c := New(Config{Interval: time.Minute, MaxAllocs: 2}, s, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Minute + time.Second); cancel() }()
		if err := c.Run(ctx); err != nil || len(s.ended) != 0 {
			t.Error(err, s.ended)
		}
	})
}
