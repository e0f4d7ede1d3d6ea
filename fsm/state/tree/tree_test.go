package tree

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func compareInts(a, b *int) int { return *a - *b }

// check verifies the shape of a subtree and returns its rows and depth.
func check(t *rapid.T, n *node[int]) (rows []int, depth int) {
	if n == nil {
		return nil, 0
	}
	if n.n < 1 || n.n > maxRows {
		t.Fatalf("a node has %d rows", n.n)
	}
	for i := n.n; i < maxRows; i++ {
		if n.items[i] != nil {
			t.Fatalf("row beyond the end")
		}
	}
	for i := 0; i <= n.n; i++ {
		if n.kids != nil {
			below, d := check(t, n.kids[i])
			if i > 0 && d != depth-1 {
				t.Fatalf("leaves at different depths")
			}
			depth = d + 1
			rows = append(rows, below...)
		}
		if i < n.n {
			rows = append(rows, *n.items[i])
		}
	}
	if n.kids == nil {
		return rows, 1
	}
	for i := n.n + 1; i <= maxRows; i++ {
		if n.kids[i] != nil {
			t.Fatalf("child beyond the end")
		}
	}
	return rows, depth
}

// A tree behaves as a sorted set, and its copies never change.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tr Tree[int]
		want := map[int]bool{}
		type copied struct {
			tr   Tree[int]
			rows []int
		}
		var copies []copied
		epoch := uint64(1)
		sorted := func() []int {
			rows := make([]int, 0, len(want))
			for k := range want {
				rows = append(rows, k)
			}
			slices.Sort(rows)
			return rows
		}
		space := rapid.SampledFrom([]int{50, 500, 9000}).Draw(t, "space")
		rounds := rapid.IntRange(1, 12).Draw(t, "rounds")
		for range rounds {
			grow := rapid.Bool().Draw(t, "grow")
			start := rapid.IntRange(0, space).Draw(t, "start")
			step := rapid.SampledFrom([]int{1, 7, 31, -1}).Draw(t, "step")
			count := rapid.IntRange(0, space/2).Draw(t, "count")
			for i := range count {
				k := ((start+i*step)%space + space) % space
				switch {
				case grow:
					tr.Put(&k, compareInts, epoch)
					want[k] = true
				case want[k]:
					tr.Remove(&k, compareInts, epoch)
					delete(want, k)
				}
			}
			rows, _ := check(t, tr.root)
			if !slices.Equal(rows, sorted()) || tr.size != len(want) {
				t.Fatalf("rows differ")
			}
			copies = append(copies, copied{tr, rows})
			if rapid.Bool().Draw(t, "publish") {
				epoch++
			} else {
				copies = copies[:len(copies)-1]
			}
		}
		for _, c := range copies {
			if rows, _ := check(t, c.tr.root); !slices.Equal(rows, c.rows) {
				t.Fatalf("a copy changed")
			}
		}
		scanRows(t, tr, sorted(), space)
		rows := sorted()
		pointers := make([]*int, len(rows))
		for i := range rows {
			pointers[i] = &rows[i]
		}
		built := Of(pointers, epoch)
		if got, _ := check(t, built.root); !slices.Equal(got, rows) || built.size != len(rows) {
			t.Fatalf("a tree built of rows differs")
		}
	})
}

// scanRows compares ranges with the sorted rows.
func scanRows(t *rapid.T, tr Tree[int], rows []int, space int) {
	from := rapid.IntRange(-1, space).Draw(t, "from")
	lo := rapid.IntRange(-1, space).Draw(t, "lo")
	hi := lo + rapid.IntRange(0, space).Draw(t, "width")
	in := func(k *int) int {
		switch {
		case *k < lo:
			return -1
		case *k > hi:
			return 1
		}
		return 0
	}
	at := func(k *int) int { return *k - from }
	for _, reverse := range []bool{false, true} {
		var got, want []int
		for k := range tr.Scan(in, at, reverse) {
			got = append(got, *k)
		}
		for _, k := range rows {
			if k >= lo && k <= hi && (k >= from && !reverse || k <= from && reverse) {
				want = append(want, k)
			}
		}
		if reverse {
			slices.Reverse(want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("scan(%d..%d from %d reverse %v) = %v, want %v", lo, hi, from, reverse, got, want)
		}
	}
	for k := range space {
		got := tr.Get(func(row *int) int { return *row - k })
		if _, found := slices.BinarySearch(rows, k); found != (got != nil && *got == k) {
			t.Fatalf("get(%d) = %v", k, got)
		}
	}
}
