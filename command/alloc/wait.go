package alloc

import (
	"context"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
)

// waitEnded follows an allocation until its tasks have ended.
func waitEnded(ctx context.Context, o *base.IO, id string) error {
	var index uint64
	for {
		a, meta, err := o.Client.Allocations().Get(ctx, id, &api.Query{Index: index, Wait: 30 * time.Second})
		if err != nil {
			return err
		}
		if a.ClientTerminal() {
			o.Say("Allocation %s has ended: %s", base.ShortID(id, false), a.ClientStatus)
			if a.NextAllocation != "" {
				o.Say("Its replacement is %s", base.ShortID(a.NextAllocation, false))
			}
			return nil
		}
		index = meta.Index
	}
}
