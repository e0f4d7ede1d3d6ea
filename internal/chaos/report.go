package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/steppe-project/steppe/internal/faults"
)

// Keep writes what is needed to understand a violation into a new directory that
// stays, and returns its path.
func Keep(bad []Violation, ops []Op, faults []string) (string, error) {
	dir, err := os.MkdirTemp("", "steppe-chaos-")
	if err != nil {
		return "", err
	}
	errs := []error{os.WriteFile(filepath.Join(dir, "faults.txt"), []byte(strings.Join(faults, "\n")+"\n"), 0o644)}
	for _, v := range bad {
		errs = append(errs,
			os.WriteFile(filepath.Join(dir, v.Key+".txt"), []byte(v.Err.Error()+"\n\n"+text(ops, v.Key)), 0o644),
			porcupine.VisualizePath(registers, v.Info, filepath.Join(dir, v.Key+".html")))
	}
	return dir, errors.Join(errs...)
}

// hashEvery is how often the servers' state hashes are read.
const hashEvery = 200 * time.Millisecond

// HashWatch compares the state hashes of servers all the time: those read at the
// same index must be equal.
type HashWatch struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	byIndex  map[uint64]string
	compared int // readings of an index that had been read elsewhere
	errs     []error
}

// WatchHashes starts it; End must follow.
func (w *Workload) WatchHashes() *HashWatch {
	ctx, cancel := context.WithCancel(context.Background())
	h := &HashWatch{cancel: cancel, byIndex: map[uint64]string{}}
	h.wg.Go(func() {
		for ctx.Err() == nil {
			w.mu.Lock()
			servers := w.servers
			w.mu.Unlock()
			var round sync.WaitGroup
			for _, a := range servers {
				round.Go(func() { h.look(ctx, a) })
			}
			round.Wait()
			select {
			case <-ctx.Done():
			case <-time.After(hashEvery):
			}
		}
	})
	return h
}

func (h *HashWatch) look(ctx context.Context, a *faults.Agent) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	got, err := a.API.Cluster().StateHash(ctx)
	if err != nil {
		return // it is down, or far away
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch old, ok := h.byIndex[got.Index]; {
	case !ok:
		h.byIndex[got.Index] = got.Hash
	case old != got.Hash:
		h.errs = append(h.errs, fmt.Errorf("at index %d %s has state %s, another server has %s", got.Index, a.Name, got.Hash, old))
	default:
		h.compared++
	}
}

// End stops it. compared is how many readings could be compared.
func (h *HashWatch) End() (compared int, err error) {
	h.cancel()
	h.wg.Wait()
	return h.compared, errors.Join(h.errs...)
}

// SameState waits until all servers are at one index, with one hash.
func (c *Cluster) SameState() {
	c.T.Helper()
	c.Site.Await("all servers have the same state", 2*faults.Patience, func() error {
		hashes := map[string][]string{}
		for _, a := range c.Servers {
			ctx, cancel := context.WithTimeout(context.Background(), callLimit)
			got, err := a.API.Cluster().StateHash(ctx)
			cancel()
			if err != nil {
				return err
			}
			key := fmt.Sprintf("%d %s", got.Index, got.Hash)
			hashes[key] = append(hashes[key], a.Name)
		}
		if len(hashes) != 1 {
			return fmt.Errorf("%v", hashes)
		}
		return nil
	})
}

// median and the largest of some durations; zero of none.
func median(d []time.Duration) (mid, most time.Duration) {
	if len(d) == 0 {
		return 0, 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2], d[len(d)-1]
}
