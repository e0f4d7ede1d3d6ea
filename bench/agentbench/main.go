// Command agentbench measures a real dev agent through its HTTP API: how long a
// job takes from its submission until its task runs, how long a hundred tasks
// take, and what the Steppe processes cost when idle and for each task. It
// prints a Markdown table with the target of each figure.
//
//	go run ./bench/agentbench -steppe bin/steppe [-quick] [-only latency,tasks,memory]
//
// The agent is started from a copy of the binary, so that its processes (agent,
// drivers, shims) can be told from others, and is stopped at the end. Being
// root is needed for the exec driver; its figures are left out otherwise.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// scale is how much is measured.
type scale struct {
	submissions int           // of each driver
	tasks       int           // of one job
	extra       int           // tasks that memory is divided by
	settle      time.Duration // before memory is read
	idle        time.Duration // over which CPU time is counted
}

var (
	full  = scale{submissions: 200, tasks: 100, extra: 50, settle: 10 * time.Second, idle: 60 * time.Second}
	quick = scale{submissions: 30, tasks: 100, extra: 20, settle: 3 * time.Second, idle: 10 * time.Second}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "agentbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	steppe := flag.String("steppe", "bin/steppe", "the `binary` to measure")
	isQuick := flag.Bool("quick", false, "measure less: half a minute instead of three")
	only := flag.String("only", "memory,latency,tasks", "what to measure, a `list` with commas")
	pprofDir := flag.String("pprof", "", "write a CPU profile of the agent during the latency figures into this `directory`")
	flag.Parse()
	size := full
	if *isQuick {
		size = quick
	}
	a, err := startAgent(ctx, *steppe)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := a.stop(); err == nil {
			err = stopErr
		}
	}()
	m := &measurer{agent: a, size: size, profiles: *pprofDir}
	fmt.Println("| figure | measured | target | |")
	fmt.Println("|---|---|---|---|")
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"memory", m.memory}, {"latency", m.latency}, {"tasks", m.hundred}} {
		if !strings.Contains(","+*only+",", ","+part.name+",") {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w (agent log: %s)", part.name, err, a.tail())
		}
	}
	return nil
}

// row prints one figure; it is good when measured is at most target.
func row(name string, measured, target float64, unit string) {
	verdict := "ok"
	if measured > target {
		verdict = "**missed**"
	}
	fmt.Printf("| %s | %.4g %s | ≤ %.4g %s | %s |\n", name, measured, unit, target, unit, verdict)
}
