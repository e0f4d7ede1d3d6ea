package deployment

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// List is "deployment list".
var List = &base.Command{
	Name: "deployment list", Synopsis: "List deployments",
	Long:    "A deployment is the update of a service to a new version, gated by the health of its instances. Filters are expressions on the API's fields.",
	Example: "steppe deployment list\nsteppe deployment list -filter 'Status == \"running\"'",
	New:     func() base.Runner { return &list{} },
}

type list struct {
	base.DataOptions
	filter, token string
	perPage       int
}

func (l *list) Flags(fs *flag.FlagSet) {
	l.DataFlags(fs)
	fs.StringVar(&l.filter, "filter", "", "Only those that an `expression` selects.")
	fs.IntVar(&l.perPage, "per-page", 0, "At most this `number`; the next page's token is said. Default: all.")
	fs.StringVar(&l.token, "page-token", "", "Begin at this `token`, which the page before said.")
}

func (l *list) Run(ctx context.Context, o *base.IO, _ []string) error {
	all, meta, err := o.Client.Deployments().List(ctx, &api.Query{Filter: l.filter, PerPage: l.perPage, NextToken: l.token})
	if err != nil {
		return err
	}
	done, err := o.Data(l.DataOptions, all)
	switch {
	case err != nil:
		return err
	case done:
	case len(all) == 0:
		o.Print("No deployments")
	default:
		Table(o, all, l.Verbose)
	}
	if meta.NextToken != "" {
		o.Say("\nThere are more: -page-token %s", meta.NextToken)
	}
	return nil
}
