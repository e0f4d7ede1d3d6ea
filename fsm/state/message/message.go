// Package message checks and compares msgpack messages without knowing their
// types: that lengths are backed by bytes, and that two messages mean the same
// although their maps were written in different orders.
//
// Example:
//
//	if err := message.Check(data); err != nil { ... } // before decoding
//	same := message.Digest(a) == message.Digest(b)
package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// maxDepth bounds the nesting of a message: job files nest far less, and the
// decoders recurse.
const maxDepth = 256

// ErrDamaged is returned for what is not one whole message.
var ErrDamaged = errors.New("damaged msgpack")

// Check checks that data is msgpack whose lengths are all backed by
// bytes, so that decoding it allocates in proportion to its size.
func Check(data []byte) error {
	rest, err := skip(data, maxDepth)
	if err == nil && len(rest) > 0 {
		err = ErrDamaged
	}
	return err
}

// header is the meaning of a value's first bytes.
type header struct {
	size  int // of the header itself
	data  int // bytes of payload that follow
	items int // values that follow: elements, or keys and values
	pairs bool
}

// readHeader reads one value's header.
func readHeader(b []byte) (h header, ok bool) {
	if len(b) == 0 {
		return h, false
	}
	c := b[0]
	switch {
	case c <= 0x7f || c >= 0xe0: // small integers
		return header{size: 1}, true
	case c <= 0x8f:
		return header{size: 1, items: 2 * int(c&0x0f), pairs: true}, true
	case c <= 0x9f:
		return header{size: 1, items: int(c & 0x0f)}, true
	case c <= 0xbf:
		return header{size: 1, data: int(c & 0x1f)}, true
	}
	return longHeader(b)
}

// fixedSizes are the payload sizes of types that have one.
var fixedSizes = map[byte]int{
	0xc0: 0, 0xc2: 0, 0xc3: 0, // nil, booleans
	0xca: 4, 0xcb: 8, // floats
	0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8, // integers
	0xd4: 2, 0xd5: 3, 0xd6: 5, 0xd7: 9, 0xd8: 17, // fixed extensions with their type
}

func longHeader(b []byte) (h header, ok bool) {
	c := b[0]
	if n, ok := fixedSizes[c]; ok {
		return header{size: 1, data: n}, true
	}
	width := 0
	switch c {
	case 0xc4, 0xc7, 0xd9:
		width = 1
	case 0xc5, 0xc8, 0xda, 0xdc, 0xde:
		width = 2
	case 0xc6, 0xc9, 0xdb, 0xdd, 0xdf:
		width = 4
	default:
		return h, false
	}
	if len(b) < 1+width {
		return h, false
	}
	var wide [8]byte
	copy(wide[8-width:], b[1:1+width])
	n := int(binary.BigEndian.Uint64(wide[:]))
	h.size = 1 + width
	switch c {
	case 0xc7, 0xc8, 0xc9: // extensions: their type follows the length
		h.data = n + 1
	case 0xdc, 0xdd:
		h.items = n
	case 0xde, 0xdf:
		h.items, h.pairs = 2*n, true
	default:
		h.data = n
	}
	return h, true
}

// skip returns what follows the first value of b.
func skip(b []byte, depth int) ([]byte, error) {
	h, ok := readHeader(b)
	if !ok || depth == 0 || len(b)-h.size < h.data || len(b)-h.size-h.data < h.items {
		return nil, ErrDamaged
	}
	b = b[h.size+h.data:]
	for range h.items {
		var err error
		if b, err = skip(b, depth-1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Canonical returns a msgpack message with its maps in the order of their keys:
// encoders write Go maps in any order. What is not msgpack stays as it is.
func Canonical(message []byte) []byte {
	canon, rest, err := canonical(make([]byte, 0, len(message)), message, maxDepth)
	if err != nil || len(rest) > 0 {
		return message
	}
	return canon
}

// Digest is the sha256 of a message in canonical form.
func Digest(message []byte) [32]byte { return sha256.Sum256(Canonical(message)) }

// canonical appends the canonical form of the first value of b and returns
// what follows it.
func canonical(out, b []byte, depth int) (_, rest []byte, err error) {
	h, ok := readHeader(b)
	if !ok || depth == 0 || len(b)-h.size < h.data || len(b)-h.size-h.data < h.items {
		return nil, nil, ErrDamaged
	}
	out = append(out, b[:h.size+h.data]...)
	b = b[h.size+h.data:]
	if h.pairs {
		return canonicalMap(out, b, h.items/2, depth)
	}
	for range h.items {
		if out, b, err = canonical(out, b, depth-1); err != nil {
			return nil, nil, err
		}
	}
	return out, b, nil
}

// canonicalMap appends the pairs of a map in the order of their keys.
func canonicalMap(out, b []byte, pairs, depth int) (_, rest []byte, err error) {
	type span struct{ key, from, to int } // positions in out: pair and end of its key
	start := len(out)
	spans := make([]span, 0, pairs)
	sorted := true
	for range pairs {
		s := span{from: len(out)}
		if out, b, err = canonical(out, b, depth-1); err != nil {
			return nil, nil, err
		}
		s.key = len(out)
		if out, b, err = canonical(out, b, depth-1); err != nil {
			return nil, nil, err
		}
		s.to = len(out)
		if n := len(spans); n > 0 && bytes.Compare(out[spans[n-1].from:spans[n-1].key], out[s.from:s.key]) > 0 {
			sorted = false
		}
		spans = append(spans, s)
	}
	if sorted {
		return out, b, nil
	}
	pairsOut := bytes.Clone(out[start:])
	at := func(from, to int) []byte { return pairsOut[from-start : to-start] }
	slices.SortFunc(spans, func(p, q span) int { return bytes.Compare(at(p.from, p.key), at(q.from, q.key)) })
	out = out[:start]
	for _, s := range spans {
		out = append(out, at(s.from, s.to)...)
	}
	return out, b, nil
}
