// Package held counts who holds things of which each is one allocation's at a time: cores
// and devices.
//
// Invariant: a list is sorted by key and never written in place.
//
// Example:
//
//	used = held.Book(used, cores, 1)
//	taken := held.Has(used, 3)
package held

import (
	"cmp"
	"slices"
)

// Use counts how many allocations hold a thing. More than one can only be while a node
// reports late; it must be counted all the same.
type Use[K cmp.Ordered] struct {
	Key K
	N   uint16
}

func find[K cmp.Ordered](used []Use[K], key K) (int, bool) {
	return slices.BinarySearchFunc(used, key, func(u Use[K], key K) int { return cmp.Compare(u.Key, key) })
}

// Has tells whether a thing is in use.
func Has[K cmp.Ordered](used []Use[K], key K) bool {
	_, ok := find(used, key)
	return ok
}

// Book returns the list with each thing counted sign more; used is kept.
func Book[K cmp.Ordered](used []Use[K], keys []K, sign int) []Use[K] {
	out := slices.Clone(used)
	for _, key := range keys {
		at, ok := find(out, key)
		switch {
		case !ok && sign > 0:
			out = slices.Insert(out, at, Use[K]{Key: key, N: 1})
		case ok && sign < 0 && out[at].N == 1:
			out = slices.Delete(out, at, at+1)
		case ok:
			out[at].N += uint16(sign)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
