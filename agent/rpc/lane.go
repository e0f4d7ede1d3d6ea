package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/steppe-project/steppe/agent/rpc/lane"
	"github.com/steppe-project/steppe/model"
)

// laneMethod is the stream that small calls which the leader answers share on a
// connection: a stream for each cost more than what the leader does for them. It
// is opened beside the first such call and used once it is open; until then, and
// where the other side knows no lanes, calls go as streams of their own.
var laneMethod = StreamMethod[lane.Frame, lane.Frame]{Name: "Agent.Lane", Inside: true}

// lanes is a connection's lane, and what is known about the other side.
type lanes struct {
	mu      sync.Mutex
	open    *lane.Caller
	opening bool
	not     time.Time // until when the other side is not asked again
}

// suits reports whether a call may go by lane: it is answered by the leader, and
// has no headers.
func suits(ctx context.Context, spec Spec) bool {
	if spec.Forward != Leader {
		return false
	}
	md, ok := metadata.FromOutgoingContext(ctx)
	return !ok || len(md) == 0
}

// byLane does an exchange by the lane; lane.ErrNone when it has to go another way.
func (c *conn) byLane(ctx context.Context, spec Spec, hopped bool, req, resp any) error {
	if !suits(ctx, spec) {
		return lane.ErrNone
	}
	l := c.lane()
	if l == nil {
		return lane.ErrNone
	}
	data, err := payload(req)
	if err != nil {
		return err
	}
	if data == nil {
		return lane.ErrNone
	}
	kind := lane.Request
	if hopped {
		kind = lane.Hopped
	}
	answer, err := l.Call(ctx, kind, spec.Name, data)
	switch {
	case errors.Is(err, lane.ErrNone):
		return err
	case errors.Is(err, io.EOF):
		return model.Errorf(model.CodeUnavailable, "connection failed: the other side closed it")
	case err != nil && ctx.Err() != nil:
		return fromStatus(ctx, err, nil)
	case err != nil:
		return err
	case answer.Kind == lane.Failed:
		return failure(ctx, answer)
	}
	return codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(answer.Data)}, resp)
}

// payload is the encoded form of a Message or frame, nil when it is too large.
func payload(req any) ([]byte, error) {
	switch v := req.(type) {
	case *frame:
		if len(v.bytes()) > laneCallBytes {
			return nil, nil
		}
		return v.bytes(), nil
	case Message:
		if s, ok := v.(sizer); ok && s.Msgsize() > laneCallBytes {
			return nil, nil
		}
		b, err := v.MarshalMsg(nil)
		if len(b) > laneCallBytes {
			return nil, nil
		}
		return b, err
	}
	return nil, fmt.Errorf("rpc: %T is not a message", req)
}

// lane is the connection's open lane; it has one opened when there is none.
func (c *conn) lane() *lane.Caller {
	c.lanes.mu.Lock()
	defer c.lanes.mu.Unlock()
	if c.lanes.open == nil && !c.lanes.opening && !time.Now().Before(c.lanes.not) {
		c.lanes.opening = true
		go c.runLane() // ends with the connection
	}
	return c.lanes.open
}

// runLane opens a lane and runs it until it ends.
func (c *conn) runLane() {
	l, err := c.openLane()
	c.lanes.mu.Lock()
	c.lanes.open, c.lanes.opening = l, false
	if err != nil {
		c.lanes.not = time.Now().Add(laneAgain)
	}
	c.lanes.mu.Unlock()
	if err != nil {
		return
	}
	_ = l.Run(func() { // who called was told
		c.lanes.mu.Lock()
		defer c.lanes.mu.Unlock()
		if c.lanes.open == l {
			c.lanes.open = nil
		}
	})
}

// openLane starts the stream and waits for the word that it is open.
func (c *conn) openLane() (*lane.Caller, error) {
	w, err := c.open(context.Background(), methodPrefix+laneMethod.Name)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(readyTimeout, w.cancel)
	st := laneStream{&Stream[lane.Frame, lane.Frame]{wire: w}, w}
	_, err = st.Recv()
	if !late.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		st.Close()
		return nil, err
	}
	return lane.NewCaller(st, clientIdle), nil
}

// laneStream is the calling end of a lane's stream.
type laneStream struct {
	*Stream[lane.Frame, lane.Frame]
	wire *clientWire
}

// Done implements lane.CallerStream.
func (s laneStream) Done() <-chan struct{} { return s.wire.st.Context().Done() }

// serveLane answers the calls of a lane.
func (s *Server) serveLane(ctx context.Context, st *Stream[lane.Frame, lane.Frame]) error {
	l := lane.Answerer{Stream: st, Ending: s.ending, Answer: s.answerCall, Go: func(f func()) {
		s.running.add() // see splice: the stream's Recv may outlast the handler
		go func() {
			defer s.running.done()
			f()
		}()
	}}
	return l.Serve(ctx)
}

// answerCall answers one call of a lane.
func (s *Server) answerCall(ctx context.Context, c lane.Call) lane.Call {
	s.Requests.Add(1)
	data, err := s.callOf(ctx, c)
	if err == nil && len(data) > MaxMessageBytes-lane.FrameBytes {
		err = model.Errorf(model.CodeInvalid, "%s: the answer of %d bytes is too large", c.Name, len(data))
	}
	if err == nil {
		return lane.Call{Kind: lane.Answered, Data: data}
	}
	s.Failures.Add(1)
	trailer, err := toStatus(err)
	st := status.Convert(err)
	out := lane.Call{Kind: lane.Failed, Number: int64(st.Code()), Data: []byte(st.Message())}
	if v := trailer.Get(codeKey); len(v) > 0 {
		out.Name = v[0]
	}
	return out
}

// failure reads a failed answer.
func failure(ctx context.Context, c lane.Call) error {
	var trailer metadata.MD
	if c.Name != "" {
		trailer = metadata.Pairs(codeKey, c.Name)
	}
	return fromStatus(ctx, status.Error(codes.Code(c.Number), string(c.Data)), trailer)
}

// callOf runs the handler of a call, here or at the leader.
func (s *Server) callOf(ctx context.Context, c lane.Call) (data []byte, err error) {
	defer s.contain(c.Name, &err)
	if c.Kind != lane.Request && c.Kind != lane.Hopped {
		return nil, protocolErrorf("call of kind %d", c.Kind)
	}
	h, err := s.lookup(c.Name)
	if err != nil {
		return nil, err
	}
	if h.unary == nil {
		return nil, protocolErrorf("%s is a stream", c.Name)
	}
	out, err := s.dispatchCall(ctx, h, &frame{buf: mem.SliceBuffer(c.Data)}, c.Kind == lane.Hopped)
	if err != nil {
		return nil, err
	}
	switch v := out.(type) {
	case *frame:
		defer v.free()
		return append([]byte(nil), v.bytes()...), nil
	case Message:
		return v.MarshalMsg(nil)
	}
	return nil, model.Errorf(model.CodeInternal, "%s: %T is not a message", c.Name, out)
}
