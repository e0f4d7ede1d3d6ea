// Package gc removes what ended allocations left on the disk.
//
// Contract and invariants:
//
//   - Only allocations that have ended, and whose end the servers know, go;
//     oldest first, and no more than the policy asks for.
//   - It runs beside everything else: nothing waits for it.
//
// Example:
//
//	collector := gc.New(gc.Config{Interval: time.Minute, MaxAllocs: 50, ...}, set, log)
//	go collector.Run(ctx)
//	err := collector.Collect(ctx, "") // everything that may go
package gc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/model"
)

// Config is the policy. A zero limit means no limit of that kind.
type Config struct {
	// Interval between looks.
	Interval time.Duration
	// MaxAllocs is how many allocations, living ones included, may be on the node
	// before ended ones go.
	MaxAllocs int
	// MaxAge is how long an ended allocation stays at most.
	MaxAge time.Duration
	// DiskPercent and InodePercent are how full the disk may be.
	DiskPercent, InodePercent float64
	// Usage measures the disk, in percent.
	Usage func() (bytes, inodes float64, err error)
}

// Set is what is collected; *alloc.Set is one.
type Set interface {
	Count() (all int, ended []alloc.Ended)
	Remove(ctx context.Context, id string) error
}

// Collector applies the policy.
type Collector struct {
	cfg Config
	set Set
	log *slog.Logger
	mu  sync.Mutex // one collection at a time
}

// New makes a collector; Run applies its policy.
func New(cfg Config, set Set, log *slog.Logger) *Collector {
	return &Collector{cfg: cfg, set: set, log: log}
}

// Run looks every Interval until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.apply(ctx, time.Now()); err != nil && ctx.Err() == nil {
				c.log.Warn("garbage collection", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// apply removes what the policy asks for.
func (c *Collector) apply(ctx context.Context, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, ended := c.set.Count()
	for _, e := range ended {
		why, err := c.reason(all, e, now)
		if err != nil {
			return err
		}
		if why == "" {
			return nil // the others are younger
		}
		if err := c.set.Remove(ctx, e.ID); err != nil {
			return err
		}
		c.log.Info("removed an ended allocation", "alloc_id", e.ID, "reason", why)
		all--
	}
	return nil
}

// reason is why the oldest ended allocation has to go, or "".
func (c *Collector) reason(all int, e alloc.Ended, now time.Time) (string, error) {
	switch {
	case c.cfg.MaxAge > 0 && now.Sub(e.At) > c.cfg.MaxAge:
		return "age", nil
	case c.cfg.MaxAllocs > 0 && all > c.cfg.MaxAllocs:
		return "number of allocations", nil
	case c.cfg.Usage == nil:
		return "", nil
	}
	bytes, inodes, err := c.cfg.Usage()
	switch {
	case err != nil:
		return "", err
	case c.cfg.DiskPercent > 0 && bytes > c.cfg.DiskPercent:
		return "disk usage", nil
	case c.cfg.InodePercent > 0 && inodes > c.cfg.InodePercent:
		return "inode usage", nil
	}
	return "", nil
}

// Collect removes one ended allocation, or all of them (""), whatever the policy.
func (c *Collector) Collect(ctx context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ended := c.set.Count()
	found := false
	var errs []error
	for _, e := range ended {
		if id == "" || e.ID == id {
			found = true
			errs = append(errs, c.set.Remove(ctx, e.ID))
		}
	}
	if id != "" && !found {
		return model.Errorf(model.CodeInvalid, "allocation %s is not here, or has not ended", id)
	}
	return errors.Join(errs...)
}
