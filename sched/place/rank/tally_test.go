package rank

import (
	"fmt"
	"math"
	"testing"
)

// TestRatings: what one more instance of a value is worth, by how many each has.
func TestRatings(t *testing.T) {
	shares := func(dc1, dc2 float64) *Block {
		return &Block{Shares: map[string]float64{"dc1": dc1, "dc2": dc2}, Rest: 100 - dc1 - dc2}
	}
	for _, c := range []struct {
		name   string
		block  *Block
		count  float64
		counts []int32 // of dc1, dc2, dc3, dc4
		full   int     // so many of the first have no room
		want   []float64
	}{
		{"even, empty", &Block{}, 8, []int32{0, 0, 0, 0}, 0, []float64{1, 1, 1, 1}},
		{"even", &Block{}, 8, []int32{1, 2, 3, 1}, 0, []float64{1, -1. / 2, -2. / 3, 1}},
		{"even, the least is full", &Block{}, 8, []int32{0, 2, 3, 2}, 1, []float64{1, 1, -1. / 2, 1}},
		{"missing", shares(50, 25), 8, []int32{0, 1, 0, 0}, 0, []float64{1, 0.875, 1, 1}},
		{"there", shares(50, 25), 8, []int32{4, 2, 1, 1}, 0, []float64{-1. / 2, -1. / 2, -1. / 2, -1. / 2}},
		{"too many", shares(50, 50), 8, []int32{3, 5, 0, 1}, 0, []float64{0.75 + 0.25/4, -2. / 3, -1. / 2, -2. / 3}},
		{"a fraction is missing", shares(50, 30), 5, []int32{2, 1, 0, 0}, 0, []float64{0.125, 0.125, 0.125, 0.125}},
		{"a fraction, among whole ones", shares(40, 30), 10, []int32{0, 2, 1, 1}, 0, []float64{1, 0.75 + 0.25/3, 0.125, 0.125}},
		{"nothing is wanted", shares(0, 0), 4, []int32{0, 0, 1, 3}, 0, []float64{-1. / 2, -1. / 2, 0.75 + 0.25/2, -2. / 3}},
	} {
		y := newTally(c.block, c.count)
		for i, n := range c.counts {
			id := y.of(fmt.Sprint("dc", i+1))
			y.add(id, n)
			if i >= c.full {
				y.open(id, 1)
			}
		}
		y.refresh()
		for i, want := range c.want {
			if got := y.ratings[i]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: dc%d is rated %g, want %g", c.name, i+1, got, want)
			}
		}
	}
}

// TestMean: each component has its part, and a failure outweighs what is preferred.
func TestMean(t *testing.T) {
	const affinity, spread, both = Mean(1), Mean(SpreadFactor), Mean(1 + SpreadFactor)
	for _, c := range []struct {
		mean                       Mean
		own, spread, penalty, want float64
	}{
		{affinity, 1.5, 0, 0, 0.5},
		{affinity, 1.5, 0, -1, -0.5 / 3},
		{spread, 0.5, 1, 0, 0.85},
		{spread, 0.5, -1, 0, -0.75},
		{both, 1.4, 0.5, 0, 5.4 / 11},
		{both, 1.4, 0.5, -1, -12.6 / 11},
	} {
		if got := c.mean.Of(c.own, c.spread, c.penalty); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: %g", c, got)
		}
	}
}
