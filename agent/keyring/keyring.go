// Package keyring keeps an agent's cluster keys: one that it sends with, the
// primary, and others that it understands while keys are being changed.
//
// Contract and invariants:
//
//   - A ring that was changed is kept in the data directory and wins over the
//     configuration from then on; until then nothing is kept.
//   - A change is on disk before it takes effect, and all of it takes effect or an
//     error tells that it did not.
//   - The primary is never removed, and only a key of the ring becomes primary.
//   - Keys are in no error and no log; there a key is known by its ID.
//
// A rotation installs the new key on every agent, then has every agent use it, then
// removes the old one: at no time does an agent get what it cannot understand.
//
// Example:
//
//	ring, err := keyring.Open(dataDir, configuredKey)
//	ring.OnChange(func(keys [][]byte) error { ... })
//	err = ring.Change(keyring.Install, newKey)
package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/steppe-project/steppe/model"
)

// KeyBytes is the length of a key.
const KeyBytes = 32

// MaxKeys bounds a ring: a rotation needs two keys, one that was interrupted
// some more, and every key costs an attempt at each message of a stranger.
const MaxKeys = 8

// File is where the ring is kept, in the data directory.
const File = "keyring"

// fileVersion is that of the file's format.
const fileVersion = 1

// Op is a change of a ring.
type Op string

// The changes.
const (
	Install Op = "install" // understand a key, too
	Use     Op = "use"     // send with a key of the ring
	Remove  Op = "remove"  // understand a key no more
)

// Store keeps a small file that only its owner may read. A write is on disk when
// it returns; a crash leaves the old text or the new. datadir.Dir is one.
type Store interface {
	// Read returns the file's text, "" when there is none.
	Read(name string) (string, error)
	Write(name, text string) error
}

// Ring is the keys of one agent. Safe for concurrent use.
type Ring struct {
	store  Store
	notice string

	mu    sync.Mutex
	keys  [][]byte // the first is the primary; none when nothing is encrypted
	apply func([][]byte) error
}

// kept is the file.
type kept struct {
	Version int      `json:"version"`
	Keys    [][]byte `json:"keys"`
}

// Open returns the ring that was kept, or without one a ring of the configured
// key, nil for none.
func Open(store Store, configured []byte) (*Ring, error) {
	r := &Ring{store: store, apply: func([][]byte) error { return nil }}
	text, err := store.Read(File)
	if err != nil {
		return nil, err
	}
	if text == "" {
		if configured != nil {
			r.keys = [][]byte{configured}
		}
		return r, nil
	}
	if r.keys, err = decode(text); err != nil {
		return nil, model.Errorf(model.CodeInvalid, "the file %s of the data directory is damaged: %w: restore it, or remove it, and encrypt of the configuration counts again", File, err)
	}
	switch {
	case bytes.Equal(configured, r.keys[0]):
	case configured == nil:
		r.notice = "the keys in the data directory are used, although the configuration has no encrypt: remove the file " + File + " to go by the configuration"
	default:
		r.notice = "the keys in the data directory are used, not encrypt of the configuration: they were changed while the cluster ran; set encrypt to the present key, or remove the file " + File + " to go by the configuration"
	}
	return r, nil
}

// decode reads the file. Its errors do not show what it holds.
func decode(text string) ([][]byte, error) {
	var k kept
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return nil, errors.New("it is not JSON of the expected form")
	}
	if k.Version != fileVersion {
		return nil, fmt.Errorf("its version is %d, this binary understands %d", k.Version, fileVersion)
	}
	if len(k.Keys) == 0 || len(k.Keys) > MaxKeys {
		return nil, fmt.Errorf("it has %d keys", len(k.Keys))
	}
	for _, key := range k.Keys {
		if len(key) != KeyBytes {
			return nil, fmt.Errorf("a key has %d bytes", len(key))
		}
	}
	return k.Keys, nil
}

// Notice says what the operator should know of where the keys come from; "" when
// there is nothing.
func (r *Ring) Notice() string { return r.notice }

// Keys are the keys, the primary first; none when nothing is encrypted.
func (r *Ring) Keys() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys)
}

// OnChange has apply make changes take effect.
func (r *Ring) OnChange(apply func(keys [][]byte) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apply = apply
}

// Change does op with key. Doing what is done already changes nothing.
// CodeInvalid for a key that is none or a cluster without encryption,
// CodeConflict for what the ring does not allow.
func (r *Ring) Change(op Op, key []byte) error {
	if len(key) != KeyBytes {
		return model.Errorf(model.CodeInvalid, "the key has %d bytes, %d are needed (steppe operator gossip keyring generate makes one)", len(key), KeyBytes)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) == 0 {
		return model.Errorf(model.CodeInvalid, "the agent does not encrypt: give all agents an encrypt key and restart them")
	}
	next, err := changed(r.keys, op, key)
	if err != nil || next == nil {
		return err
	}
	text, err := json.Marshal(kept{Version: fileVersion, Keys: next})
	if err != nil {
		return fmt.Errorf("encode the keyring: %w", err)
	}
	if err := r.store.Write(File, string(text)); err != nil {
		return err
	}
	r.keys = next
	return r.apply(slices.Clone(next))
}

// changed is the ring after op, nil when it is the same.
func changed(keys [][]byte, op Op, key []byte) ([][]byte, error) {
	at := slices.IndexFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
	switch op {
	case Install:
		if at < 0 && len(keys) >= MaxKeys {
			return nil, model.Errorf(model.CodeConflict, "the keyring has %d keys, its limit: remove those that are not used", MaxKeys)
		}
		if at < 0 {
			return append(slices.Clone(keys), key), nil
		}
	case Use:
		if at < 0 {
			return nil, model.Errorf(model.CodeConflict, "the key %s is not in the agent's keyring: install it first", ID(key))
		}
		if at > 0 {
			return append([][]byte{key}, slices.Delete(slices.Clone(keys), at, at+1)...), nil
		}
	case Remove:
		if at == 0 {
			return nil, model.Errorf(model.CodeConflict, "the key %s is in use: have another used first", ID(key))
		}
		if at > 0 {
			return slices.Delete(slices.Clone(keys), at, at+1), nil
		}
	default:
		return nil, model.Errorf(model.CodeInvalid, "unknown change of a keyring %q", op)
	}
	return nil, nil
}

// ID names a key in logs and errors, without giving it away.
func ID(key []byte) string {
	sum := sha256.Sum256(append([]byte("steppe key id\x00"), key...))
	return hex.EncodeToString(sum[:4])
}
