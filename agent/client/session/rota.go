package session

import (
	"slices"
	"time"
)

// Rota says which server to try next, and when. All servers are tried in turn, those
// first that gossip thinks alive and that were not left lately; then there is a pause
// that grows from round to round. Pure: the simulator goes by it, too.
type Rota struct {
	left  map[string]time.Time // when a session with a server ended, or none began
	tried map[string]bool      // in this round
	pause time.Duration
}

// Next is the server to try, "" for none. alive are those that gossip thinks alive,
// all those ever heard of; pick chooses one of n by chance.
func (r *Rota) Next(now time.Time, alive, all []string, pick func(n int) int) string {
	for _, some := range [][]string{alive, all} {
		if addr := r.choose(now, some, pick); addr != "" {
			return addr
		}
	}
	if len(r.tried) == 0 {
		return ""
	}
	r.tried = nil // servers have gone from the lists meanwhile
	return r.Next(now, alive, all, pick)
}

// choose picks one that was not tried in this round: of those that were not left
// lately, or the one that was left first.
func (r *Rota) choose(now time.Time, some []string, pick func(n int) int) string {
	fresh := slices.DeleteFunc(slices.Clone(some), func(addr string) bool { return r.tried[addr] })
	if len(fresh) == 0 {
		return ""
	}
	better := slices.DeleteFunc(slices.Clone(fresh), func(addr string) bool { return now.Sub(r.left[addr]) < distrust })
	if len(better) > 0 {
		return better[pick(len(better))]
	}
	return slices.MinFunc(fresh, func(a, b string) int { return r.left[a].Compare(r.left[b]) })
}

// Ended notes the end of a session, or of an attempt; stood tells whether the node
// was registered. It returns how long to wait before the next one, without jitter.
func (r *Rota) Ended(now time.Time, addr string, stood bool, all []string) time.Duration {
	if r.left == nil {
		r.left = map[string]time.Time{}
	}
	r.left[addr] = now
	if stood {
		r.pause, r.tried = 0, nil
	}
	if r.tried == nil {
		r.tried = map[string]bool{}
	}
	r.tried[addr] = true
	if slices.ContainsFunc(all, func(addr string) bool { return !r.tried[addr] }) {
		return PauseMin
	}
	r.tried = nil
	r.pause = min(max(2*r.pause, PauseMin), PauseMax)
	return r.pause
}
