package lease

import (
	"testing"
	"time"
)

// TestSteady: what has surely passed is neither what somebody set the clock ahead by,
// nor what nobody watched.
func TestSteady(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	watched := Steady{From: at(100), Jumps: []Jump{{at(4000), time.Hour}, {at(5000), time.Minute}}}
	for _, c := range []struct {
		steady Steady
		since  int
		want   time.Time
	}{
		{Steady{}, 50, at(60)},
		{watched, 50, at(110).Add(time.Hour + time.Minute)},
		{watched, 150, at(160).Add(time.Hour + time.Minute)},
		{watched, 400, at(410).Add(time.Hour + time.Minute)},
		{watched, 3999, at(4009).Add(time.Hour + time.Minute)}, // told before, as far as is known
		{watched, 4000, at(4010).Add(time.Minute)},
		{watched, 4940, at(4950).Add(time.Minute)},
		{Steady{From: at(100), Jumps: []Jump{{at(4000).Add(time.Second / 2), time.Hour}}}, 4000, at(4010)}, // cut to seconds
		{watched, 5000, at(5010)},
	} {
		if got := c.steady.After(at(c.since), 10*time.Second); !got.Equal(c.want) {
			t.Errorf("10 s since %d: %v, want %v", c.since, got, c.want)
		}
	}
}
