package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sync"
)

// Mark is a small file beside a database that remembers how far the database went:
// a page whose count has flipped, or a damaged newest root, would else drop the
// newest records without a word.
//
// Note is called after the database's own fsync and before anything is
// acknowledged. It costs microseconds, because it is not flushed itself: what a
// mark says never runs ahead of the database, whatever is lost, and is exact unless
// the power failed within the last seconds.
//
// Two slots are written in turn, a sector each, so that one is whole always:
//
//	magic 8 │ sequence 8 │ values 8 each │ CRC-32C 4
type Mark struct {
	mu     sync.Mutex
	f      *os.File
	magic  string
	seq    uint64
	values []uint64
}

const (
	markSlot  = 512 // a sector
	markSlots = 2
	markMagic = 8
	// maxValues is what fits a slot.
	maxValues = (markSlot - markMagic - 8 - crc32.Size) / 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenMark opens or makes the mark at path, of n values. magic has 8 bytes and
// names what they mean. Slots that are not whole count as never written.
func OpenMark(path, magic string, n int) (*Mark, error) {
	if len(magic) != markMagic || n > maxValues {
		return nil, fmt.Errorf("a mark with the magic %q and %d values", magic, n)
	}
	m := &Mark{magic: magic, values: make([]uint64, n)}
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	for i := range markSlots {
		m.read(data, i)
	}
	if len(data) != markSlots*markSlot {
		if err := WriteFile(path, make([]byte, markSlots*markSlot), 0o600); err != nil {
			return nil, err
		}
	}
	m.f, err = os.OpenFile(path, os.O_RDWR, 0)
	return m, err
}

// read takes a slot's word if it is whole and newer.
func (m *Mark) read(data []byte, slot int) {
	size := markMagic + 8 + 8*len(m.values) + crc32.Size
	if len(data) < slot*markSlot+size {
		return
	}
	b := data[slot*markSlot:][:size]
	body, seq := b[:size-crc32.Size], binary.BigEndian.Uint64(b[markMagic:])
	if string(b[:markMagic]) != m.magic || crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) || seq <= m.seq {
		return
	}
	m.seq = seq
	for i := range m.values {
		m.values[i] = binary.BigEndian.Uint64(body[markMagic+8+8*i:])
	}
}

// Values is what was last noted.
func (m *Mark) Values() []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.values)
}

// Note changes the values. flush is for changes after which the database may hold
// less: it writes them through.
func (m *Mark) Note(change func(values []uint64), flush bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := slices.Clone(m.values)
	change(next)
	if slices.Equal(next, m.values) && !flush {
		return nil
	}
	b := append(make([]byte, 0, markSlot), m.magic...)
	b = binary.BigEndian.AppendUint64(b, m.seq+1)
	for _, v := range next {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := m.f.WriteAt(b, int64((m.seq+1)%markSlots)*markSlot); err != nil {
		return err
	}
	m.seq, m.values = m.seq+1, next
	if flush {
		return m.f.Sync()
	}
	return nil
}

// Close writes the mark through.
func (m *Mark) Close() error { return errors.Join(m.f.Sync(), m.f.Close()) }
