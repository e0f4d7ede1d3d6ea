// Command raftbench measures what the servers' consensus does through gRPC: servers
// as processes of their own with a durable log and the real state machine, and
// writers of commands of a kilobyte in this process.
//
//	go run ./bench/raftbench                        one server, 64 writers
//	go run ./bench/raftbench -servers 3
//	go run ./bench/raftbench -writers 1             beside a raw append and fsync
//	go run ./bench/raftbench -allocs 1000000        a snapshot of so many meanwhile
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	servers, writers, conns, allocs int
	length                          time.Duration
	dir                             string
}

func main() {
	var o options
	flag.IntVar(&o.servers, "servers", 1, "servers, 1 to 9")
	flag.IntVar(&o.writers, "writers", 64, "writers at the same time")
	flag.IntVar(&o.conns, "conns", 4, "connections that they share")
	flag.IntVar(&o.allocs, "allocs", 0, "allocations to fill the state with; a snapshot of them is taken half way")
	flag.DurationVar(&o.length, "for", 10*time.Second, "how long")
	flag.StringVar(&o.dir, "dir", "", "where the logs are (default: a temporary directory)")
	serve := flag.String("serve", "", "used by raftbench itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := func() error { return measure(ctx, o) }
	if *serve != "" {
		do = func() error { return runServer(ctx, *serve, o.dir) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "raftbench:", err)
		os.Exit(1)
	}
}

// measure starts the servers, writes, and prints a line for the table.
func measure(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "raftbench-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	raw, err := rawAppend(o.dir)
	if err != nil {
		return err
	}
	g, err := startGroup(ctx, o)
	if err != nil {
		return err
	}
	defer g.stop()
	if o.allocs > 0 {
		took, err := g.fill(ctx, o.allocs)
		if err != nil {
			return err
		}
		fmt.Printf("filled with %d allocations in %.1f s\n", o.allocs, took.Seconds())
	}
	r, err := g.write(ctx, o)
	if err != nil {
		return err
	}
	after, err := rawAppend(o.dir)
	if err != nil {
		return err
	}
	fmt.Printf("servers %d, writers %d: %.0f/s, p50 %.2f ms, p99 %.2f ms, worst %.1f ms, longest gap %.0f ms%s; raw append and fsync p50 %.2f ms before, %.2f ms after\n",
		o.servers, o.writers, r.rate, ms(r.p50), ms(r.p99), ms(r.worst), ms(r.gap), r.snapshot, ms(raw), ms(after))
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// rawAppend is the median of appending a kilobyte to a file and syncing it.
func rawAppend(dir string) (time.Duration, error) {
	path := filepath.Join(dir, "raw")
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	var took []time.Duration
	for range 300 {
		began := time.Now()
		if _, err := f.Write(make([]byte, commandBytes)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
