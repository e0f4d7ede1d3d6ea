package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire"
	"github.com/steppe-project/steppe/plugins/wire/driver"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// stdinChunkBytes is the most that one message carries of a command's input.
const stdinChunkBytes = 32 << 10

// ExecTask implements plugins.ExecTasker.
func (d *Driver) ExecTask(ctx context.Context, id string, command []string, timeout time.Duration) (*plugins.ExecResult, error) {
	r, err := d.client.ExecTask(ctx, &driver.ExecTaskRequest{TaskId: id, Command: command, Timeout: durationpb.New(timeout)})
	if err != nil {
		return nil, wire.FromError(err)
	}
	out := &plugins.ExecResult{Stdout: r.Stdout, Stderr: r.Stderr}
	if exit := wire.FromExit(r.Result); exit != nil {
		out.Exit = *exit
	}
	return out, nil
}

// ExecTaskStreaming implements plugins.ExecTasker. A Read of opts.Stdin that is
// under way when the command exits is not waited for: close the reader then.
func (d *Driver) ExecTaskStreaming(ctx context.Context, id string, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := d.client.ExecTaskStreaming(ctx)
	if err != nil {
		return nil, wire.FromError(err)
	}
	in := &execInput{stream: stream}
	setup := &driver.ExecTaskStreamingRequest_Setup{TaskId: id, Command: opts.Command, Tty: opts.TTY}
	if err := in.send(&driver.ExecTaskStreamingRequest{Setup: setup}); err != nil && !errors.Is(err, io.EOF) {
		return nil, wire.FromError(err)
	}
	go in.copyStdin(opts.Stdin)
	if opts.Resize != nil {
		go in.copyResize(ctx, opts.Resize)
	}
	return output(stream, opts)
}

type execStream = grpc.BidiStreamingClient[driver.ExecTaskStreamingRequest, driver.ExecTaskStreamingResponse]

// output copies what the command writes until it exits.
func output(stream execStream, opts *plugins.ExecOptions) (*plugins.ExitResult, error) {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the driver ended the exec without telling how the command ended")
		}
		if err != nil {
			return nil, wire.FromError(err)
		}
		if err := write(opts.Stdout, m.GetStdout().GetData()); err != nil {
			return nil, err
		}
		if err := write(opts.Stderr, m.GetStderr().GetData()); err != nil {
			return nil, err
		}
		if m.Exited {
			if exit := wire.FromExit(m.Result); exit != nil {
				return exit, nil
			}
			return &plugins.ExitResult{}, nil
		}
	}
}

func write(w io.Writer, data []byte) error {
	if w == nil || len(data) == 0 {
		return nil
	}
	_, err := w.Write(data)
	return err
}

// execInput serializes what is sent to the command. Its senders stop when a send
// fails, which it does once the call has ended; the call's error is output's.
type execInput struct {
	mu     sync.Mutex
	stream execStream
}

func (in *execInput) send(m *driver.ExecTaskStreamingRequest) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stream.Send(m)
}

// copyStdin sends r to its end, and the end; without r only the end.
func (in *execInput) copyStdin(r io.Reader) {
	buf := make([]byte, stdinChunkBytes)
	for r != nil {
		n, err := r.Read(buf)
		if n > 0 {
			op := &driver.ExecTaskStreamingIOOperation{Data: buf[:n]}
			if in.send(&driver.ExecTaskStreamingRequest{Stdin: op}) != nil {
				return
			}
		}
		if err != nil {
			break
		}
	}
	// A failed send means that the call is over, which the reader of its output
	// reports.
	_ = in.send(&driver.ExecTaskStreamingRequest{Stdin: &driver.ExecTaskStreamingIOOperation{Close: true}})
}

func (in *execInput) copyResize(ctx context.Context, sizes <-chan plugins.TermSize) {
	for {
		select {
		case s, ok := <-sizes:
			if !ok {
				return
			}
			size := &driver.ExecTaskStreamingRequest_TerminalSize{Height: int32(s.Height), Width: int32(s.Width)}
			if in.send(&driver.ExecTaskStreamingRequest{TtySize: size}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
