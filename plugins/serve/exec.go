package serve

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/driver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// execChunkBytes bounds one message of output of a streaming exec, well below
// the 4 MiB that a client accepts.
const execChunkBytes = 64 << 10

func (s *driverServer) ExecTask(ctx context.Context, r *driver.ExecTaskRequest) (*driver.ExecTaskResponse, error) {
	impl, ok := s.impl.(plugins.ExecTasker)
	if !ok {
		return nil, unsupported("exec")
	}
	out, err := impl.ExecTask(ctx, r.TaskId, r.Command, wire.FromDuration(r.Timeout))
	if err != nil {
		return nil, wire.ToError(err)
	}
	return &driver.ExecTaskResponse{Stdout: out.Stdout, Stderr: out.Stderr, Result: wire.ToExit(&out.Exit)}, nil
}

type execStream = grpc.BidiStreamingServer[driver.ExecTaskStreamingRequest, driver.ExecTaskStreamingResponse]

// ExecTaskStreaming expects the set-up first, then stdin and terminal sizes; it
// answers with output, the end of both outputs, and the exit.
func (s *driverServer) ExecTaskStreaming(stream execStream) error {
	impl, ok := s.impl.(plugins.ExecTasker)
	if !ok {
		return unsupported("exec")
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	setup := first.GetSetup()
	if setup == nil {
		return status.Error(codes.InvalidArgument, "the first message of an exec stream must be its set-up")
	}
	stdin, feed := io.Pipe()
	resize := make(chan plugins.TermSize)
	// Ends when the handler returns, as that ends the stream's context.
	go receive(stream, first, feed, resize)
	send := &execSender{stream: stream}
	exit, err := impl.ExecTaskStreaming(stream.Context(), setup.TaskId, &plugins.ExecOptions{
		Command: setup.Command,
		TTY:     setup.Tty,
		Stdin:   stdin,
		Stdout:  execWriter{send, false},
		Stderr:  execWriter{send, true},
		Resize:  resize,
	})
	// Input that nobody reads any more must not hold the receiver.
	stdin.CloseWithError(io.ErrClosedPipe)
	if err != nil {
		return wire.ToError(err)
	}
	return send.finish(wire.ToExit(exit))
}

// receive hands the client's input on until the client closes it or goes away.
// It begins with the message that carried the set-up, which may carry more.
func receive(stream execStream, m *driver.ExecTaskStreamingRequest, feed *io.PipeWriter, resize chan<- plugins.TermSize) {
	ctx := stream.Context()
	for {
		if err := handle(ctx, m, feed, resize); err != nil {
			break
		}
		var err error
		if m, err = stream.Recv(); err != nil {
			if !errors.Is(err, io.EOF) {
				feed.CloseWithError(wire.FromError(err))
			}
			break
		}
	}
	feed.Close()
}

// handle acts on one message. Input after the command closed its stdin is
// dropped, as a terminal would.
func handle(ctx context.Context, m *driver.ExecTaskStreamingRequest, feed *io.PipeWriter, resize chan<- plugins.TermSize) error {
	if size := m.GetTtySize(); size != nil {
		select {
		case resize <- plugins.TermSize{Height: int(size.Height), Width: int(size.Width)}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if in := m.GetStdin(); in != nil {
		if len(in.Data) > 0 {
			if _, err := feed.Write(in.Data); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				return err
			}
		}
		if in.Close {
			feed.Close()
		}
	}
	return nil
}

// execSender serializes what several writers send.
type execSender struct {
	mu     sync.Mutex
	stream execStream
}

func (s *execSender) send(m *driver.ExecTaskStreamingResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(m)
}

// finish closes both outputs and reports the exit.
func (s *execSender) finish(exit *driver.ExitResult) error {
	closed := &driver.ExecTaskStreamingIOOperation{Close: true}
	for _, m := range []*driver.ExecTaskStreamingResponse{
		{Stderr: closed}, {Stdout: closed}, {Exited: true, Result: exit},
	} {
		if err := s.send(m); err != nil {
			return err
		}
	}
	return nil
}

// execWriter is one output of the command.
type execWriter struct {
	sender *execSender
	stderr bool
}

func (w execWriter) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		chunk := p[sent:min(len(p), sent+execChunkBytes)]
		op := &driver.ExecTaskStreamingIOOperation{Data: chunk}
		m := &driver.ExecTaskStreamingResponse{Stdout: op}
		if w.stderr {
			m = &driver.ExecTaskStreamingResponse{Stderr: op}
		}
		if err := w.sender.send(m); err != nil {
			return sent, err
		}
		sent += len(chunk)
	}
	return sent, nil
}
