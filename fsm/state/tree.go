package state

// treeItems is the number of rows in a full tree node. 29 makes a leaf exactly
// 256 bytes, an allocator size class: small enough that copying one to change
// a row is cheap, large enough that an index costs a row about 12 bytes.
const treeItems = 29

// treeMin is the number of rows below which a node is merged with, or filled
// from, a neighbour after a removal.
const treeMin = treeItems / 3

// order compares two rows of an index: negative, zero or positive.
type order[T any] func(a, b *T) int

// tree is a persistent B-tree of pointers to immutable rows. Copying the struct
// is a snapshot: nodes that an earlier epoch made are never written again but
// copied on the way to a change. Only one goroutine may write.
type tree[T any] struct {
	root *treeNode[T]
	size int
}

// treeNode holds n rows in order and, unless it is a leaf, n+1 children.
type treeNode[T any] struct {
	epoch uint64 // of the transaction that made it and may still write it
	kids  *[treeItems + 1]*treeNode[T]
	n     int
	items [treeItems]*T
}

// own returns n if this epoch made it, else a copy that this epoch may write.
func (n *treeNode[T]) own(epoch uint64) *treeNode[T] {
	if n.epoch == epoch {
		return n
	}
	c := &treeNode[T]{epoch: epoch, n: n.n, items: n.items}
	if n.kids != nil {
		kids := *n.kids
		c.kids = &kids
	}
	return c
}

// search finds the first position whose row is not below the sought one; at
// compares a row with it.
func (n *treeNode[T]) search(at func(row *T) int) (int, bool) {
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
func (n *treeNode[T]) find(row *T, cmp order[T]) (int, bool) {
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

// get returns the row for which at is zero, or nil.
func (t *tree[T]) get(at func(row *T) int) *T {
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

// row returns the row equal to the given one, or nil.
func (t *tree[T]) row(like *T, cmp order[T]) *T {
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

// put inserts row, or replaces the row equal to it.
func (t *tree[T]) put(row *T, cmp order[T], epoch uint64) {
	if t.root == nil {
		t.root = &treeNode[T]{epoch: epoch, n: 1}
		t.root.items[0] = row
		t.size = 1
		return
	}
	root, median, right, added := t.root.put(row, cmp, epoch)
	if right != nil {
		top := &treeNode[T]{epoch: epoch, n: 1, kids: new([treeItems + 1]*treeNode[T])}
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
func (n *treeNode[T]) put(row *T, cmp order[T], epoch uint64) (left *treeNode[T], median *T, right *treeNode[T], added bool) {
	n = n.own(epoch)
	i, found := n.find(row, cmp)
	if found {
		n.items[i] = row
		return n, nil, nil, false
	}
	var kid *treeNode[T]
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
	if n.n < treeItems {
		n.insert(i, row, kid)
		return n, nil, nil, added
	}
	median, right = n.split(i, row, kid, epoch)
	return n, median, right, added
}

// insert puts a row at i, and the child right of it, into a node with room.
func (n *treeNode[T]) insert(i int, row *T, kid *treeNode[T]) {
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
func (n *treeNode[T]) split(i int, row *T, kid *treeNode[T], epoch uint64) (*T, *treeNode[T]) {
	at := treeItems / 2
	if i == treeItems {
		at = treeItems - 1
	}
	right := &treeNode[T]{epoch: epoch, n: treeItems - at - 1}
	median := n.items[at]
	copy(right.items[:], n.items[at+1:])
	clear(n.items[at:])
	if n.kids != nil {
		right.kids = new([treeItems + 1]*treeNode[T])
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

// remove takes the row equal to row out. It must be there.
func (t *tree[T]) remove(row *T, cmp order[T], epoch uint64) {
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

func (n *treeNode[T]) remove(row *T, cmp order[T], epoch uint64) *treeNode[T] {
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
func (n *treeNode[T]) removeLast(epoch uint64) (*treeNode[T], *T) {
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
func (n *treeNode[T]) cut(i int) {
	copy(n.items[i:], n.items[i+1:n.n])
	n.n--
	n.items[n.n] = nil
}

// refill restores the minimum of child i after it lost a row: by joining it to
// a neighbour, or by moving rows over when the two do not fit in one node.
func (n *treeNode[T]) refill(i int, epoch uint64) {
	if n.kids[i].n >= treeMin {
		return
	}
	if i == n.n {
		i-- // the last child has only a left neighbour
	}
	left, right := n.kids[i].own(epoch), n.kids[i+1].own(epoch)
	n.kids[i], n.kids[i+1] = left, right
	if left.n+right.n < treeItems {
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
func (n *treeNode[T]) join(between *T, right *treeNode[T]) {
	n.items[n.n] = between
	copy(n.items[n.n+1:], right.items[:right.n])
	if n.kids != nil {
		copy(n.kids[n.n+1:], right.kids[:right.n+1])
	}
	n.n += 1 + right.n
}

// level shares the rows of two neighbours evenly and returns the new row
// between them.
func (n *treeNode[T]) level(between *T, right *treeNode[T]) *T {
	total := n.n + right.n
	want := total / 2 // rows that stay on the left
	var rows [2*treeItems + 1]*T
	var kids [2*treeItems + 2]*treeNode[T]
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
func (n *treeNode[T]) bound(beyond func(row *T) bool) int {
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
func (n *treeNode[T]) ascend(within func(row *T) bool, yield func(*T) bool) bool {
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
func (n *treeNode[T]) descend(beyond func(row *T) bool, yield func(*T) bool) bool {
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

// treeOf returns a tree of rows that are in order, built bottom up: much faster
// than one put for each.
func treeOf[T any](rows []*T, epoch uint64) tree[T] {
	if len(rows) == 0 {
		return tree[T]{}
	}
	height := 1
	for full := treeItems; full < len(rows); height++ {
		full = full*(treeItems+1) + treeItems
	}
	return tree[T]{root: nodeOf(rows, height, epoch), size: len(rows)}
}

// nodeOf builds a subtree of that height, its children of equal size.
func nodeOf[T any](rows []*T, height int, epoch uint64) *treeNode[T] {
	n := &treeNode[T]{epoch: epoch}
	if height == 1 {
		n.n = copy(n.items[:], rows)
		return n
	}
	below := treeItems // rows that a full child holds
	for range height - 2 {
		below = below*(treeItems+1) + treeItems
	}
	kids := (len(rows) + 1 + below) / (below + 1)
	n.kids = new([treeItems + 1]*treeNode[T])
	n.n = kids - 1
	for i := range kids {
		left := kids - i
		size := (len(rows) - (left - 1)) / left
		n.kids[i] = nodeOf(rows[:size], height-1, epoch)
		rows = rows[size:]
		if left > 1 {
			n.items[i] = rows[0]
			rows = rows[1:]
		}
	}
	return n
}
