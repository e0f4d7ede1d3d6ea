package watch

import "github.com/steppe-project/steppe/fsm/state"

// Hashes are those that the log gives, at some of its indexes: each walks the whole state.
type Hashes struct {
	every  uint64
	at     map[uint64][32]byte
	hasher state.Hasher
}

// NewHashes notes every so manieth index. A tenth of all seeds compares at every one.
func NewHashes(seed uint64) *Hashes {
	h := &Hashes{every: 10, at: make(map[uint64][32]byte)}
	if seed%10 == 0 {
		h.every = 1
	}
	return h
}

// Note notes the hash of the state that the log gives.
func (h *Hashes) Note(snap *state.Snapshot) {
	if snap.Index()%h.every == 0 {
		h.at[snap.Index()] = h.hasher.Hash(snap)
	}
}

// Differ tells whether a server's state, which its hasher has seen before, is another
// one than the log gives at that index.
func (h *Hashes) Differ(applied uint64, hasher *state.Hasher, snap *state.Snapshot) bool {
	want, ok := h.at[applied]
	return ok && hasher.Hash(snap) != want
}

// Equal tells whether a server's state is the one that the log gives.
func (h *Hashes) Equal(truth *state.Snapshot, hasher *state.Hasher, snap *state.Snapshot) bool {
	return h.hasher.Hash(truth) == hasher.Hash(snap)
}
