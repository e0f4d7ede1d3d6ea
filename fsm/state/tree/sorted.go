package tree

import (
	"cmp"
	"maps"
	"slices"
)

// Group is what rows that are neighbours in an index have in common; groups are
// ordered by its fields, first to last.
type Group struct {
	A, B   string
	Number uint64
}

// Sorted returns rows that are in the order of their key by group, without comparing
// rows.
func Sorted[T any](rows []*T, of func(*T) Group) []*T {
	numbers := make(map[Group]int32)
	var counts []int
	member := make([]int32, len(rows))
	for i, row := range rows {
		g := of(row)
		n, ok := numbers[g]
		if !ok {
			n = int32(len(counts))
			numbers[g] = n
			counts = append(counts, 0)
		}
		counts[n]++
		member[i] = n
	}
	order := slices.SortedFunc(maps.Keys(numbers), func(g, h Group) int {
		return cmp.Or(cmp.Compare(g.A, h.A), cmp.Compare(g.B, h.B), cmp.Compare(g.Number, h.Number))
	})
	next := make([]int, len(counts))
	at := 0
	for _, g := range order {
		n := numbers[g]
		next[n] = at
		at += counts[n]
	}
	out := make([]*T, len(rows))
	for i, row := range rows {
		n := member[i]
		out[next[n]] = row
		next[n]++
	}
	return out
}
