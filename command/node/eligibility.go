package node

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Eligibility is "node eligibility".
var Eligibility = &base.Command{
	Name: "node eligibility", Synopsis: "Open or close a node for new work", Args: "[NODE]", MaxArgs: 1,
	Long:    "Takes -enable or -disable, and a node's id, the beginning of it or its name, or -self. What runs on the node goes on.",
	Example: "steppe node eligibility -disable node-3",
	New:     func() base.Runner { return &eligibility{} },
}

type eligibility struct{ enable, disable, self bool }

func (e *eligibility) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&e.enable, "enable", false, "Open the node for new work.")
	fs.BoolVar(&e.disable, "disable", false, "Close the node for new work.")
	fs.BoolVar(&e.self, "self", false, "The node of the agent that is asked.")
}

func (e *eligibility) Run(ctx context.Context, o *base.IO, args []string) error {
	if e.enable == e.disable {
		return model.Errorf(model.CodeInvalid, "give either -enable or -disable")
	}
	id, err := chosen(ctx, o, e.self, args)
	if err != nil {
		return err
	}
	n, err := o.Node(ctx, id)
	if err != nil {
		return err
	}
	if err := o.Client.Nodes().SetEligibility(ctx, n.ID, e.enable); err != nil {
		return err
	}
	word := "closed"
	if e.enable {
		word = "open"
	}
	o.Say("Node %s (%s) is %s for new work", base.Clean(n.Name), base.ShortID(n.ID, false), word)
	return nil
}

// chosen is the node that was named, or the asked agent's.
func chosen(ctx context.Context, o *base.IO, self bool, args []string) (string, error) {
	if self == (len(args) == 1) {
		return "", model.Errorf(model.CodeInvalid, "give either a node or -self")
	}
	if !self {
		return args[0], nil
	}
	agent, err := o.Client.Cluster().Self(ctx)
	if err != nil {
		return "", err
	}
	stats, _ := agent["stats"].(map[string]any)
	client, _ := stats["client"].(map[string]any)
	id, _ := client["node_id"].(string)
	if id == "" {
		return "", model.Errorf(model.CodeNotFound, "the agent at %s runs no client, so it has no node", o.Client.Config().Address)
	}
	return id, nil
}
