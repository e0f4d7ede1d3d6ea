package operator

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/steppe-project/steppe/command/base"
)

// BrakeStatus is "operator brake status".
var BrakeStatus = &base.Command{
	Name: "operator brake status", Synopsis: "Show the brake on mass loss",
	Long: "When a large share of the nodes vanishes together, what they run is not replaced at once: the nodes are held, " +
		"\"disconnected\", and given up one after the other. Those that come back go on as if nothing had been.",
	Example: "steppe operator brake status",
	New:     func() base.Runner { return &brakeStatus{} },
}

type brakeStatus struct{ base.DataOptions }

func (s *brakeStatus) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

func (s *brakeStatus) Run(ctx context.Context, o *base.IO, _ []string) error {
	b, err := o.Client.Cluster().Brake(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, b); done {
		return err
	}
	rate, released := fmt.Sprintf("%d nodes a minute", b.Rate), "never"
	if b.Rate < 0 {
		rate = "none until the brake is released"
	}
	if b.ReleasedAt != 0 {
		released = base.Ago(b.ReleasedAt)
	}
	o.Fields(
		"Engaged", base.YesNo(b.Engaged), "Alarm", base.Dash(b.Alarm),
		"Threshold", fmt.Sprintf("%g %% of the nodes, at least %d", 100*b.Threshold, b.MinNodes), "Rate", rate, "Last Release", released,
	)
	if len(b.Held) == 0 {
		return nil
	}
	o.Title("Held Nodes")
	var rows [][]string
	for _, n := range b.Held {
		rows = append(rows, []string{base.ShortID(n.ID, s.Verbose), n.Name, base.Ago(n.Since * int64(time.Second))})
	}
	o.Table([]string{"ID", "Name", "Since"}, rows)
	return nil
}

// BrakeRelease is "operator brake release".
var BrakeRelease = &base.Command{
	Name: "operator brake release", Synopsis: "Replace at once what the lost nodes ran",
	Long:    "The nodes that the brake holds are taken down, and for ten minutes losses are taken as they come.",
	Example: "steppe operator brake release",
	New:     func() base.Runner { return &brakeRelease{} },
}

type brakeRelease struct{}

func (*brakeRelease) Flags(*flag.FlagSet) {}

func (*brakeRelease) Run(ctx context.Context, o *base.IO, _ []string) error {
	if err := o.Client.Cluster().ReleaseBrake(ctx); err != nil {
		return err
	}
	o.Say("Brake released")
	return nil
}
