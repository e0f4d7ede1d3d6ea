package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"
)

const (
	// lazyDelay is how long a WriteLater may wait for company: histories change
	// in bursts, and nothing but a crash of the machine can lose them.
	lazyDelay = 100 * time.Millisecond
	// maxQueued bounds the writes that wait, about what ten thousand tasks that
	// change at once cause.
	maxQueued = 20_000
	// retryDelay paces lazy writes that failed (the disk is full).
	retryDelay = time.Second
)

// errClosed is the answer to writes after the end.
var errClosed = errors.New("client state file is closed")

// write is one call's changes; done is nil when nobody waits.
type write struct {
	ops  []Op
	done chan error
}

// queue gathers writes for the one goroutine that commits them.
type queue struct {
	mu      *sync.Mutex
	pending []*write
	closed  bool
	urgent  chan struct{} // someone waits for the next commit
	lazy    chan struct{} // something waits
	room    chan struct{} // there may be room again
}

func newQueue() queue {
	return queue{
		mu: new(sync.Mutex), urgent: make(chan struct{}, 1), lazy: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (q *queue) add(ctx context.Context, ops []Op, wait bool) (<-chan error, error) {
	w := &write{ops: ops}
	if wait {
		w.done = make(chan error, 1)
	}
	for {
		q.mu.Lock()
		closed, full := q.closed, len(q.pending) >= maxQueued
		if !closed && !full {
			q.pending = append(q.pending, w)
			if len(q.pending) < maxQueued {
				poke(q.room) // pass the word on to the next that waits
			}
		}
		q.mu.Unlock()
		switch {
		case closed:
			poke(q.room) // pass the word on
			return nil, errClosed
		case !full && wait:
			poke(q.urgent)
			return w.done, nil
		case !full:
			poke(q.lazy)
			return nil, nil
		}
		select {
		case <-q.room:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *queue) take() []*write {
	q.mu.Lock()
	defer q.mu.Unlock()
	writes := q.pending
	q.pending = nil
	poke(q.room)
	return writes
}

// run commits what is queued until ctx ends and then the rest.
func (q *queue) run(ctx context.Context, commit func([]*write) error) error {
	delay := lazyDelay
	var err error
	for ctx.Err() == nil && (err == nil || outOfSpace(err)) {
		select {
		case <-q.urgent:
		case <-q.lazy:
			q.await(ctx, delay)
		case <-ctx.Done():
		}
		delay = lazyDelay
		if err = q.flush(commit); err != nil {
			delay = retryDelay
		}
	}
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	poke(q.room)
	if err != nil && !outOfSpace(err) {
		q.refuse()
		return fmt.Errorf("client state cannot be written, and what of it is on disk is not known; mend the disk, then start this agent again: %w", err)
	}
	if err := q.flush(commit); err != nil {
		return fmt.Errorf("client state could not be written at shutdown: %w", err)
	}
	return nil
}

// outOfSpace tells whether a write, not an fsync, failed for want of space: a state
// that ends, in which the file is as it was.
func outOfSpace(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Op != "sync" && (errors.Is(path.Err, syscall.ENOSPC) || errors.Is(path.Err, syscall.EDQUOT))
}

// refuse answers those that still wait.
func (q *queue) refuse() {
	for _, w := range q.take() {
		if w.done != nil {
			w.done <- errClosed
		}
	}
}

// await waits for the delay, or until someone is in a hurry.
func (q *queue) await(ctx context.Context, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.urgent:
	case <-ctx.Done():
	}
}

// flush commits what waits. Writes that nobody waits for are kept when the
// commit fails: a full disk must not lose them.
func (q *queue) flush(commit func([]*write) error) error {
	writes := q.take()
	if len(writes) == 0 {
		return nil
	}
	err := commit(writes)
	var keep []*write
	for _, w := range writes {
		if w.done != nil {
			w.done <- err
		} else if err != nil {
			keep = append(keep, w)
		}
	}
	if len(keep) > 0 {
		q.mu.Lock()
		q.pending = append(keep, q.pending...)
		q.mu.Unlock()
		poke(q.lazy)
	}
	return err
}
