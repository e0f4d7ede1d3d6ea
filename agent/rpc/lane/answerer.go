package lane

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// FrameBytes is about how much of answers is put into one message.
const FrameBytes = 1 << 20

// Answerer is the answering end of a lane. One serves once.
type Answerer struct {
	// Stream is the lane's.
	Stream Stream
	// Ending, once closed, has no more calls looked at; those that run are answered.
	Ending <-chan struct{}
	// Go runs a function in a goroutine that outlives Serve at most until the
	// stream is gone.
	Go func(func())
	// Answer answers a request; ctx ends when its caller stops waiting.
	Answer func(ctx context.Context, c Call) Call

	ctx   context.Context
	slots chan struct{} // one per running call
	wake  chan struct{} // to the sender; holds one

	sending sync.Mutex // held by who sends on Stream

	mu      sync.Mutex
	last    uint64                        // the newest call that was looked at
	running map[uint64]context.CancelFunc // by call
	out     []Call
	deaf    bool // calls are not looked at any more
	ended   bool // nothing comes from the caller any more
}

// Serve answers calls until the caller ends the lane, or Ending is closed and all
// that was looked at is answered.
func (l *Answerer) Serve(ctx context.Context) error {
	l.ctx, l.slots, l.wake, l.running = ctx, make(chan struct{}, maxCalls), make(chan struct{}, 1), make(map[uint64]context.CancelFunc)
	if err := l.Stream.Send(&Frame{}); err != nil { // the word that the lane is open
		return err
	}
	l.Go(l.read)
	ending := l.Ending
	for {
		select {
		case <-l.wake:
		case <-ending:
			ending = nil
			if err := l.send(l.lastWord()); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if done, err := l.flush(); done || err != nil {
			return err
		}
	}
}

// read starts the calls that come.
func (l *Answerer) read() {
	defer func() {
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		signal(l.wake)
	}()
	for {
		f, err := l.Stream.Recv()
		if err != nil {
			return
		}
		for _, c := range f.Calls {
			if c.Kind == Cancel {
				l.cancel(c.ID)
			} else if !l.start(c) {
				break
			}
		}
	}
}

func (l *Answerer) cancel(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cancel := l.running[id]; cancel != nil {
		cancel()
	}
}

// start runs a call, unless no more are looked at.
func (l *Answerer) start(c Call) bool {
	select {
	case l.slots <- struct{}{}:
	case <-l.ctx.Done():
		return false
	}
	ctx, cancel := c.context(l.ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		cancel()
		<-l.slots
		return false
	}
	l.last = max(l.last, c.ID)
	l.running[c.ID] = cancel
	l.Go(func() {
		defer cancel()
		answer := l.Answer(ctx, c)
		answer.ID = c.ID
		<-l.slots
		l.finish(answer)
	})
	return true
}

// context is what a call runs in.
func (c *Call) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Number > 0 {
		return context.WithTimeout(ctx, time.Duration(c.Number))
	}
	return context.WithCancel(ctx)
}

// finish has an answer sent. A lone one need not wait for the sender to wake.
func (l *Answerer) finish(answer Call) {
	l.mu.Lock()
	if len(l.running) > 1 || len(l.out) > 0 || !l.sending.TryLock() {
		delete(l.running, answer.ID)
		l.out = append(l.out, answer)
		l.mu.Unlock()
		signal(l.wake)
		return
	}
	l.mu.Unlock()
	err := l.Stream.Send(&Frame{Calls: []Call{answer}}) // when it fails the stream is over
	l.sending.Unlock()
	l.mu.Lock()
	delete(l.running, answer.ID)
	last := l.deaf || l.ended || err != nil
	l.mu.Unlock()
	if last {
		signal(l.wake)
	}
}

func (l *Answerer) send(f *Frame) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.Stream.Send(f)
}

// lastWord has no more calls looked at, and says which were.
func (l *Answerer) lastWord() *Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
	return &Frame{Final: true, Last: l.last}
}

// flush sends the answers that are there. done says that none will follow.
func (l *Answerer) flush() (done bool, err error) {
	for {
		f, done := l.take()
		if len(f.Calls) == 0 {
			return done, nil
		}
		if err := l.send(f); err != nil {
			return false, err
		}
	}
}

// take takes a message of answers. done says that there are none and none will
// follow.
func (l *Answerer) take() (f *Frame, done bool) {
	l.mu.Lock()
	many := len(l.running) > 0
	l.mu.Unlock()
	if many {
		runtime.Gosched() // who is about to answer shall share the message
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, 0
	for n < len(l.out) && (n == 0 || size+l.out[n].size() < FrameBytes) {
		size += l.out[n].size()
		n++
	}
	f = &Frame{Calls: l.out[:n:n]}
	if l.out = l.out[n:]; len(l.out) == 0 {
		l.out = nil
	}
	return f, n == 0 && len(l.running) == 0 && (l.deaf || l.ended)
}
