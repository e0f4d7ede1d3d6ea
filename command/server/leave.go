package server

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Leave is "server leave".
var Leave = &base.Command{
	Name: "server leave", Synopsis: "Have the agent leave the region for good and end",
	Long:    "A server hands over leadership and leaves the raft configuration; a client stops its tasks. The agent then ends.",
	Example: "steppe server leave -yes", New: func() base.Runner { return &leave{} },
}

type leave struct{ yes bool }

func (l *leave) Flags(fs *flag.FlagSet) { fs.BoolVar(&l.yes, "yes", false, "Really do it.") }

func (l *leave) Run(ctx context.Context, o *base.IO, _ []string) error {
	if !l.yes {
		return model.Errorf(model.CodeInvalid, "this makes the agent at %s leave for good, and ends it: say -yes", o.Client.Config().Address)
	}
	if err := o.Client.Cluster().Leave(ctx); err != nil {
		return err
	}
	o.Say("The agent leaves and ends")
	return nil
}
