package query

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

const (
	// maxWait bounds and is the default of how long a blocking query waits: the
	// API's five minutes, which proxies and clients have their timeouts above.
	maxWait = 5 * time.Minute
	// jitterShare of the wait is added at random, so that many waiting clients
	// do not all come back in the same instant.
	jitterShare = 16
)

// result is what one look at the state found.
type result[Resp any] struct {
	resp  *Resp
	index uint64 // of the last change of what was read
	next  string // token of the next page
}

// run answers a read: look is called with a snapshot, and again when a topic
// changed while the query still waits. meta finds the answer's meta data.
func run[Resp any](ctx context.Context, q *Queries, o *msg.QueryOptions, topics []state.Topic,
	meta func(*Resp) *msg.QueryMeta, look func(*state.Snapshot) (result[Resp], error),
) (*Resp, error) {
	// Also in default mode: a leader that stood still and was replaced meanwhile
	// would answer from the past. With a lease it costs nothing.
	if !o.Stale {
		if _, err := q.cfg.Consensus.ReadIndex(ctx); err != nil {
			return nil, err
		}
	}
	var w *state.Watch
	var timeout <-chan time.Time
	if o.MinIndex > 0 {
		w = q.cfg.Store.Watch(topics...)
		defer w.Close()
		timer := time.NewTimer(waitTime(o.MaxWait))
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		res, err := look(q.cfg.Store.Snapshot())
		if err != nil {
			return nil, err
		}
		done := o.MinIndex == 0 || res.index > o.MinIndex
		if !done {
			if done, err = wait(ctx, w, timeout); err != nil {
				return nil, err
			}
		}
		if done {
			q.fill(meta(res.resp), res.index, res.next)
			return res.resp, nil
		}
	}
}

// wait waits for a change (false) or the end of the time (true).
func wait(ctx context.Context, w *state.Watch, timeout <-chan time.Time) (over bool, err error) {
	select {
	case <-w.C():
		return false, nil
	case <-timeout:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// waitTime is how long to wait for a request's MaxWait.
func waitTime(asked time.Duration) time.Duration {
	if asked <= 0 || asked > maxWait {
		asked = maxWait
	}
	return asked + rand.N(asked/jitterShare+1)
}

// fill completes an answer's meta data.
func (q *Queries) fill(m *msg.QueryMeta, index uint64, next string) {
	m.Index = max(index, 1)
	m.NextToken = next
	lead := q.cfg.Consensus.Leadership()
	m.KnownLeader = lead.Self || lead.Addr != ""
	if !lead.Self {
		m.LastContact = q.cfg.Consensus.LastContact()
	}
}

// namespaceOf is the namespace a request is about; "" means all.
func namespaceOf(o *msg.QueryOptions) string {
	if ns := o.RequestNamespace(); ns != model.AllNamespaces {
		return ns
	}
	return ""
}

// visible tells whether a row of a namespace may be shown to a request that
// names its own.
func visible(o *msg.QueryOptions, namespace string) bool {
	ns := namespaceOf(o)
	return ns == "" || ns == namespace
}
