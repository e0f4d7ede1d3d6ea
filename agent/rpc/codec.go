package rpc

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// codecName is the gRPC content subtype.
const codecName = "msgp"

// codec is the gRPC codec: it takes Messages to send, and frames both ways.
type codec struct{}

// frame is an encoded payload. Received frames hold a reference to a pooled
// buffer until free.
type frame struct{ buf mem.Buffer }

func (f *frame) bytes() []byte {
	if f.buf == nil {
		return nil
	}
	return f.buf.ReadOnlyData()
}

func (f *frame) free() {
	if f.buf != nil {
		f.buf.Free()
		f.buf = nil
	}
}

// decode fills m and requires that nothing is left over.
func (f *frame) decode(m Message) error {
	rest, err := m.UnmarshalMsg(f.bytes())
	if err != nil {
		return fmt.Errorf("malformed message %T: %w", m, err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("malformed message %T: %d bytes too many", m, len(rest))
	}
	return nil
}

func (codec) Name() string { return codecName }

// sizer is implemented by generated messages: an upper bound of the encoded size.
type sizer interface{ Msgsize() int }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *frame:
		// gRPC frees what it sends; the frame keeps its own reference for retries.
		v.buf.Ref()
		return mem.BufferSlice{v.buf}, nil
	case Message:
		return marshal(v)
	}
	return nil, fmt.Errorf("rpc: %T is not a message", v)
}

func marshal(m Message) (mem.BufferSlice, error) {
	size := 512
	if s, ok := m.(sizer); ok {
		size = s.Msgsize()
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	out, err := m.MarshalMsg((*buf)[:0])
	if err != nil {
		pool.Put(buf)
		return nil, fmt.Errorf("rpc: encode %T: %w", m, err)
	}
	*buf = out
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *frame:
		v.buf = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	case Message:
		f := frame{buf: data.MaterializeToBuffer(mem.DefaultBufferPool())}
		defer f.free()
		return f.decode(v)
	}
	return fmt.Errorf("rpc: cannot decode into %T", v)
}
