package lease

import "time"

// Steady is what a server knows of how the cluster's clock went while it watched:
// that clock follows the machines' clocks, which somebody may set, and how long a
// node has been down must not be judged by a clock that was set an hour ahead. The
// zero value trusts the clock.
type Steady struct {
	// From is the cluster's time when the server began to watch.
	From time.Time
	// Jumps are where the clock went forward without as much time passing.
	Jumps []Jump
}

// JumpAtLeast is what the clock gains unnoticed: By of a jump may contain as much that
// was gained before.
const JumpAtLeast = time.Second

// Jump is one of them: to At, by By. Times between were not told, so that one less than a
// second before it is of after it, and was cut to seconds.
type Jump struct {
	At time.Time
	By time.Duration
}

// After is the cluster's time at which d has surely passed since t.
func (s Steady) After(t time.Time, d time.Duration) time.Time {
	if t.Before(s.From) {
		t = s.From
	}
	until := t.Add(d)
	for _, j := range s.Jumps {
		if !t.After(j.At.Add(max(JumpAtLeast-j.By, -time.Second))) {
			until = until.Add(j.By)
		}
	}
	return until
}
