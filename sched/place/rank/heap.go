package rank

// Candidate is a row that an instance fits.
type Candidate struct {
	Score float64
	Tie   uint64
	Row   int32
}

// Before tells whether a Candidate comes before another.
func (a Candidate) Before(b Candidate) bool {
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	return a.Tie < b.Tie
}

// heap holds candidates, the best of them first.
type heap struct {
	list []Candidate
	pos  []int32 // row → place in the list of its heap; -1 = in none. Heaps share it
}

// order makes a heap of a list of rows.
func (h *heap) order() {
	for at := len(h.list)/2 - 1; at >= 0; at-- {
		h.down(int32(at))
	}
	for at, c := range h.list {
		h.pos[c.Row] = int32(at)
	}
}

// replace puts another Candidate in the place of one.
func (h *heap) replace(at int32, c Candidate) {
	h.list[at] = c
	h.pos[c.Row] = at
	h.settle(at)
}

func (h *heap) push(c Candidate) {
	h.list = append(h.list, c)
	at := int32(len(h.list) - 1)
	h.pos[c.Row] = at
	h.up(at)
}

func (h *heap) drop(at int32) {
	last := int32(len(h.list) - 1)
	h.pos[h.list[at].Row] = -1
	if at != last {
		h.list[at] = h.list[last]
		h.pos[h.list[at].Row] = at
	}
	h.list = h.list[:last]
	if at != last {
		h.settle(at)
	}
}

func (h *heap) settle(at int32) {
	if !h.up(at) {
		h.down(at)
	}
}

func (h *heap) up(at int32) bool {
	moved := false
	for at > 0 {
		parent := (at - 1) / 2
		if !h.list[at].Before(h.list[parent]) {
			break
		}
		h.swap(at, parent)
		at, moved = parent, true
	}
	return moved
}

func (h *heap) down(at int32) {
	for {
		child := 2*at + 1
		if int(child) >= len(h.list) {
			return
		}
		if right := child + 1; int(right) < len(h.list) && h.list[right].Before(h.list[child]) {
			child = right
		}
		if !h.list[child].Before(h.list[at]) {
			return
		}
		h.swap(at, child)
		at = child
	}
}

func (h *heap) swap(a, b int32) {
	h.list[a], h.list[b] = h.list[b], h.list[a]
	h.pos[h.list[a].Row], h.pos[h.list[b].Row] = a, b
}
