package client

import (
	"context"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/client/session"
)

// keepTimeout bounds the wait for a disk that is stuck; the next confirmation
// comes soon.
const keepTimeout = time.Second

// sinceBoot is the clock of the lease: nobody sets it, and it goes on while the
// machine sleeps, as the servers' clocks do.
func sinceBoot() time.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return time.Now()
	}
	return time.Unix(ts.Unix())
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// openLease takes up the node's lease where an earlier run of the agent left it.
func (c *Client) openLease() *session.Lease {
	boot := bootID()
	kept := c.store.Contents().Lease
	from, ttl := lastConfirmed(kept, boot, sinceBoot(), time.Now()), time.Duration(0)
	if kept != nil {
		ttl = kept.TTL
	}
	return session.NewLease(from, ttl, sinceBoot, func(from time.Time, ttl time.Duration) {
		if !c.allocs.Fenced() {
			return // nothing depends on it
		}
		ctx, cancel := context.WithTimeout(context.Background(), keepTimeout)
		defer cancel()
		ago := sinceBoot().Sub(from)
		r := &db.LeaseRecord{Boot: boot, After: from.Sub(time.Unix(0, 0)), At: time.Now().Add(-ago), TTL: ttl}
		if err := c.store.WriteLater(ctx, db.PutLease(r)); err != nil {
			c.log.Warn("cannot keep when the lease was last confirmed", "error", err)
		}
	})
}

// lastConfirmed is a kept time on the clock of the present start of the machine.
// After a restart of the machine the calendar has to do. Without a record the
// lease counts from now: no earlier registration of this agent can count.
func lastConfirmed(r *db.LeaseRecord, boot string, now, calendar time.Time) time.Time {
	switch {
	case r == nil:
		return now
	case r.Boot == boot && boot != "":
		return time.Unix(0, 0).Add(r.After)
	}
	return now.Add(-max(calendar.Sub(r.At), 0))
}
