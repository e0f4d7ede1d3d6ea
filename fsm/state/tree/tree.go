// Package tree is the index of the state store: a persistent B-tree of pointers
// to immutable rows.
//
// Contract. Copying a Tree is taking a snapshot of it: it costs nothing and never
// changes. One goroutine at a time may write; it names an epoch, which must grow
// between a copy and the next write to either. Rows are compared by an Order,
// the same one in every call on a tree.
//
// Example:
//
//	var t tree.Tree[Row]
//	t.Put(&Row{Name: "a"}, byName, epoch)
//	snapshot := t
//	epoch++
//	t.Remove(&Row{Name: "a"}, byName, epoch) // snapshot still has it
package tree

import "iter"

// maxRows is the number of rows in a full tree node. 29 makes a leaf exactly
// 256 bytes, an allocator size class: small enough that copying one to change
// a row is cheap, large enough that an index costs a row about 12 bytes.
const maxRows = 29

// minRows is the number of rows below which a node is merged with, or filled
// from, a neighbour after a removal.
const minRows = maxRows / 3

// Order compares two rows of an index: negative, zero or positive.
type Order[T any] func(a, b *T) int

// Tree is a persistent B-tree of pointers to immutable rows. Copying the struct
// is a snapshot: nodes that an earlier epoch made are never written again but
// copied on the way to a change. Only one goroutine may write.
type Tree[T any] struct {
	root *node[T]
	size int
}

// node holds n rows in order and, unless it is a leaf, n+1 children.
type node[T any] struct {
	epoch uint64 // of the transaction that made it and may still write it
	kids  *[maxRows + 1]*node[T]
	n     int
	items [maxRows]*T
}

// own returns n if this epoch made it, else a copy that this epoch may write.
func (n *node[T]) own(epoch uint64) *node[T] {
	if n.epoch == epoch {
		return n
	}
	c := &node[T]{epoch: epoch, n: n.n, items: n.items}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
	}
	return c
}

// search finds the first position whose row is not below the sought one; at
// compares a row with it.
func (n *node[T]) search(at func(row *T) int) (int, bool) {
	lo, hi := 0, n.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := at(n.items[mid]); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// find is search for a whole row.
func (n *node[T]) find(row *T, cmp Order[T]) (int, bool) {
	lo, hi := 0, n.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := cmp(n.items[mid], row); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// Get returns the row for which at is zero, or nil.
func (t *Tree[T]) Get(at func(row *T) int) *T {
	for n := t.root; n != nil; {
		i, ok := n.search(at)
		if ok {
			return n.items[i]
		}
		if n.kids == nil {
			return nil
		}
		n = n.kids[i]
	}
	return nil
}

// Row returns the row equal to the given one, or nil.
func (t *Tree[T]) Row(like *T, cmp Order[T]) *T {
	for n := t.root; n != nil; {
		i, ok := n.find(like, cmp)
		if ok {
			return n.items[i]
		}
		if n.kids == nil {
			return nil
		}
		n = n.kids[i]
	}
	return nil
}

// Put inserts row, or replaces the row equal to it.
func (t *Tree[T]) Put(row *T, cmp Order[T], epoch uint64) {
	if t.root == nil {
		t.root = &node[T]{epoch: epoch, n: 1}
		t.root.items[0] = row
		t.size = 1
		return
	}
	root, median, right, added := t.root.put(row, cmp, epoch)
	if right != nil {
		top := &node[T]{epoch: epoch, n: 1, kids: new([maxRows + 1]*node[T])}
		top.items[0] = median
		top.kids[0], top.kids[1] = root, right
		root = top
	}
	t.root = root
	if added {
		t.size++
	}
}

// put returns the node that takes n's place and, when it had to be split, the
// row between it and the new node to its right.
func (n *node[T]) put(row *T, cmp Order[T], epoch uint64) (left *node[T], median *T, right *node[T], added bool) {
	n = n.own(epoch)
	i, found := n.find(row, cmp)
	if found {
		n.items[i] = row
		return n, nil, nil, false
	}
	var kid *node[T]
	if n.kids != nil {
		var up *T
		n.kids[i], up, kid, added = n.kids[i].put(row, cmp, epoch)
		if kid == nil {
			return n, nil, nil, added
		}
		row = up
	} else {
		added = true
	}
	if n.n < maxRows {
		n.insert(i, row, kid)
		return n, nil, nil, added
	}
	median, right = n.split(i, row, kid, epoch)
	return n, median, right, added
}

// insert puts a row at i, and the child right of it, into a node with room.
func (n *node[T]) insert(i int, row *T, kid *node[T]) {
	copy(n.items[i+1:n.n+1], n.items[i:n.n])
	n.items[i] = row
	if n.kids != nil {
		copy(n.kids[i+2:n.n+2], n.kids[i+1:n.n+1])
		n.kids[i+1] = kid
	}
	n.n++
}

// split makes room in a full node for a row at i. Rows that arrive in ascending
// order fill nodes entirely: a row at the end moves on alone.
func (n *node[T]) split(i int, row *T, kid *node[T], epoch uint64) (*T, *node[T]) {
	at := maxRows / 2
	if i == maxRows {
		at = maxRows - 1
	}
	right := &node[T]{epoch: epoch, n: maxRows - at - 1}
	median := n.items[at]
	copy(right.items[:], n.items[at+1:])
	clear(n.items[at:])
	if n.kids != nil {
		right.kids = new([maxRows + 1]*node[T])
		copy(right.kids[:], n.kids[at+1:])
		clear(n.kids[at+1:])
	}
	n.n = at
	if i <= at {
		n.insert(i, row, kid)
	} else {
		right.insert(i-at-1, row, kid)
	}
	return median, right
}

// Remove takes the row equal to row out. It must be there.
func (t *Tree[T]) Remove(row *T, cmp Order[T], epoch uint64) {
	root := t.root.remove(row, cmp, epoch)
	if root.n == 0 {
		if root.kids != nil {
			root = root.kids[0]
		} else {
			root = nil
		}
	}
	t.root = root
	t.size--
}

func (n *node[T]) remove(row *T, cmp Order[T], epoch uint64) *node[T] {
	n = n.own(epoch)
	i, found := n.find(row, cmp)
	switch {
	case n.kids == nil:
		n.cut(i)
	case found:
		n.kids[i], n.items[i] = n.kids[i].removeLast(epoch)
		n.refill(i, epoch)
	default:
		n.kids[i] = n.kids[i].remove(row, cmp, epoch)
		n.refill(i, epoch)
	}
	return n
}

// removeLast takes the greatest row of the subtree out and returns it.
func (n *node[T]) removeLast(epoch uint64) (*node[T], *T) {
	n = n.own(epoch)
	if n.kids == nil {
		last := n.items[n.n-1]
		n.cut(n.n - 1)
		return n, last
	}
	i := n.n
	var last *T
	n.kids[i], last = n.kids[i].removeLast(epoch)
	n.refill(i, epoch)
	return n, last
}

// cut drops row i of a leaf.
func (n *node[T]) cut(i int) {
	copy(n.items[i:], n.items[i+1:n.n])
	n.n--
	n.items[n.n] = nil
}

// refill restores the minimum of child i after it lost a row: by joining it to
// a neighbour, or by moving rows over when the two do not fit in one node.
func (n *node[T]) refill(i int, epoch uint64) {
	if n.kids[i].n >= minRows {
		return
	}
	if i == n.n {
		i-- // the last child has only a left neighbour
	}
	left, right := n.kids[i].own(epoch), n.kids[i+1].own(epoch)
	n.kids[i], n.kids[i+1] = left, right
	if left.n+right.n < maxRows {
		left.join(n.items[i], right)
		copy(n.items[i:], n.items[i+1:n.n])
		copy(n.kids[i+1:], n.kids[i+2:n.n+1])
		n.n--
		n.items[n.n] = nil
		n.kids[n.n+1] = nil
		return
	}
	n.items[i] = left.level(n.items[i], right)
}

// join appends the row between and all of right.
func (n *node[T]) join(between *T, right *node[T]) {
	n.items[n.n] = between
	copy(n.items[n.n+1:], right.items[:right.n])
	if n.kids != nil {
		copy(n.kids[n.n+1:], right.kids[:right.n+1])
	}
	n.n += 1 + right.n
}

// level shares the rows of two neighbours evenly and returns the new row
// between them.
func (n *node[T]) level(between *T, right *node[T]) *T {
	total := n.n + right.n
	want := total / 2 // rows that stay on the left
	var rows [2*maxRows + 1]*T
	var kids [2*maxRows + 2]*node[T]
	copy(rows[:], n.items[:n.n])
	rows[n.n] = between
	copy(rows[n.n+1:], right.items[:right.n])
	if n.kids != nil {
		copy(kids[:], n.kids[:n.n+1])
		copy(kids[n.n+1:], right.kids[:right.n+1])
	}
	clear(n.items[:])
	clear(right.items[:])
	copy(n.items[:], rows[:want])
	copy(right.items[:], rows[want+1:total+1])
	if n.kids != nil {
		clear(n.kids[:])
		clear(right.kids[:])
		copy(n.kids[:], kids[:want+1])
		copy(right.kids[:], kids[want+1:total+2])
	}
	n.n, right.n = want, total-want
	return rows[want]
}

// bound finds the first position whose row is at or beyond a bound; beyond
// tells so and is monotonous in the order of the rows.
func (n *node[T]) bound(beyond func(row *T) bool) int {
	lo, hi := 0, n.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if beyond(n.items[mid]) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// ascend yields the rows from the first one that is within (nil: from the
// start) upwards. It tells whether yield wanted all of them.
func (n *node[T]) ascend(within func(row *T) bool, yield func(*T) bool) bool {
	if n == nil {
		return true
	}
	i := 0
	if within != nil {
		i = n.bound(within)
	}
	for ; i <= n.n; i++ {
		if n.kids != nil && !n.kids[i].ascend(within, yield) {
			return false
		}
		within = nil // everything further right is
		if i < n.n && !yield(n.items[i]) {
			return false
		}
	}
	return true
}

// descend yields the rows from the last one that is not beyond (nil: from the
// end) downwards.
func (n *node[T]) descend(beyond func(row *T) bool, yield func(*T) bool) bool {
	if n == nil {
		return true
	}
	i := n.n
	if beyond != nil {
		i = n.bound(beyond)
	}
	for {
		if n.kids != nil && !n.kids[i].descend(beyond, yield) {
			return false
		}
		beyond = nil // nothing further left is
		i--
		if i < 0 {
			return true
		}
		if !yield(n.items[i]) {
			return false
		}
	}
}

// Of returns a tree of rows that are in order, built bottom up: much faster
// than one put for each.
func Of[T any](rows []*T, epoch uint64) Tree[T] {
	if len(rows) == 0 {
		return Tree[T]{}
	}
	height := 1
	for full := maxRows; full < len(rows); height++ {
		full = full*(maxRows+1) + maxRows
	}
	return Tree[T]{root: build(rows, height, epoch), size: len(rows)}
}

// build builds a subtree of that height, its children of equal size.
func build[T any](rows []*T, height int, epoch uint64) *node[T] {
	n := &node[T]{epoch: epoch}
	if height == 1 {
		n.n = copy(n.items[:], rows)
		return n
	}
	below := maxRows // rows that a full child holds
	for range height - 2 {
		below = below*(maxRows+1) + maxRows
	}
	kids := (len(rows) + 1 + below) / (below + 1)
	n.kids = new([maxRows + 1]*node[T])
	n.n = kids - 1
	for i := range kids {
		left := kids - i
		size := (len(rows) - (left - 1)) / left
		n.kids[i] = build(rows[:size], height-1, epoch)
		rows = rows[size:]
		if left > 1 {
			n.items[i] = rows[0]
			rows = rows[1:]
		}
	}
	return n
}

// Size is the number of rows.
func (t *Tree[T]) Size() int { return t.size }

// All yields every row in order.
func (t *Tree[T]) All() iter.Seq[*T] {
	root := t.root
	return func(yield func(*T) bool) { root.ascend(nil, yield) }
}

// Scan yields the rows for which in (nil: every row) is zero, from the position
// of from (nil: from the end of the range), in either direction. in and from
// say whether a row is before (negative), at or beyond it, and must agree with
// the tree's order.
func (t *Tree[T]) Scan(in, from func(*T) int, reverse bool) iter.Seq[*T] {
	root := t.root
	return func(yield func(*T) bool) {
		inside := func(row *T) bool { return (in == nil || in(row) == 0) && yield(row) }
		if reverse {
			root.descend(func(row *T) bool {
				return in != nil && in(row) > 0 || from != nil && from(row) > 0
			}, inside)
			return
		}
		root.ascend(func(row *T) bool {
			return (in == nil || in(row) >= 0) && (from == nil || from(row) >= 0)
		}, inside)
	}
}
