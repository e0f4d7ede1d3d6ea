package system

import (
	"context"
	"flag"
	"io"

	"github.com/steppe-project/steppe/command/base"
)

// Monitor is "monitor".
var Monitor = &base.Command{
	Name: "monitor", Synopsis: "Follow an agent's log",
	Long:    "Prints what the agent logs from now on, until it is interrupted. The level may be lower than that of the agent's own log.",
	Example: "steppe monitor -log-level debug",
	New:     func() base.Runner { return &monitor{} },
}

type monitor struct {
	level string
	json  bool
}

func (m *monitor) Flags(fs *flag.FlagSet) {
	fs.StringVar(&m.level, "log-level", "info", "Lines of at least this `level`: trace, debug, info, warn, error.")
	fs.BoolVar(&m.json, "json", false, "Print lines as JSON.")
}

func (m *monitor) Run(ctx context.Context, o *base.IO, _ []string) error {
	r, err := o.Client.Cluster().Monitor(ctx, m.level, m.json)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(o.Out, r)
	return unlessInterrupted(ctx, err)
}

// unlessInterrupted: what goes on until Ctrl-C has come to a good end with it.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
