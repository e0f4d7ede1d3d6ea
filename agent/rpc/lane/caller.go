package lane

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

const (
	// maxCalls bounds the calls of a lane that wait for their answers, maxQueued the
	// bytes that wait to be sent; more are to go another way.
	maxCalls  = 4096
	maxQueued = 1 << 20
)

// ErrNone says that a call is to go another way: it was not sent, or not looked
// at.
var ErrNone = errors.New("no lane")

// Stream is one end of a stream. Send and Recv are each used by one goroutine at a
// time.
type Stream interface {
	Send(*Frame) error
	Recv() (*Frame, error)
}

// CallerStream is the calling end of a stream.
type CallerStream interface {
	Stream
	CloseSend() error
	Close()
	// Done is closed when the stream has ended.
	Done() <-chan struct{}
}

// Caller is the calling end of a lane.
type Caller struct {
	st      CallerStream
	rest    time.Duration
	wake    chan struct{} // to the sender; holds one
	sending sync.Mutex    // held by who sends on st

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan<- result
	out     []Call
	queued  int  // bytes in out
	closed  bool // no more calls
}

// result is how a call ended.
type result struct {
	answer Call
	err    error
}

// NewCaller makes the calling end of a lane of st, whose first message, the word
// that the lane is open, was received. It ends itself when nothing was called for
// rest: a lane must not keep its connection from idling.
func NewCaller(st CallerStream, rest time.Duration) *Caller {
	return &Caller{st: st, rest: rest, wake: make(chan struct{}, 1), waiting: make(map[uint64]chan<- result)}
}

// Calls is how many calls went by the lane.
func (l *Caller) Calls() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Call sends a request of that kind and waits for its answer. It fails with
// ErrNone, ctx's error, or what ended the stream; what became of the call is
// unknown then.
func (l *Caller) Call(ctx context.Context, kind Kind, name string, data []byte) (Call, error) {
	c := Call{Kind: kind, Name: name, Data: data}
	if until, ok := ctx.Deadline(); ok {
		c.Number = max(1, int64(time.Until(until)))
	}
	done := make(chan result, 1)
	l.mu.Lock()
	if l.closed || len(l.waiting) >= maxCalls || l.queued > maxQueued {
		l.mu.Unlock()
		return Call{}, ErrNone
	}
	l.next++
	c.ID = l.next
	l.waiting[c.ID] = done
	if len(l.waiting) > 1 || !l.sending.TryLock() {
		l.queue(c)
		l.mu.Unlock()
	} else { // a lone caller need not wait for the sender to wake
		l.mu.Unlock()
		_ = l.st.Send(&Frame{Calls: []Call{c}}) // Run tells why it failed
		l.sending.Unlock()
	}
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		l.giveUp(c.ID)
		return Call{}, ctx.Err()
	}
}

// giveUp has nobody wait for a call any more.
func (l *Caller) giveUp(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waits := l.waiting[id]; waits && !l.closed {
		delete(l.waiting, id)
		l.queue(Call{ID: id, Kind: Cancel})
	}
}

// queue hands a call to the sender; mu is held.
func (l *Caller) queue(c Call) {
	l.out = append(l.out, c)
	l.queued += c.size()
	signal(l.wake)
}

// signal wakes whoever waits on c, which holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run runs the lane until the stream ends; what waits then fails with cause.
// dropped is called when it takes no more calls, at least once.
func (l *Caller) Run(dropped func()) (cause error) {
	var workers sync.WaitGroup
	workers.Go(l.send)
	workers.Go(func() {
		l.awaitRest()
		dropped()
	})
	cause = l.receive(dropped)
	l.st.Close()
	l.refuse(0, cause)
	workers.Wait()
	return cause
}

// awaitRest returns when the lane rests or has ended.
func (l *Caller) awaitRest() {
	idle := time.NewTicker(l.rest)
	defer idle.Stop()
	var seen uint64
	for {
		select {
		case <-idle.C:
		case <-l.st.Done():
			return
		}
		l.mu.Lock()
		l.closed = l.closed || l.next == seen && len(l.waiting) == 0
		seen = l.next
		rests := l.closed
		l.mu.Unlock()
		if rests {
			signal(l.wake)
			return
		}
	}
}

// send sends what is queued, together with what comes meanwhile.
func (l *Caller) send() {
	for {
		select {
		case <-l.wake:
		case <-l.st.Done():
			return
		}
		if !l.flush() {
			return
		}
	}
}

// flush sends what is queued. It returns false when nothing more is to be sent.
func (l *Caller) flush() bool {
	l.mu.Lock()
	many := len(l.waiting) > 1
	l.mu.Unlock()
	if many {
		runtime.Gosched() // who is about to call shall share the message
	}
	l.sending.Lock()
	defer l.sending.Unlock()
	l.mu.Lock()
	calls, rests := l.out, l.closed && len(l.waiting) == 0
	l.out, l.queued = nil, 0
	l.mu.Unlock()
	if len(calls) > 0 {
		if err := l.st.Send(&Frame{Calls: calls}); err != nil {
			return false // Run tells why
		}
	}
	if rests {
		_ = l.st.CloseSend() // Run tells how it ended
	}
	return !rests
}

// receive hands out answers until the stream ends.
func (l *Caller) receive(dropped func()) error {
	for {
		f, err := l.st.Recv()
		if err != nil {
			dropped()
			return err
		}
		l.answer(f)
		if f.Final {
			dropped()
			l.refuse(f.Last, ErrNone)
		}
	}
}

// answer hands out the answers of a frame.
func (l *Caller) answer(f *Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range f.Calls {
		if done, ok := l.waiting[f.Calls[i].ID]; ok {
			delete(l.waiting, f.Calls[i].ID)
			done <- result{answer: f.Calls[i]}
		}
	}
}

// refuse ends the calls with ids above last with err, and takes no more.
func (l *Caller) refuse(last uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for id, done := range l.waiting {
		if id > last {
			delete(l.waiting, id)
			done <- result{err: err}
		}
	}
}
