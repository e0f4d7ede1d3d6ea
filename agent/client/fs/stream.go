package fs

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// nonBlocking keeps the opening of a pipe or device from waiting.
const nonBlocking = syscall.O_NONBLOCK

// The events of FileFrame.FileEvent.
const (
	eventDeleted   = "file deleted"
	eventTruncated = "file truncated"
)

// Send takes one frame, which is its own from then on; its error ends the stream.
type Send func(*msg.FileFrame) error

// FileRequest asks for a file's content.
type FileRequest struct {
	Path   string
	Offset int64
	Limit  int64  // 0 = to the end
	Origin string // start (also ""), end
	Follow bool
	// Over tells that nothing will be written any more; nil = never.
	Over func() bool
}

// Stream sends a file's content.
func Stream(ctx context.Context, root *os.Root, r FileRequest, send Send) error {
	f, rel, info, err := regular(root, r.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	at, err := origin(r.Origin, r.Offset, info.Size())
	if err != nil {
		return err
	}
	out := &sender{send: send, file: rel, limit: r.Limit, buf: make([]byte, MaxFrame)}
	for {
		over := !r.Follow || r.Over != nil && r.Over() // asked before reading: what it wrote last is read
		at, err = out.copy(ctx, f, at)
		if err != nil || over || out.full() {
			return err
		}
		if err := out.idle(ctx); err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return asModel(r.Path, err)
		}
		if info.Size() < at {
			at = 0
			if err := out.frame(&msg.FileFrame{File: rel, FileEvent: eventTruncated}); err != nil {
				return err
			}
		}
		if _, err := root.Lstat(rel); errors.Is(err, iofs.ErrNotExist) {
			if _, err = out.copy(ctx, f, at); err != nil {
				return err
			}
			return out.frame(&msg.FileFrame{File: rel, Offset: at, FileEvent: eventDeleted})
		}
	}
}

// sender sends frames and heartbeats within a limit.
type sender struct {
	send  Send
	file  string
	limit int64 // 0 = none
	sent  int64
	last  time.Time
	buf   []byte
}

func (s *sender) full() bool { return s.limit > 0 && s.sent >= s.limit }

func (s *sender) frame(f *msg.FileFrame) error {
	s.last = time.Now()
	return s.send(f)
}

// copy sends what the file holds after at, up to the limit.
func (s *sender) copy(ctx context.Context, f *os.File, at int64) (int64, error) {
	for !s.full() {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		buf := s.buf
		if s.limit > 0 {
			buf = buf[:min(int64(len(buf)), s.limit-s.sent)]
		}
		n, err := f.ReadAt(buf, at)
		if n > 0 {
			at += int64(n)
			s.sent += int64(n)
			data := append([]byte(nil), buf[:n]...)
			if err := s.frame(&msg.FileFrame{File: s.file, Offset: at, Data: data}); err != nil {
				return at, err
			}
		}
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, model.Errorf(model.CodeInternal, "read %s: %w", s.file, err)
		}
	}
	return at, nil
}

// idle waits a moment, with a heartbeat if it is time for one.
func (s *sender) idle(ctx context.Context) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if time.Since(s.last) >= Heartbeat {
		return s.frame(&msg.FileFrame{})
	}
	return nil
}
