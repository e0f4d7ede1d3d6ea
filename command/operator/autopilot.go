package operator

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// AutopilotGet is "operator autopilot get-config".
var AutopilotGet = &base.Command{
	Name: "operator autopilot get-config", Synopsis: "Show the autopilot configuration",
	Long:    "Autopilot watches the servers: it decides which of them vote, and removes dead ones.",
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
		"ServerStabilizationTime", c.ServerStabilizationTime, "EnableRedundancyZones", base.YesNo(c.EnableRedundancyZones),
		"DisableUpgradeMigration", base.YesNo(c.DisableUpgradeMigration), "EnableCustomUpgrades", base.YesNo(c.EnableCustomUpgrades),
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
	cleanup, zones         *bool
	noMigration, custom    *bool
	contact, stabilization string
	trailing, quorum       int64
}

func (a *autopilotSet) Flags(fs *flag.FlagSet) {
	choice(fs, &a.cleanup, "cleanup-dead-servers", "whether dead servers leave the raft configuration.")
	choice(fs, &a.zones, "enable-redundancy-zones", "whether the servers of a redundancy zone share one vote.")
	choice(fs, &a.noMigration, "disable-upgrade-migration", "whether newer servers vote at once, instead of waiting until they can replace all older ones.")
	choice(fs, &a.custom, "enable-custom-upgrades", "whether server.upgrade_version counts for migrations, where it is given.")
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
	assign(&c.EnableRedundancyZones, a.zones)
	assign(&c.DisableUpgradeMigration, a.noMigration)
	assign(&c.EnableCustomUpgrades, a.custom)
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
	Long: "FailureTolerance is how many voters may fail without the cluster losing its quorum; the optimistic one counts the standbys, " +
		"which take the places of those that fail one after the other. With redundancy zones, and while servers have different versions, " +
		"it shows how these stand, too.",
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
	tolerance := fmt.Sprint(h.FailureTolerance)
	if h.OptimisticFailureTolerance > h.FailureTolerance {
		tolerance += fmt.Sprintf(" (optimistic: %d)", h.OptimisticFailureTolerance)
	}
	o.Fields("Healthy", base.YesNo(h.Healthy), "FailureTolerance", tolerance)
	names := make(map[string]string)
	var rows, ailing [][]string
	for _, s := range h.Servers {
		names[s.ID] = s.Name
		voter := base.YesNo(s.Voter)
		if s.NonVoter {
			voter = "never"
		}
		row := []string{
			s.Name, s.Address, s.SerfStatus, s.Version, base.YesNo(s.Leader), s.LastContact, fmt.Sprint(s.LastIndex), base.YesNo(s.Healthy), voter,
		}
		rows = append(rows, append(row, base.Dash(s.RedundancyZone)))
		if s.Disk != "" {
			ailing = append(ailing, []string{s.Name, s.Disk})
		}
	}
	o.Table([]string{"Name", "Address", "Status", "Version", "Leader", "LastContact", "LastIndex", "Healthy", "Voter", "Zone"}, rows)
	if len(ailing) > 0 {
		o.Title("Disks")
		o.Table([]string{"Name", "Trouble"}, ailing)
	}
	healthZones(o, h, names)
	if u := h.Upgrade; u != nil {
		o.Title("Upgrade")
		o.Fields("Status", u.Status, "Target Version", u.TargetVersion,
			"Voters", listed(u.TargetVersionVoters, names), "Non-Voters", listed(u.TargetVersionNonVoters, names),
			"Other Voters", listed(u.OtherVersionVoters, names), "Other Non-Voters", listed(u.OtherVersionNonVoters, names))
	}
	return nil
}

func healthZones(o *base.IO, h *api.AutopilotHealth, names map[string]string) {
	if len(h.RedundancyZones) == 0 {
		return
	}
	o.Title("Redundancy Zones")
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(h.RedundancyZones)) {
		z := h.RedundancyZones[name]
		rows = append(rows, []string{name, listed(z.Voters, names), listed(z.Servers, names), fmt.Sprint(z.FailureTolerance)})
	}
	o.Table([]string{"Zone", "Voters", "Servers", "FailureTolerance"}, rows)
}

// listed are the names of servers.
func listed(ids []string, names map[string]string) string {
	var out []string
	for _, id := range ids {
		if n := names[id]; n != "" {
			id = n
		}
		out = append(out, id)
	}
	return base.Dash(strings.Join(out, ", "))
}
