package rpc

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/steppe-project/steppe/model"
)

// mustForward reports whether a call has to be answered by the leader.
func (s *Server) mustForward(spec Spec, stale bool) bool {
	switch spec.Forward {
	case Leader:
		return s.cfg.Router != nil
	case LeaderOrStale:
		return s.cfg.Router != nil && !stale
	case Local:
	}
	return false
}

// follow runs a call at the leader: here when this server leads, there with the
// leader's connection otherwise. It waits for a leader while none is known and
// tries again when the call provably was not applied, or may be repeated.
func follow[T any](
	ctx context.Context, s *Server, spec Spec,
	here func() (T, error), there func(context.Context, *conn) (T, error),
) (T, error) {
	var trouble time.Time // when the current row of failures began
	backoff := forwardBackoffMin
	for {
		addr, self, changed := s.cfg.Router.Leader()
		var out T
		var err error
		began := time.Now()
		switch {
		case self:
			out, err = here()
		case addr == "":
			err = errNoLeader
		default:
			err = s.atLeader(ctx, spec, addr, changed, func(ctx context.Context, c *conn) error {
				var err error
				out, err = there(ctx, c)
				return err
			})
		}
		if err == nil || !mayRepeat(spec, err) {
			return out, err
		}
		if trouble.IsZero() || time.Since(began) > forwardPatience/2 {
			trouble, backoff = time.Now(), forwardBackoffMin
		}
		if time.Since(trouble) > forwardPatience {
			return out, err
		}
		wait := time.NewTimer(backoff/2 + rand.N(backoff/2))
		backoff = min(2*backoff, forwardBackoffMax)
		select {
		case <-changed:
			wait.Stop()
			// Still pace: who changed twice in a row may change again.
			backoff = forwardBackoffMin
			time.Sleep(backoff/2 + rand.N(backoff/2))
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return out, ctx.Err()
		}
	}
}

// mayRepeat reports whether a failed call may be sent again: nothing was applied,
// or repeating does no harm.
func mayRepeat(spec Spec, err error) bool {
	if isNotSent(err) || model.CodeOf(err) == model.CodeNotLeader {
		return true
	}
	return spec.retriable() && model.CodeOf(err) == model.CodeUnavailable
}

// atLeader calls do with the leader's connection. When the leader is superseded
// meanwhile and does not answer within deposedGrace, the call is given up: a
// stopped or cut-off leader must not hold its callers.
func (s *Server) atLeader(
	ctx context.Context, spec Spec, addr string, changed <-chan struct{}, do func(context.Context, *conn) error,
) error {
	c, err := s.cfg.Pool.conn(place{addr: addr})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		if s.deposed(stop, addr, changed) {
			cancel(outcomeUnknown(spec.Name))
		}
	}()
	err = do(ctx, c)
	close(stop)
	<-stopped
	cancel(nil)
	return err
}

// deposed waits until addr has not been the leader for deposedGrace (true), or
// stop is closed (false).
func (s *Server) deposed(stop <-chan struct{}, addr string, changed <-chan struct{}) bool {
	for {
		select {
		case <-stop:
			return false
		case <-changed:
		}
		grace := time.NewTimer(deposedGrace)
		select {
		case <-stop:
			grace.Stop()
			return false
		case <-grace.C:
		}
		var now string
		if now, _, changed = s.cfg.Router.Leader(); now != addr {
			return true
		}
	}
}
