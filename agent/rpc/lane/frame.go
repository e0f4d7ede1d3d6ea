// Package lane has many small calls share one stream, instead of a stream for
// each: requests go up, answers come down, many in a message. The stream is the
// caller of this package's; so is what a request means.
package lane

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// Frame is one message of a lane.
type Frame struct {
	// Final is set when the answering end is ending: it
	// reads no more, and calls with ids above Last were not looked at.
	Final bool
	Last  uint64
	Calls []Call
}

// Kind says what a Call is.
type Kind uint8

const (
	Request  Kind = iota // up: name, number (nanoseconds left to the caller, 0: no deadline), data
	Hopped               // up: a request that is not to be forwarded again
	Cancel               // up: the caller gave the call up
	Answered             // down: data
	Failed               // down: name (steppe-code), number (gRPC code), data (text)
)

// Call is a call or its answer.
type Call struct {
	ID     uint64
	Kind   Kind
	Name   string
	Number int64
	Data   []byte
}

// callParts and frameParts are the lengths of their arrays on the wire.
const (
	callParts  = 5
	frameParts = 3
)

// callMin is the least that a call takes on the wire.
const callMin = 1 + callParts

// MarshalMsg implements Message.
func (f *Frame) MarshalMsg(b []byte) ([]byte, error) {
	b = msgp.AppendArrayHeader(b, frameParts)
	b = msgp.AppendBool(b, f.Final)
	b = msgp.AppendUint64(b, f.Last)
	b = msgp.AppendArrayHeader(b, uint32(len(f.Calls)))
	for i := range f.Calls {
		c := &f.Calls[i]
		b = msgp.AppendArrayHeader(b, callParts)
		b = msgp.AppendUint64(b, c.ID)
		b = msgp.AppendUint8(b, uint8(c.Kind))
		b = msgp.AppendString(b, c.Name)
		b = msgp.AppendInt64(b, c.Number)
		b = msgp.AppendBytes(b, c.Data)
	}
	return b, nil
}

// Msgsize bounds the encoded size.
func (f *Frame) Msgsize() int {
	n := 1 + msgp.BoolSize + msgp.Uint64Size + msgp.ArrayHeaderSize
	for i := range f.Calls {
		n += f.Calls[i].size()
	}
	return n
}

// size bounds a call's encoded size.
func (c *Call) size() int {
	return 1 + msgp.Uint64Size + msgp.Uint8Size + msgp.StringPrefixSize + len(c.Name) + msgp.Int64Size + msgp.BytesPrefixSize + len(c.Data)
}

// UnmarshalMsg implements Message. What it keeps is copied.
func (f *Frame) UnmarshalMsg(b []byte) ([]byte, error) {
	b, err := readParts(b, frameParts)
	if err != nil {
		return nil, err
	}
	if f.Final, b, err = msgp.ReadBoolBytes(b); err != nil {
		return nil, err
	}
	if f.Last, b, err = msgp.ReadUint64Bytes(b); err != nil {
		return nil, err
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return nil, err
	}
	if uint64(n)*callMin > uint64(len(b)) {
		return nil, fmt.Errorf("lane frame of %d calls in %d bytes", n, len(b))
	}
	f.Calls = make([]Call, n)
	for i := range f.Calls {
		if b, err = f.Calls[i].read(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (c *Call) read(b []byte) ([]byte, error) {
	b, err := readParts(b, callParts)
	if err != nil {
		return nil, err
	}
	if c.ID, b, err = msgp.ReadUint64Bytes(b); err != nil {
		return nil, err
	}
	var kind uint8
	if kind, b, err = msgp.ReadUint8Bytes(b); err != nil {
		return nil, err
	}
	c.Kind = Kind(kind)
	if c.Name, b, err = msgp.ReadStringBytes(b); err != nil {
		return nil, err
	}
	if c.Number, b, err = msgp.ReadInt64Bytes(b); err != nil {
		return nil, err
	}
	c.Data, b, err = msgp.ReadBytesBytes(b, nil)
	return b, err
}

// readParts reads the header of an array of n parts.
func readParts(b []byte, n uint32) ([]byte, error) {
	got, b, err := msgp.ReadArrayHeaderBytes(b)
	if err == nil && got != n {
		err = fmt.Errorf("array of %d parts instead of %d", got, n)
	}
	return b, err
}
