package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
)

// inproc calls the handlers of its own process.
type inproc struct{ srv *Server }

// Caller returns the way to this server's own handlers: no encoding, no copy.
// Calls marked Leader go to the leader, wherever it is.
func (s *Server) Caller() Caller { return inproc{s} }

// Invoke implements Caller.
func (c inproc) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	h, err := c.srv.lookup(spec.Name)
	if err != nil {
		return nil, err
	}
	if h.unary == nil {
		return nil, unknownMethod(spec.Name)
	}
	if there, way, err := c.srv.elsewhere(ctx); way != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return way.Invoke(there, spec, req, resp)
	}
	if !c.srv.mustForward(h.spec, stale(req)) {
		out, err := h.unary(ctx, req)
		return out, asModel(err)
	}
	return follow(ctx, c.srv, h.spec,
		func() (Message, error) {
			out, err := h.unary(ctx, req)
			return out, asModel(err)
		},
		func(ctx context.Context, leader *conn) (Message, error) {
			return leader.Invoke(outgoing(ctx, hopKey, "1"), spec, req, resp)
		})
}

// Open implements Caller.
func (c inproc) Open(ctx context.Context, spec Spec) (Wire, error) {
	h, err := c.srv.lookup(spec.Name)
	if err != nil {
		return nil, err
	}
	if h.stream == nil {
		return nil, unknownMethod(spec.Name)
	}
	if there, way, err := c.srv.elsewhere(ctx); way != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return way.Open(there, spec)
	}
	here := func() (Wire, error) { return c.srv.openPipe(ctx, h), nil }
	if !c.srv.mustForward(h.spec, allowsStale(ctx)) {
		return here()
	}
	return follow(ctx, c.srv, h.spec, here, func(_ context.Context, leader *conn) (Wire, error) {
		return leader.Open(outgoing(ctx, hopKey, "1"), spec)
	})
}

// openPipe runs h with one end of a pipe and returns the other. The server's Run
// ends the handler's goroutine and waits for it.
func (s *Server) openPipe(ctx context.Context, h *handler) Wire {
	ctx, cancel := context.WithCancel(ctx)
	p := &pipe{
		ctx: ctx, cancel: cancel,
		up: make(chan Message, pipeDepth), down: make(chan Message, pipeDepth),
		upDone: make(chan struct{}), done: make(chan struct{}),
	}
	s.running.add()
	unhook := context.AfterFunc(s.base, cancel)
	go func() {
		defer s.running.done()
		defer unhook()
		p.err = asModel(h.stream(withPeer(ctx, Peer{Local: true}), pipeHandlerEnd{p}))
		close(p.done)
		cancel()
	}()
	return pipeCallerEnd{p}
}

// pipe is an in-process stream. Messages are passed, not copied.
type pipe struct {
	ctx    context.Context
	cancel context.CancelFunc
	up     chan Message  // caller to handler
	down   chan Message  // handler to caller
	upOnce sync.Once     // guards closing upDone
	upDone chan struct{} // closed when the caller sends no more
	done   chan struct{} // closed when the handler returned
	err    error         // its error, valid after done
}

type pipeCallerEnd struct{ *pipe }

func (p pipeCallerEnd) Send(m Message) error {
	select {
	case <-p.upDone:
		return protocolErrorf("send after close")
	case <-p.done:
		return io.EOF
	default:
	}
	select {
	case p.up <- m:
		return nil
	case <-p.done:
		return io.EOF
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p pipeCallerEnd) Recv(func() Message) (Message, error) {
	select {
	case m := <-p.down:
		return m, nil
	case <-p.done:
		return p.drain()
	case <-p.ctx.Done():
		// The handler ending cancels ctx too; its word counts first.
		select {
		case <-p.done:
			return p.drain()
		default:
			return nil, p.ctx.Err()
		}
	}
}

// drain returns what the handler sent before it ended, then why it ended.
func (p pipeCallerEnd) drain() (Message, error) {
	select {
	case m := <-p.down:
		return m, nil
	default:
	}
	if p.err == nil {
		return nil, io.EOF
	}
	return nil, p.err
}

func (p pipeCallerEnd) CloseSend() error {
	p.upOnce.Do(func() { close(p.upDone) })
	return nil
}

func (p pipeCallerEnd) Close() { p.cancel() }

type pipeHandlerEnd struct{ *pipe }

func (p pipeHandlerEnd) Send(m Message) error {
	select {
	case p.down <- m:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p pipeHandlerEnd) Recv(func() Message) (Message, error) {
	select {
	case m := <-p.up:
		return m, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	case <-p.upDone:
		select {
		case m := <-p.up:
			return m, nil
		default:
			return nil, io.EOF
		}
	}
}

func (p pipeHandlerEnd) CloseSend() error { return nil }

func (p pipeHandlerEnd) Close() {}

// stale reports whether req is a read that any server may answer.
func stale(req Message) bool {
	r, ok := req.(StaleReader)
	return ok && r.AllowsStale()
}

// isNotSent reports whether err provably left nothing behind.
func isNotSent(err error) bool { return errors.Is(err, ErrNotSent) }
