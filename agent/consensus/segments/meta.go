package segments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft-wal/types"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/internal/durable"
)

// metaFile is the name of a log's meta file.
const metaFile = "meta"

// metaHead opens the file: its format, then the checksum of the rest.
const metaHead = "steppe-log 1 "

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// meta is which segments there are, and term and vote, in a small file that is
// replaced as a whole. It is raft-wal's types.MetaStore in place of the one in bbolt,
// whose pages have no checksums and whose writer crashes on damaged ones.
type meta struct {
	path string
	note func(error) error

	mu  sync.Mutex
	now content
}

// content is what the file holds.
type content struct {
	State  types.PersistentState
	Stable map[string][]byte
}

// openMeta reads the file at path, if there is one.
func openMeta(path string, note func(error) error) (*meta, error) {
	m := &meta{path: path, note: note}
	data, err := durable.ReadFile(path)
	if err != nil || data == nil {
		return m, err
	}
	if m.now, err = decode(data); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, guard.ErrDamaged)
	}
	return m, nil
}

func decode(data []byte) (content, error) {
	var c content
	head, body, ok := bytes.Cut(data, []byte("\n"))
	sum, known := strings.CutPrefix(string(head), metaHead)
	if !ok || !known || sum != sumOf(body) {
		return c, errors.New("its checksum is wrong")
	}
	return c, json.Unmarshal(body, &c)
}

func sumOf(body []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) }

// put makes c durable, then present.
func (m *meta) put(c content) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(m.path, append([]byte(metaHead+sumOf(body)+"\n"), body...), fileMode); err != nil {
		return err
	}
	m.now = c
	return nil
}

// fresh tells whether nothing was ever written.
func (m *meta) fresh() bool {
	_, err := os.Stat(m.path)
	return os.IsNotExist(err)
}

// state is what is stored of the segments; the caller may change it.
func (m *meta) state() types.PersistentState {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.now.State
	s.Segments = slices.Clone(s.Segments)
	return s
}

// Load implements types.MetaStore; the file was read before.
func (m *meta) Load(string) (types.PersistentState, error) { return m.state(), nil }

// CommitState implements types.MetaStore.
func (m *meta) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.note(m.put(content{s, m.now.Stable}))
}

// GetStable implements types.MetaStore.
func (m *meta) GetStable(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.now.Stable[string(key)]), nil
}

// SetStable implements types.MetaStore.
func (m *meta) SetStable(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stable := maps.Clone(m.now.Stable)
	if stable == nil {
		stable = map[string][]byte{}
	}
	stable[string(key)] = bytes.Clone(value)
	return m.put(content{m.now.State, stable})
}

// Close implements types.MetaStore. The file is never open, and raft-wal closes its
// meta store when only it is replaced.
func (m *meta) Close() error { return nil }
