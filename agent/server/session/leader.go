package session

import (
	"context"
	"errors"
	"time"

	"github.com/steppe-project/steppe/model"
)

// insist repeats a call to the leader while there is hope: as long as the
// session lasts and the error says that the cluster is just not able to.
func (s *session) insist(call func(context.Context) error) error {
	pause := retryMin
	for {
		err := call(s.ctx)
		if err == nil || s.ctx.Err() != nil || !passing(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
		pause = min(2*pause, retryMax)
	}
}

// passing tells whether a call to the leader failed only because the cluster is not
// able to just now.
func passing(err error) bool {
	switch model.CodeOf(err) {
	case model.CodeUnavailable, model.CodeNotLeader:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// registerAgain tells the leader anew what the node says of itself: its
// description changed, or the leader does not think it alive. It gets a full
// set then, because others may have given it up meanwhile.
func (s *session) registerAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.registering {
		s.registering = s.begin(s.reregister)
	}
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
