package agent

import "testing"

// TestConnsOf: 0 in the configuration is no limit, not the default.
func TestConnsOf(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		limit *int
		want  int
	}{{nil, 0}, {n(0), -1}, {n(-3), -1}, {n(100), 100}} {
		if got := connsOf(c.limit); got != c.want {
			t.Errorf("%v: %d, want %d", c.limit, got, c.want)
		}
	}
}
