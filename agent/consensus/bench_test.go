package consensus

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-project/steppe/fsm"
)

// BenchmarkPropose measures proposals of 1 KB with fsync on, by one server and
// by three on the same disk.
func BenchmarkPropose(b *testing.B) {
	for _, servers := range []int{1, 3} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("servers=%d/writers=%d", servers, writers), func(b *testing.B) {
				benchPropose(b, servers, writers)
			})
		}
	}
}

func benchPropose(b *testing.B, servers, writers int) {
	var leader *member
	if servers == 1 {
		leader = startAlone(b, filepath.Join(b.TempDir(), "raft"))
	} else {
		leader = waitLeader(b, startCluster(b, servers)...)
	}
	cmd := fsm.Command{Kind: 1, Body: bytes.Repeat([]byte{'x'}, 1024)}
	ctx := context.Background()
	for range 200 { // the file has its size, the pipelines run
		if _, err := leader.Propose(ctx, cmd); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, writers)
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := leader.Propose(ctx, cmd); err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
	b.ReportMetric(all[len(all)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric(all[len(all)-1].Seconds()*1e3, "worst-ms")
}
