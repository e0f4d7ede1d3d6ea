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

// Jump is one of them: from before At on, by By.
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
		if j.At.After(t) {
			until = until.Add(j.By)
		}
	}
	return until
}
