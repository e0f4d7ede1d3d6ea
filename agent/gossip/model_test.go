//go:build !race

package gossip

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// spread is gossip's protocol as far as one failed member goes, with a few words of
// state for each of the others: ten thousand members of production would want tens
// of gigabytes. TestDetection compares it with production's members.
type spread struct {
	t       Timing
	n       int
	fanout  int // members that one gossips to at a time
	resends int // of a message
	suspect time.Duration
	dice    *rand.Rand
	members []belief
}

// belief is what one member holds of the failed one.
type belief struct {
	phase    time.Duration // in Gossip
	probes   time.Duration // when it finds that the failed one does not answer
	suspects bool
	until    time.Duration // when it takes the suspect for dead
	dead     time.Duration // since when it does; 0: not yet
	sends    int           // how often it still tells what it believes
}

func newModel(t Timing, n int, seed uint64) *spread {
	conf := memberlist.DefaultLANConfig()
	scale := math.Max(1, math.Log10(math.Max(1, float64(n))))
	return &spread{
		t: t, n: n, fanout: conf.GossipNodes, resends: conf.RetransmitMult * int(math.Ceil(math.Log10(float64(n+1)))),
		suspect: time.Duration(float64(t.Suspicion) * scale * float64(t.Probe)), dice: rand.New(rand.NewPCG(seed, 1)),
	}
}

// detect is how long after its failure another member, which looks on, knows.
func (m *spread) detect() time.Duration {
	m.members = make([]belief, m.n-1)
	for i := range m.members {
		b := &m.members[i]
		b.phase = time.Duration(m.dice.Int64N(int64(m.t.Gossip)))
		// Each goes through all members in a random order, one in a Probe.
		b.probes = time.Duration(m.dice.Int64N(int64(m.n)*int64(m.t.Probe))) + m.t.Probe
	}
	slices.SortFunc(m.members, func(a, b belief) int { return int(a.phase - b.phase) })
	watcher := &m.members[m.dice.IntN(len(m.members))]
	for round := time.Duration(0); watcher.dead == 0; round += m.t.Gossip {
		for i := range m.members {
			m.act(&m.members[i], round+m.members[i].phase)
		}
	}
	return watcher.dead
}

// act is what a member does when it gossips at a time.
func (m *spread) act(b *belief, now time.Duration) {
	if b.probes <= now {
		m.suspected(b, b.probes)
	}
	if b.suspects && b.dead == 0 && b.until <= now {
		m.died(b, b.until)
	}
	if b.sends == 0 {
		return
	}
	b.sends--
	for range m.fanout {
		to := m.dice.IntN(m.n)
		switch {
		case to == len(m.members): // the failed one
		case b.dead > 0:
			m.died(&m.members[to], now)
		default:
			m.suspected(&m.members[to], now)
		}
	}
}

func (m *spread) suspected(b *belief, at time.Duration) {
	if !b.suspects && b.dead == 0 {
		b.suspects, b.until, b.sends = true, at+m.suspect, m.resends
	}
}

func (m *spread) died(b *belief, at time.Duration) {
	if b.dead == 0 {
		b.dead, b.sends = at, m.resends
	}
}

// modelled are the times of many failures, sorted.
func modelled(n, runs int) []time.Duration {
	took := make([]time.Duration, runs)
	for i := range took {
		took[i] = newModel(lanTiming, n, uint64(i)).detect()
	}
	slices.Sort(took)
	return took
}

// TestDetectionOfTenThousand: with so many, too, a failure is known in time.
func TestDetectionOfTenThousand(t *testing.T) {
	for _, n := range []int{30, 100, 1000, 10_000} {
		took := modelled(n, 60)
		t.Logf("%d members: known after a median of %v, at worst %v", n, took[len(took)/2], took[len(took)-1])
		if worst := took[len(took)-1]; worst > detectionLimit {
			t.Errorf("%d members: a failure was known after %v", n, worst)
		}
	}
}
