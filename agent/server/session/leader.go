package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// report takes in a node's statuses and has them told to the leader.
func (s *session) report(r *msg.NodeReport) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, up := range r.Updates {
		if up != nil {
			s.reports[up.ID] = up
		}
	}
	if len(s.reports) > maxReports {
		return model.Errorf(model.CodeInvalid, "reports on more than %d allocations at once", maxReports)
	}
	s.reportSeq = max(s.reportSeq, r.Seq)
	if !s.reporting {
		s.reporting = true
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			s.tell()
		}()
	}
	return nil
}

// tell reports to the leader until nothing is left to report. What arrives
// meanwhile is merged into the next call.
func (s *session) tell() {
	for {
		s.mu.Lock()
		if len(s.reports) == 0 {
			s.reporting = false
			seq := s.reportSeq
			s.reportSeq = 0
			s.mu.Unlock()
			if seq != 0 {
				s.ack(msg.NodeDown{Reported: &msg.NodeReported{Seq: seq}}) // an empty report
			}
			return
		}
		updates := slices.SortedFunc(maps.Values(s.reports), func(a, b *model.AllocUpdate) int {
			return strings.Compare(a.ID, b.ID)
		})
		clear(s.reports)
		seq := s.reportSeq
		s.reportSeq = 0
		node := s.node
		s.mu.Unlock()
		err := s.insist(func(ctx context.Context) error {
			_, err := msg.NodeUpdateAllocs.Call(ctx, s.hub.cfg.Caller, &msg.NodeUpdateAllocsRequest{
				NodeID: node.ID, SecretID: node.SecretID, Updates: updates,
			})
			return err
		})
		if err != nil {
			s.end(err)
			return
		}
		s.ack(msg.NodeDown{Reported: &msg.NodeReported{Seq: seq}})
	}
}

// insist repeats a call to the leader while there is hope: as long as the
// session lasts and the error says that the cluster is just not able to.
func (s *session) insist(call func(context.Context) error) error {
	pause := retryMin
	for {
		err := call(s.ctx)
		if err == nil || s.ctx.Err() != nil {
			return err
		}
		switch model.CodeOf(err) {
		case model.CodeUnavailable, model.CodeNotLeader:
		default:
			if !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
		}
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
		pause = min(2*pause, retryMax)
	}
}

// registerAgain tells the leader anew what the node says of itself: its
// description changed, or the leader does not think it alive. It gets a full
// set then, because others may have given it up meanwhile.
func (s *session) registerAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registering || s.ctx.Err() != nil {
		return
	}
	s.registering = true
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		s.reregister()
	}()
}

// reregister registers until the leader has the newest description.
func (s *session) reregister() {
	for {
		s.mu.Lock()
		node := s.node
		s.mu.Unlock()
		var index uint64
		err := s.insist(func(ctx context.Context) (err error) {
			index, err = s.hub.registerNode(ctx, node)
			return err
		})
		if err == nil {
			_, err = s.hub.cfg.Store.SnapshotAt(s.ctx, index)
		}
		if err != nil {
			s.end(err)
			return
		}
		s.mu.Lock()
		again := s.node != node
		s.registering = again
		s.mu.Unlock()
		if !again {
			s.hub.renew(s)
			s.wantFull()
			return
		}
	}
}
