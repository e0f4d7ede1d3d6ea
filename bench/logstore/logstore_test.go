// Package logstore compares log stores for hashicorp/raft: raft-boltdb with the
// options that servers opened it with, and raft-wal, which they use now, with its
// defaults. It is a module of its own, which decided between them.
//
//	cd bench/logstore && go test -bench . -benchtime 3s
package logstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"go.etcd.io/bbolt"
)

// entryBytes is the size of an entry's data.
const entryBytes = 1024

// store is a raft.LogStore that can be closed.
type store interface {
	raft.LogStore
	Close() error
}

var stores = []struct {
	name string
	open func(dir string) (store, error)
}{
	{"boltdb", func(dir string) (store, error) {
		return raftboltdb.New(raftboltdb.Options{
			Path: filepath.Join(dir, "log.db"), MsgpackUseNewTimeFormat: true,
			BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 256 << 20},
		})
	}},
	{"wal", func(dir string) (store, error) { return wal.Open(dir) }},
}

// entries makes n entries from index on.
func entries(index uint64, n int) []*raft.Log {
	data := make([]byte, entryBytes)
	for i := range data {
		data[i] = byte(i * 7)
	}
	out := make([]*raft.Log, n)
	for i := range out {
		out[i] = &raft.Log{Index: index + uint64(i), Term: 1, Data: data, AppendedAt: time.Now()}
	}
	return out
}

// report adds the median and the tail of what calls took.
func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1e3, "worst-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRaw is what a write must cost: append 1 KB to a file and fsync it.
func BenchmarkRaw(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, entryBytes)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	report(b, took)
}

// BenchmarkStore writes batches of entries, each made durable before the next.
func BenchmarkStore(b *testing.B) {
	for _, s := range stores {
		for _, batch := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("%s/batch=%d", s.name, batch), func(b *testing.B) {
				dir := b.TempDir()
				log, err := s.open(dir)
				if err != nil {
					b.Fatal(err)
				}
				defer log.Close()
				next := uint64(1)
				write := func() {
					if err := log.StoreLogs(entries(next, batch)); err != nil {
						b.Fatal(err)
					}
					next += uint64(batch)
				}
				for range 20 { // the file has begun to grow
					write()
				}
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					write()
					took = append(took, time.Since(began))
				}
				b.ReportMetric(float64(len(took)*batch)/b.Elapsed().Seconds(), "entries/s")
				b.ReportMetric(float64(allocated(b, dir))/float64(next-1), "disk-B/entry")
				report(b, took)
			})
		}
	}
}

// BenchmarkTruncate removes all but the newest 10,240 of 60,000 entries, as after a
// snapshot, and goes on writing.
func BenchmarkTruncate(b *testing.B) {
	const all, kept, batch = 60_000, 10_240, 500
	for _, s := range stores {
		b.Run(s.name, func(b *testing.B) {
			var took, after []time.Duration
			for b.Loop() {
				b.StopTimer()
				dir := b.TempDir()
				log, err := s.open(dir)
				if err != nil {
					b.Fatal(err)
				}
				for i := uint64(1); i <= all; i += batch {
					if err := log.StoreLogs(entries(i, batch)); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				began := time.Now()
				if err := log.DeleteRange(1, all-kept); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				b.StopTimer()
				began = time.Now()
				if err := log.StoreLogs(entries(all+1, 1)); err != nil {
					b.Fatal(err)
				}
				after = append(after, time.Since(began))
				b.ReportMetric(float64(allocated(b, dir))/(1<<20), "disk-MiB")
				if err := log.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			slices.Sort(after)
			b.ReportMetric(after[len(after)/2].Seconds()*1e3, "next-write-ms")
			report(b, took)
		})
	}
}

// allocated is what the files below dir take up.
func allocated(b *testing.B, dir string) int64 {
	total := int64(0)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		err = syscall.Stat(path, &st)
		total += st.Blocks * 512
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return total
}
