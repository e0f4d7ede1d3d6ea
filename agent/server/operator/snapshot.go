package operator

import (
	"context"
	"io"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// chunkBytes is how much of an archive one message carries.
const chunkBytes = 256 << 10

// snapshotSave streams an archive of the state. After the last byte comes Done;
// without it the archive is cut.
func (d *Desk) snapshotSave(ctx context.Context, st *rpc.Stream[msg.Chunk, msg.StatusRequest]) error {
	req, err := st.Recv()
	if err != nil {
		return err
	}
	if !req.Stale {
		if _, err := d.cfg.Host.ReadIndex(ctx); err != nil {
			return err
		}
	}
	w := &chunkWriter{st: st, buf: make([]byte, 0, chunkBytes)}
	if _, err := d.cfg.Host.SaveSnapshot(ctx, w); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	return st.Send(&msg.Chunk{Done: true})
}

// chunkWriter sends what is written in messages of chunkBytes. A sent buffer may
// be shared with the receiver, so each message has its own.
type chunkWriter struct {
	st  *rpc.Stream[msg.Chunk, msg.StatusRequest]
	buf []byte
}

// Write implements io.Writer.
func (w *chunkWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), chunkBytes-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
		if len(w.buf) == chunkBytes {
			if err := w.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (w *chunkWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	full := w.buf
	w.buf = make([]byte, 0, chunkBytes)
	return w.st.Send(&msg.Chunk{Data: full})
}

// snapshotRestore replaces the cluster's state by an archive that is streamed
// in. An archive that ends without Done is not used.
func (d *Desk) snapshotRestore(ctx context.Context, st *rpc.Stream[msg.WriteMeta, msg.Chunk]) error {
	if _, err := d.cfg.Host.RestoreSnapshot(ctx, &chunkReader{st: st}); err != nil {
		return err
	}
	return st.Send(d.written())
}

// chunkReader reads what arrives in messages.
type chunkReader struct {
	st   *rpc.Stream[msg.WriteMeta, msg.Chunk]
	rest []byte
	done bool
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.done {
			return 0, io.EOF
		}
		c, err := r.st.Recv()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case c.Err != "":
			return 0, model.Errorf(model.CodeInvalid, "the sender gave up: %s", c.Err)
		}
		r.rest, r.done = c.Data, c.Done
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
