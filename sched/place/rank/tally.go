package rank

// Block is a compiled spread block.
type Block struct {
	Weight float64            // over the weights of all blocks
	Shares map[string]float64 // percent by value; empty: all values alike
	Rest   float64            // percent that the values share which have none of their own
}

// tally counts the instances of a group by the values of one spread block, and
// rates each value, -1 to 1, for one more instance:
//
//	even, no targets:  1          the fewest instances of all values that have room
//	                   -e/(e+1)   e instances more than those
//	with targets:      3/4 .. 1   at least one instance is missing of the value's share
//	                   0 .. 1/4   a fraction of an instance is missing
//	                   -e/(e+1)   e more than its share, with this one
//	no such attribute: -1
//
// Between these steps there is at least 1/2, so that instances which a value is
// owed are placed before fractions, and both before what is too many: whatever
// the order, every value comes to have its share, rounded up or down, and values
// that are spread evenly differ by at most one, as far as there is room.
type tally struct {
	*Block
	ids     map[string]int32
	values  []spreadValue
	ratings []float64 // by value
	count   float64   // instances desired
	named   int       // values that have a share of their own
	least   int32     // instances of the value with room that has the fewest
	atLeast int       // how many values those are
	stale   bool      // the ratings are to be made anew
}

// spreadValue is one value of the attribute.
type spreadValue struct {
	share     float64 // percent; -1 for one that no target names
	want      float64 // instances
	instances int32
	open      int     // lanes with candidates
	lanes     []int32 // all lanes
}

func newTally(s *Block, count float64) *tally {
	return &tally{Block: s, ids: make(map[string]int32), count: count}
}

// of is the number of a value.
func (t *tally) of(text string) int32 {
	id, known := t.ids[text]
	if !known {
		id = int32(len(t.values))
		t.ids[text] = id
		share, named := t.Shares[text]
		if !named {
			share = -1
		} else {
			t.named++
		}
		t.values, t.ratings = append(t.values, spreadValue{share: share}), append(t.ratings, 0)
		t.stale = true // others may share with it
	}
	return id
}

func (t *tally) even() bool { return len(t.Shares) == 0 }

// clear forgets the instances and the candidates.
func (t *tally) clear() {
	for i := range t.values {
		t.values[i].instances, t.values[i].open = 0, 0
	}
	t.stale = true
}

// open notes that a lane of a value has candidates now, or has no more. Where
// values are spread evenly, only those with room are compared.
func (t *tally) open(id int32, by int) {
	if id < 0 {
		return
	}
	v := &t.values[id]
	if v.open += by; v.open != max(0, by) || !t.even() || t.stale {
		return
	}
	if v.instances == t.least {
		t.atLeast += by
	}
	t.stale = t.atLeast == 0 || v.open > 0 && v.instances < t.least
}

// add counts instances of a value, and rates it.
func (t *tally) add(id int32, n int32) {
	v := &t.values[id]
	was := v.instances
	v.instances += n
	if t.even() && v.open > 0 && !t.stale {
		if was == t.least {
			t.atLeast--
		}
		if v.instances == t.least {
			t.atLeast++
		}
		t.stale = t.atLeast == 0 || v.instances < t.least
	}
	if !t.stale {
		t.ratings[id] = t.rate(v)
	}
}

// refresh rates all values.
func (t *tally) refresh() {
	t.stale = false
	t.least, t.atLeast = -1, 0
	for i := range t.values {
		v := &t.values[i]
		switch {
		case v.open == 0:
		case t.least < 0 || v.instances < t.least:
			t.least, t.atLeast = v.instances, 1
		case v.instances == t.least:
			t.atLeast++
		}
	}
	for i := range t.values {
		v := &t.values[i]
		if v.want = v.share * t.count / 100; v.share < 0 {
			v.want = t.Rest * t.count / (100 * float64(len(t.values)-t.named))
		}
		t.ratings[i] = t.rate(v)
	}
}

func (t *tally) rate(v *spreadValue) float64 {
	if t.even() {
		if v.instances <= t.least {
			return 1
		}
		return tooMany(float64(v.instances - t.least))
	}
	switch missing := v.want - float64(v.instances); {
	case missing >= 1:
		return 0.75 + 0.25*missing/v.want
	case missing > 0:
		return 0.25 * missing
	default:
		return tooMany(1 - missing)
	}
}

func tooMany(n float64) float64 { return -n / (n + 1) }
