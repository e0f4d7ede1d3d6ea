package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

func (s *status) list(ctx context.Context, o *base.IO) error {
	nodes, _, err := o.Client.Nodes().List(ctx, &api.Query{Filter: s.filter})
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, nodes); done {
		return err
	}
	if len(nodes) == 0 {
		o.Print("No nodes")
		return nil
	}
	if slices.ContainsFunc(nodes, func(n *model.NodeListStub) bool { return n.Status == model.NodeStatusDisconnected }) {
		if b, err := o.Client.Cluster().Brake(ctx); err == nil && b.Engaged {
			o.Say("ALARM: %s", b.Alarm)
		}
	}
	slices.SortStableFunc(nodes, func(a, b *model.NodeListStub) int { return strings.Compare(a.Name, b.Name) })
	header := []string{"ID", "Node Pool", "DC", "Name", "Class", "Address", "Version", "Drain", "Eligibility", "Status"}
	var counts map[string]int
	if s.allocs {
		header = append(header, "Running Allocs")
		if counts, err = running(ctx, o); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, n := range nodes {
		row := []string{
			base.ShortID(n.ID, s.Verbose), n.NodePool, n.Datacenter, n.Name, base.Dash(n.NodeClass), base.Dash(n.Address), n.Version,
			base.YesNo(n.Drain), n.SchedulingEligibility, n.Status,
		}
		if s.allocs {
			row = append(row, fmt.Sprint(counts[n.ID]))
		}
		rows = append(rows, row)
	}
	o.Table(header, rows)
	return nil
}

// running counts the running allocations of every node.
func running(ctx context.Context, o *base.IO) (map[string]int, error) {
	all, _, err := o.Client.Allocations().List(ctx, &api.Query{
		Namespace: model.AllNamespaces, Filter: `ClientStatus == "` + model.ClientRunning + `"`,
	})
	counts := map[string]int{}
	for _, a := range all {
		counts[a.NodeID]++
	}
	return counts, err
}
