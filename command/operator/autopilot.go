package operator

import (
	"context"
	"flag"
	"fmt"

	"github.com/steppe-project/steppe/command/base"
)

// AutopilotGet is "operator autopilot get-config".
var AutopilotGet = &base.Command{
	Name: "operator autopilot get-config", Synopsis: "Show the autopilot configuration",
	Long:    "Autopilot watches the servers: it lets new ones vote and removes dead ones.",
	Example: "steppe operator autopilot get-config",
	New:     func() base.Runner { return &autopilotGet{} },
}

type autopilotGet struct{ base.DataOptions }

func (a *autopilotGet) Flags(fs *flag.FlagSet) { a.DataFlags(fs) }

func (a *autopilotGet) Run(ctx context.Context, o *base.IO, _ []string) error {
	c, err := o.Client.Cluster().AutopilotConfig(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(a.DataOptions, c); done {
		return err
	}
	o.Fields(
		"CleanupDeadServers", base.YesNo(c.CleanupDeadServers), "LastContactThreshold", c.LastContactThreshold,
		"MaxTrailingLogs", fmt.Sprint(c.MaxTrailingLogs), "MinQuorum", fmt.Sprint(c.MinQuorum),
		"ServerStabilizationTime", c.ServerStabilizationTime,
	)
	return nil
}

// AutopilotSet is "operator autopilot set-config".
var AutopilotSet = &base.Command{
	Name: "operator autopilot set-config", Synopsis: "Change the autopilot configuration",
	Long:    "Only what is given is changed.",
	Example: "steppe operator autopilot set-config -cleanup-dead-servers false",
	New:     func() base.Runner { return &autopilotSet{} },
}

type autopilotSet struct {
	cleanup                *bool
	contact, stabilization string
	trailing, quorum       int64
}

func (a *autopilotSet) Flags(fs *flag.FlagSet) {
	choice(fs, &a.cleanup, "cleanup-dead-servers", "whether dead servers leave the raft configuration.")
	fs.StringVar(&a.contact, "last-contact-threshold", "", "How long a healthy server may be without contact, a `duration`.")
	fs.StringVar(&a.stabilization, "server-stabilization-time", "", "How long a new server must be healthy before it votes, a `duration`.")
	fs.Int64Var(&a.trailing, "max-trailing-logs", -1, "How many log entries a healthy server may lag behind, a `number`.")
	fs.Int64Var(&a.quorum, "min-quorum", -1, "How many servers are kept at least, a `number`.")
}

func (a *autopilotSet) Run(ctx context.Context, o *base.IO, _ []string) error {
	c, err := o.Client.Cluster().AutopilotConfig(ctx)
	if err != nil {
		return err
	}
	assign(&c.CleanupDeadServers, a.cleanup)
	if a.contact != "" {
		c.LastContactThreshold = a.contact
	}
	if a.stabilization != "" {
		c.ServerStabilizationTime = a.stabilization
	}
	if a.trailing >= 0 {
		c.MaxTrailingLogs = uint64(a.trailing)
	}
	if a.quorum >= 0 {
		c.MinQuorum = uint(a.quorum)
	}
	updated, err := o.Client.Cluster().SetAutopilotConfig(ctx, c)
	if err != nil {
		return err
	}
	if !updated {
		return errChanged()
	}
	o.Say("Autopilot configuration updated")
	return nil
}

// AutopilotHealth is "operator autopilot health".
var AutopilotHealth = &base.Command{
	Name: "operator autopilot health", Synopsis: "Show the health of the servers",
	Long:    "FailureTolerance is how many servers may fail without the cluster losing its quorum.",
	Example: "steppe operator autopilot health",
	New:     func() base.Runner { return &autopilotHealth{} },
}

type autopilotHealth struct{ base.DataOptions }

func (a *autopilotHealth) Flags(fs *flag.FlagSet) { a.DataFlags(fs) }

func (a *autopilotHealth) Run(ctx context.Context, o *base.IO, _ []string) error {
	h, err := o.Client.Cluster().AutopilotHealth(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(a.DataOptions, h); done {
		return err
	}
	o.Fields("Healthy", base.YesNo(h.Healthy), "FailureTolerance", fmt.Sprint(h.FailureTolerance))
	var rows [][]string
	for _, s := range h.Servers {
		rows = append(rows, []string{
			s.Name, s.Address, s.SerfStatus, s.Version, base.YesNo(s.Leader), s.LastContact, fmt.Sprint(s.LastIndex),
			base.YesNo(s.Healthy), base.YesNo(s.Voter),
		})
	}
	o.Table([]string{"Name", "Address", "Status", "Version", "Leader", "LastContact", "LastIndex", "Healthy", "Voter"}, rows)
	return nil
}
