package task

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/steppe-project/steppe/model"
)

// The reasons of restarts, in the words that users of the API know.
const (
	reasonWithinPolicy  = "Restart within policy"
	reasonNoRestarts    = "Policy allows no restarts"
	reasonUnrecoverable = "Error was unrecoverable"
	reasonDelay         = "Exceeded allowed attempts, applying a delay"
)

// verdict is the restart policy's answer.
type verdict struct {
	restart bool
	after   time.Duration
	reason  string
}

// judge counts one end of the task against the policy and says what follows.
func (s *Status) judge(d Desired, now time.Time) verdict {
	p := d.Policy
	if p.Attempts == 0 && p.Mode == model.RestartModeFail {
		return verdict{reason: reasonNoRestarts}
	}
	if s.WindowCount == 0 || now.Sub(s.WindowStart) >= p.Interval || now.Before(s.WindowStart) {
		s.WindowStart, s.WindowCount = now, 0
	}
	s.WindowCount++
	if s.WindowCount <= p.Attempts {
		return verdict{restart: true, after: jittered(p.Delay, d.Seed, s.Restarts), reason: reasonWithinPolicy}
	}
	if p.Mode == model.RestartModeFail {
		return verdict{reason: fmt.Sprintf("Exceeded allowed attempts %d in interval %v and mode is %q", p.Attempts, p.Interval, p.Mode)}
	}
	after := max(s.WindowStart.Add(p.Interval).Sub(now), 0)
	s.WindowCount = 0 // the next end opens a new interval
	return verdict{restart: true, after: max(after, p.Delay), reason: reasonDelay}
}

// jittered adds up to a quarter to delay, so that tasks that failed together do
// not come back together. The same seed and attempt give the same delay.
func jittered(delay time.Duration, seed, attempt uint64) time.Duration {
	if delay <= 0 {
		return 0
	}
	h := fnv.New64a()
	var b [16]byte
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
		b[8+i] = byte(attempt >> (8 * i))
	}
	h.Write(b[:])
	// FNV's high bits are the better mixed ones for short inputs.
	share := float64(h.Sum64()>>11) / (1 << 53)
	return delay + time.Duration(share*float64(delay)/4)
}
