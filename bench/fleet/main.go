// Command fleet measures what a fleet of simulated nodes costs three real
// servers, and how a storm of reconnecting nodes settles after the leader is
// killed. The servers are processes on loopback addresses; the nodes are
// production's sessions, each with a connection of its own (TLS, stream, tunnel),
// in this process. They are no members of gossip. It prints a Markdown table
// with the target of each figure.
//
//	go run ./bench/fleet -steppe bin/steppe [-nodes 10000] [-rounds 3] [-steady 60s]
//
// All of it shares the machine's cores: the nodes' half of the handshakes, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"
)

// Targets of the issue.
const (
	targetCores  = 1
	targetMB     = 2048
	targetSettle = 15 * time.Second
	targetStall  = time.Second
)

// options are the command's flags.
type options struct {
	steppe string
	nodes  int
	rounds int
	steady time.Duration
	idle   bool
}

// nodesMemory is what the simulated nodes take before their garbage is collected.
const nodesMemory = 12 << 30

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var o options
	flag.StringVar(&o.steppe, "steppe", "bin/steppe", "the `binary` of the servers")
	flag.IntVar(&o.nodes, "nodes", 10_000, "how many nodes")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the leader is killed")
	flag.DurationVar(&o.steady, "steady", time.Minute, "for how long the steady state is measured")
	flag.BoolVar(&o.idle, "idle", false, "run no tasks on the nodes")
	profile := flag.String("cpuprofile", "", "write the simulated nodes' processor profile to this `file`")
	flag.Parse()
	if *profile != "" {
		out, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// All nodes are in this process: collecting their garbage at once stalls them all for
	// seconds, as no machine of its own is stalled.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(nodesMemory)
	restore, err := roomy()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	c, err := startCluster(ctx, o.steppe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	f, err := newFleet(c, o.nodes)
	if err != nil {
		return err
	}
	defer f.stop()
	m := &measurer{options: o, cluster: c, fleet: f}
	fmt.Println("| figure | measured | target | |")
	fmt.Println("|---|---|---|---|")
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"registration", m.register}, {"placement", m.place}, {"steady state", m.rest}, {"storm", m.storms}} {
		if o.idle && part.name == "placement" {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w\n%s", part.name, err, c.tails())
		}
	}
	return nil
}

// row prints one figure; it is good when measured is at most target, 0 for none.
func row(name string, measured, target float64, unit string) {
	if target == 0 {
		fmt.Printf("| %s | %.4g %s | | |\n", name, measured, unit)
		return
	}
	verdict := "ok"
	if measured > target {
		verdict = "**missed**"
	}
	fmt.Printf("| %s | %.4g %s | ≤ %.4g %s | %s |\n", name, measured, unit, target, unit, verdict)
}
