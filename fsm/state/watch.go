package state

import (
	"context"
	"sync"

	"github.com/steppe-project/steppe/model"
)

// topicKind numbers the kinds of topics.
type topicKind uint8

const (
	topicTable topicKind = iota
	topicKey
	topicJobVersions
	topicJobAllocs
	topicNodeAllocs
	topicEvalAllocs
	topicDeployAllocs
	topicJobEvals
	topicJobDeploys
	topicKinds // their number
)

// Topic is something that can be watched. Make one with the Topic functions.
type Topic struct {
	kind topicKind
	a, b string
}

// TopicTable is any row of a table.
func TopicTable(t Table) Topic { return Topic{topicTable, string(t), ""} }

// TopicKey is one row of a table, whether it exists or not; for the form of key
// see Change.
func TopicKey(t Table, key string) Topic { return Topic{topicKey, string(t), key} }

// TopicJob is the current version of a job, its status included.
func TopicJob(namespace, id string) Topic { return TopicKey(TableJobs, JobKey(namespace, id)) }

// TopicJobVersions is any kept version of a job.
func TopicJobVersions(namespace, id string) Topic { return Topic{topicJobVersions, namespace, id} }

// TopicJobAllocs is any allocation of a job.
func TopicJobAllocs(namespace, id string) Topic { return Topic{topicJobAllocs, namespace, id} }

// TopicNodeAllocs is any allocation of a node.
func TopicNodeAllocs(id string) Topic { return Topic{topicNodeAllocs, id, ""} }

// TopicEvalAllocs is any allocation that an evaluation placed.
func TopicEvalAllocs(id string) Topic { return Topic{topicEvalAllocs, id, ""} }

// TopicDeploymentAllocs is any allocation of a deployment.
func TopicDeploymentAllocs(id string) Topic { return Topic{topicDeployAllocs, id, ""} }

// TopicJobEvals is any evaluation of a job.
func TopicJobEvals(namespace, id string) Topic { return Topic{topicJobEvals, namespace, id} }

// TopicJobDeployments is any deployment of a job.
func TopicJobDeployments(namespace, id string) Topic { return Topic{topicJobDeploys, namespace, id} }

// Watch tells that a topic changed. It is made before the state is read:
//
//	w := store.Watch(state.TopicJobAllocs(ns, id))
//	defer w.Close()
//	for {
//		snap := store.Snapshot()
//		... read; return when there is something to return
//		if err := w.Wait(ctx); err != nil { return err }
//	}
//
// so that no change between reading and waiting is missed. It wakes at least
// once for any number of changes since the last Wait, also for a restore.
type Watch struct {
	hub    *watches
	topics []Topic
	ch     chan struct{}
}

// watches is the registry of watches by topic.
type watches struct {
	mu     sync.Mutex
	topics map[Topic]map[*Watch]struct{}
	kinds  [topicKinds]int // registrations by kind: kinds nobody watches cost nothing
}

func (h *watches) init() { h.topics = make(map[Topic]map[*Watch]struct{}) }

// Watch watches one or more topics. Close it.
func (s *Store) Watch(topics ...Topic) *Watch {
	w := &Watch{hub: &s.watches, topics: topics, ch: make(chan struct{}, 1)}
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		set := h.topics[t]
		if set == nil {
			set = make(map[*Watch]struct{}, 1)
			h.topics[t] = set
		}
		set[w] = struct{}{}
		h.kinds[t.kind]++
	}
	return w
}

// C receives when a topic has changed since it last received.
func (w *Watch) C() <-chan struct{} { return w.ch }

// Wait returns nil when a topic has changed since the Watch was made or Wait
// last returned, or ctx's error.
func (w *Watch) Wait(ctx context.Context) error {
	select {
	case <-w.ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the watch. It may be called more than once.
func (w *Watch) Close() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range w.topics {
		set := h.topics[t]
		if _, ok := set[w]; !ok {
			continue
		}
		delete(set, w)
		h.kinds[t.kind]--
		if len(set) == 0 {
			delete(h.topics, t)
		}
	}
	w.topics = nil
}

// wake signals the watches that the changes concern.
func (h *watches) wake(changes []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.topics) == 0 {
		return
	}
	last := Table("")
	for i := range changes {
		c := &changes[i]
		if c.Table != last { // rows of a table come in runs
			last = c.Table
			h.signal(topicTable, string(c.Table), "")
		}
		h.signal(topicKey, string(c.Table), c.Key)
		if c.After != nil {
			h.wakeRow(c.Table, c.After)
		}
		if c.Before != nil {
			h.wakeRow(c.Table, c.Before)
		}
	}
}

// wakeRow signals the topics that a row belongs to.
func (h *watches) wakeRow(t Table, row any) {
	switch row := row.(type) {
	case *model.Allocation:
		h.signal(topicJobAllocs, row.Namespace, row.JobID)
		h.signal(topicNodeAllocs, row.NodeID, "")
		h.signal(topicEvalAllocs, row.EvalID, "")
		h.signal(topicDeployAllocs, row.DeploymentID, "")
	case *model.Evaluation:
		h.signal(topicJobEvals, row.Namespace, row.JobID)
	case *model.Deployment:
		h.signal(topicJobDeploys, row.Namespace, row.JobID)
	case *model.Job:
		if t == TableJobVersions {
			h.signal(topicJobVersions, row.Namespace, row.ID)
		}
	}
}

// wakeAll signals every watch: the whole state was replaced.
func (h *watches) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, set := range h.topics {
		for w := range set {
			w.signal()
		}
	}
}

func (h *watches) signal(kind topicKind, a, b string) {
	if h.kinds[kind] == 0 {
		return
	}
	for w := range h.topics[Topic{kind, a, b}] {
		w.signal()
	}
}

func (w *Watch) signal() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}
