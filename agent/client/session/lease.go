package session

import (
	"sync"
	"time"

	"github.com/steppe-project/steppe/model/lease"
)

// Lease is the node's own lease, over all its sessions. Its methods may be called
// from any goroutine.
type Lease struct {
	now  func() time.Time
	keep func(from time.Time, ttl time.Duration)

	mu   sync.Mutex
	held lease.Held
}

// NewLease makes the lease that was last confirmed for a renewal sent at from, for
// ttl; zero when it never was. now is a clock that nobody sets and that goes on while
// the machine sleeps. keep, if set, is told of every new from and its ttl.
func NewLease(from time.Time, ttl time.Duration, now func() time.Time, keep func(time.Time, time.Duration)) *Lease {
	return &Lease{now: now, keep: keep, held: lease.Since(from, ttl)}
}

// State is for how long the lease has not been confirmed, and how long a confirmed
// one lasts.
func (l *Lease) State() (silent, lasts time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held.Silent(l.now()), l.held.Lasts()
}

// Over tells whether the servers may have taken the node down.
func (l *Lease) Over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held.Over(l.now())
}

func (l *Lease) begin(ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held.Begin(ttl)
}

func (l *Lease) sent(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held.Sent(seq, l.now())
}

func (l *Lease) confirmed(seq uint64, ttl time.Duration) {
	l.mu.Lock()
	later, from, lasts := l.held.Confirmed(seq, ttl), l.held.From(), l.held.TTL()
	l.mu.Unlock()
	if later && l.keep != nil {
		l.keep(from, lasts)
	}
}
