// Package events streams what changes in the state, as the API shows it.
//
// Contract and invariants:
//
//   - A subscription with index 0 begins with all changes that are kept, another
//     one with those after its index; then they come as they are committed, in
//     order and without gaps.
//   - A consumer too slow for the change feed is ended with an error and may
//     subscribe again from the last index it saw; it never holds up anything.
//   - Events carry the whole thing that changed; allocations come without their
//     job, which has events of its own.
//   - An empty batch is a heartbeat: one comes at once, and one every
//     HeartbeatInterval in which nothing else was sent.
//
// Example:
//
//	events.New(events.Config{Store: store}).Register(server)
package events

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

const (
	// HeartbeatInterval is the API's; proxies close what is silent for longer.
	HeartbeatInterval = 30 * time.Second
	// maxBatch bounds the events of one message: 256 allocations are about a
	// megabyte.
	maxBatch = 256
	// maxTopics bounds a subscription's topics and keys together.
	maxTopics = 1024
)

// tables are those whose changes are events.
var tables = []state.Table{
	state.TableJobs, state.TableAllocs, state.TableEvals, state.TableNodes, state.TableDeployments, state.TableNodePools,
}

// Config is what Streams need.
type Config struct {
	// Store is where changes come from; required.
	Store *state.Store
}

// Streams holds the handler.
type Streams struct{ cfg Config }

// New makes the handler.
func New(cfg Config) *Streams { return &Streams{cfg: cfg} }

// Register adds the handler to srv.
func (s *Streams) Register(srv *rpc.Server) { rpc.HandleStream(srv, msg.EventStream, s.serve) }

// serve answers one subscription until the caller leaves.
func (s *Streams) serve(ctx context.Context, stream *rpc.Stream[msg.EventBatch, msg.EventStreamRequest]) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	f, err := newFilter(req)
	if err != nil {
		return err
	}
	sub, _ := s.cfg.Store.SubscribeFrom(req.Index, tables...)
	defer sub.Close()
	if err := stream.Send(&msg.EventBatch{}); err != nil {
		return err
	}
	beat := time.NewTicker(HeartbeatInterval)
	defer beat.Stop()
	for {
		changes, err := sub.Poll()
		if errors.Is(err, state.ErrLagged) {
			return model.Errorf(model.CodeUnavailable,
				"the subscriber is too slow, or the state was restored: subscribe again from the last index seen")
		}
		if err != nil {
			return err
		}
		if err := send(stream, f, changes); err != nil {
			return err
		}
		if len(changes) > 0 {
			continue
		}
		select {
		case <-sub.Ready():
		case <-beat.C:
			if err := stream.Send(&msg.EventBatch{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send sends the wanted ones of some changes, a message for each index.
func send(stream *rpc.Stream[msg.EventBatch, msg.EventStreamRequest], f *filter, changes []state.Change) error {
	var batch []model.Event
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		data, err := json.Marshal(envelope{Index: batch[0].Index, Events: batch})
		if err != nil {
			return model.Errorf(model.CodeInternal, "encode events: %w", err)
		}
		index := batch[0].Index
		batch = batch[:0]
		return stream.Send(&msg.EventBatch{Index: index, JSON: data})
	}
	for i := range changes {
		e, ok := of(&changes[i])
		if !ok || !f.wants(&e) {
			continue
		}
		if len(batch) == maxBatch || len(batch) > 0 && batch[0].Index != e.Index {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, e)
	}
	return flush()
}

// envelope is the JSON form of a batch.
type envelope struct {
	Index  uint64
	Events []model.Event
}

// filter decides which events a subscriber wants.
type filter struct {
	namespace string // "" = all
	topics    map[string][]string
}

func newFilter(req *msg.EventStreamRequest) (*filter, error) {
	f := &filter{topics: req.Topics}
	if ns := req.RequestNamespace(); ns != model.AllNamespaces {
		f.namespace = ns
	}
	n := 0
	for _, keys := range f.topics {
		n += 1 + len(keys)
	}
	if n > maxTopics {
		return nil, model.Errorf(model.CodeInvalid, "too many topics and keys: %d, at most %d", n, maxTopics)
	}
	return f, nil
}

func (f *filter) wants(e *model.Event) bool {
	if f.namespace != "" && e.Namespace != "" && e.Namespace != f.namespace {
		return false
	}
	if len(f.topics) == 0 {
		return true
	}
	return matches(f.topics[e.Topic], e) || matches(f.topics[model.TopicAll], e)
}

func matches(keys []string, e *model.Event) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		return key == model.TopicAll || key == e.Key || slices.Contains(e.FilterKeys, key)
	})
}
