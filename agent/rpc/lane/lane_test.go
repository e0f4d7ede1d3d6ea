package lane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is one end of a stream in memory.
type pipe struct {
	in        <-chan *Frame
	out       chan<- *Frame
	closeSend func()
	broken    chan struct{} // shared by both ends
	fail      func()
}

func newPipe() (a, b *pipe) {
	up, down, broken := make(chan *Frame, 1), make(chan *Frame, 1), make(chan struct{})
	fail := sync.OnceFunc(func() { close(broken) })
	return &pipe{in: down, out: up, closeSend: sync.OnceFunc(func() { close(up) }), broken: broken, fail: fail},
		&pipe{in: up, out: down, closeSend: sync.OnceFunc(func() { close(down) }), broken: broken, fail: fail}
}

var errBroken = errors.New("broken")

func (p *pipe) Send(f *Frame) error {
	select {
	case p.out <- f:
		return nil
	case <-p.broken:
		return errBroken
	}
}

func (p *pipe) Recv() (*Frame, error) {
	select {
	case f, ok := <-p.in:
		if !ok {
			return nil, io.EOF
		}
		return f, nil
	case <-p.broken:
		return nil, errBroken
	}
}

func (p *pipe) CloseSend() error { p.closeSend(); return nil }

func (p *pipe) Close() { p.fail() }

func (p *pipe) Done() <-chan struct{} { return p.broken }

const rest = time.Minute

// ends are both ends of a lane.
type ends struct {
	*Caller
	ending  chan struct{}
	dropped chan struct{}
	cause   error // of the calling end, once ran
	served  error
	ran     sync.WaitGroup
	fail    func()
}

func start(t *testing.T, answer func(context.Context, Call) Call) *ends {
	t.Helper()
	up, down := newPipe()
	e := &ends{ending: make(chan struct{}), dropped: make(chan struct{}), fail: up.fail, Caller: NewCaller(up, rest)}
	a := Answerer{Stream: down, Ending: e.ending, Answer: answer, Go: func(f func()) { e.ran.Go(f) }}
	e.ran.Go(func() {
		e.served = a.Serve(t.Context())
		down.closeSend()
	})
	if _, err := up.Recv(); err != nil {
		t.Fatal(err)
	}
	e.ran.Go(func() { e.cause = e.Run(sync.OnceFunc(func() { close(e.dropped) })) })
	return e
}

func answered(data string) Call { return Call{Kind: Answered, Data: []byte(data)} }

func (e *ends) call(ctx context.Context, text string) (string, error) {
	c, err := e.Call(ctx, Request, "Test.Led", []byte(text))
	return string(c.Data), err
}

// TestCalls: many callers at once get each their own answer.
func TestCalls(t *testing.T) {
	e := start(t, func(_ context.Context, c Call) Call { return answered("re: " + string(c.Data)) })
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 200 {
				text := fmt.Sprint(i, "/", j)
				if out, err := e.call(t.Context(), text); err != nil || out != "re: "+text {
					t.Errorf("%q: %q, %v", text, out, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if e.Calls() != 64*200 || len(e.waiting) != 0 {
		t.Errorf("%d calls, %d wait", e.Calls(), len(e.waiting))
	}
	e.fail()
	e.ran.Wait()
}

// TestGivenUp: a caller that stops waiting returns at once, and its call is told
// so; the others' go on.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan error, 1)
		e := start(t, func(ctx context.Context, c Call) Call {
			if string(c.Data) == "waits" {
				<-ctx.Done()
				told <- ctx.Err()
			}
			return answered("")
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if _, err := e.call(ctx, "waits"); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("given up: %v after %s", err, time.Since(began))
		}
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Errorf("the call was told %v", err)
		}
		late, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := e.call(late, "waits"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("late: %v", err)
		}
		if err := <-told; err == nil {
			t.Error("the late call was told nothing")
		}
		if _, err := e.call(t.Context(), "more"); err != nil {
			t.Error(err)
		}
		e.fail()
		e.ran.Wait()
	})
}

// TestRests: a lane that nobody uses ends; one that is used, or waited for, does not.
func TestRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, func(_ context.Context, c Call) Call {
			if string(c.Data) == "long" {
				time.Sleep(3 * rest)
			}
			return answered("")
		})
		for range 10 {
			time.Sleep(rest - time.Second)
			if _, err := e.call(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := e.call(t.Context(), "long"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * rest)
		e.ran.Wait()
		if !errors.Is(e.cause, io.EOF) || e.served != nil {
			t.Errorf("ended with %v, %v", e.cause, e.served)
		}
		<-e.dropped
		if _, err := e.call(t.Context(), "a"); !errors.Is(err, ErrNone) {
			t.Errorf("a call by a lane that rests: %v", err)
		}
	})
}

// TestEnding: what is looked at is answered; what is not fails as such; then the
// lane ends by itself.
func TestEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, func(context.Context, Call) Call {
			time.Sleep(time.Second)
			return answered("")
		})
		errs := make(chan error, 1)
		go func() {
			_, err := e.call(t.Context(), "runs")
			errs <- err
		}()
		time.Sleep(time.Millisecond)
		close(e.ending)
		synctest.Wait()
		if _, err := e.call(t.Context(), "late"); !errors.Is(err, ErrNone) {
			t.Errorf("late: %v", err)
		}
		<-e.dropped
		if err := <-errs; err != nil {
			t.Errorf("what ran: %v", err)
		}
		e.ran.Wait()
	})
}

// TestRefused: calls that were on their way when the last word was said were not
// made.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, down := newPipe()
		l := NewCaller(up, rest)
		var ran sync.WaitGroup
		ran.Go(func() { _ = l.Run(func() {}) })
		errs := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := l.Call(t.Context(), Request, "Test.Led", nil)
				errs <- err
			}()
			synctest.Wait()
		}
		if err := down.Send(&Frame{Final: true, Last: 1}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrNone) {
				t.Errorf("refused: %v", err)
			}
		}
		down.closeSend()
		if err := <-errs; !errors.Is(err, io.EOF) {
			t.Errorf("without an answer: %v", err)
		}
		ran.Wait()
	})
}

// TestBreaks: a stream that breaks fails what waits, at once.
func TestBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, func(context.Context, Call) Call {
			time.Sleep(time.Second)
			return answered("")
		})
		time.AfterFunc(time.Millisecond, e.fail)
		began := time.Now()
		if _, err := e.call(t.Context(), "a"); !errors.Is(err, errBroken) || time.Since(began) != time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		e.ran.Wait()
	})
}

// FuzzFrame decodes what an agent may send.
func FuzzFrame(f *testing.F) {
	b, err := (&Frame{Final: true, Last: 7, Calls: []Call{
		{ID: 1, Kind: Request, Name: "Test.Lead", Number: 5, Data: []byte("d")}, {ID: 2, Kind: Cancel},
	}}).MarshalMsg(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var in Frame
		if _, err := in.UnmarshalMsg(b); err != nil {
			return
		}
		out, err := in.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		var again Frame
		if rest, err := again.UnmarshalMsg(out); err != nil || len(rest) != 0 || len(out) > in.Msgsize() || !reflect.DeepEqual(in, again) {
			t.Errorf("%+v became %+v in %d bytes, %v", in, again, len(out), err)
		}
	})
}
