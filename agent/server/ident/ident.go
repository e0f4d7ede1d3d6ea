// Package ident makes ids without dice: an id is the hash of what it is for, in
// the form of a version 4 UUID, so that a component that decides again after a
// failed proposal decides on the same id, and the simulator replays exactly.
//
// Example:
//
//	ident.From("follow-up", eval.ID, "3") // "6f1c...-....-4...-....-............"
package ident

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// From returns the id of what the parts name; equal parts give equal ids.
func From(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return format([16]byte(h.Sum(nil)))
}

// New returns a random id, for request handlers, which run once.
func New() string {
	var b [16]byte
	// crypto/rand.Read never fails: it ends the process when the system has no randomness.
	_, _ = rand.Read(b[:])
	return format(b)
}

// format writes b as a version 4 UUID.
func format(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[:], b[:4])
	out[8] = '-'
	hex.Encode(out[9:], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:], b[10:])
	return string(out[:])
}
