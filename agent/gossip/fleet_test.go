//go:build !race

// Virtual time and the race detector do not go together here: the runtime gives all
// timers of a bubble one clock of the detector's, which ends after some thousand
// events ("ThreadSanitizer: CHECK failed", golang/go issue 78156). What these
// members do concurrently the other tests of this package do in real time.

package gossip

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// air is a network in memory between the members of a fleet: datagrams get lost,
// machines are cut off.
type air struct {
	loss   atomic.Int64 // percent of the datagrams
	mu     sync.RWMutex
	places map[string]*place
}

// place is one machine's transport. It implements memberlist.NodeAwareTransport.
type place struct {
	air     *air
	addr    net.TCPAddr
	cut     atomic.Bool
	packets chan *memberlist.Packet
	streams chan net.Conn
	over    chan struct{}
	once    sync.Once
}

// queueLen is what a place holds of datagrams before it loses some, as a socket.
const queueLen = 1024

func (a *air) place(i int) *place {
	p := &place{
		air: a, addr: net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Port: 4648},
		packets: make(chan *memberlist.Packet, queueLen), streams: make(chan net.Conn), over: make(chan struct{}),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.places[p.addr.String()] = p
	return p
}

// to finds the machine at addr, nil when nothing gets there from p.
func (p *place) to(addr string) *place {
	p.air.mu.RLock()
	defer p.air.mu.RUnlock()
	other := p.air.places[addr]
	if other == nil || p.cut.Load() || other.cut.Load() {
		return nil
	}
	return other
}

func (p *place) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return p.addr.IP, p.addr.Port, nil
}

func (p *place) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	other := p.to(addr)
	if other == nil || rand.Int64N(100) < p.air.loss.Load() {
		return now, nil // nobody tells
	}
	select {
	case other.packets <- &memberlist.Packet{Buf: slices.Clone(b), From: &p.addr, Timestamp: now}:
	default:
	}
	return now, nil
}

func (p *place) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return p.WriteTo(b, a.Addr)
}

func (p *place) PacketCh() <-chan *memberlist.Packet { return p.packets }
func (p *place) StreamCh() <-chan net.Conn           { return p.streams }

func (p *place) IngestPacket(net.Conn, net.Addr, time.Time, bool) error { return nil }
func (p *place) IngestStream(net.Conn) error                            { return nil }

func (p *place) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	wait := time.NewTimer(timeout)
	defer wait.Stop()
	other := p.to(addr)
	if other == nil {
		select {
		case <-wait.C:
		case <-p.over:
		}
		return nil, fmt.Errorf("no answer from %s", addr)
	}
	here, there := net.Pipe()
	select {
	case other.streams <- named{there, &p.addr}:
		return named{here, &other.addr}, nil
	case <-wait.C:
	case <-other.over:
	case <-p.over:
	}
	return nil, fmt.Errorf("no answer from %s", addr)
}

func (p *place) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return p.DialTimeout(a.Addr, timeout)
}

func (p *place) Shutdown() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

// named is a pipe with an address.
type named struct {
	net.Conn
	remote net.Addr
}

func (n named) RemoteAddr() net.Addr { return n.remote }

// fleet is pools in one process. The last is the one that looks on, as a server
// would; it is never cut off.
type fleet struct {
	air    *air
	places []*place
	pools  []*Pool
}

// newFleet starts n members with the timing of a region; they know each other when
// it returns.
func newFleet(b testing.TB, n int) *fleet {
	b.Helper()
	f := &fleet{air: &air{places: map[string]*place{}}}
	b.Cleanup(func() {
		var wg sync.WaitGroup
		for _, p := range f.pools {
			wg.Go(func() { _ = p.Close() })
		}
		wg.Wait()
		time.Sleep(time.Minute) // the library's last probes end by their timers
	})
	for i := range n {
		at := f.air.place(i)
		p, err := New(Config{
			ID: fmt.Sprintf("m%05d", i), Bind: at.addr.String(), Transport: at,
			Meta: Meta{Name: "m", Region: "global", Client: true}, Logger: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		})
		if err != nil {
			b.Fatal(err)
		}
		f.places, f.pools = append(f.places, at), append(f.pools, p)
	}
	// The first round tells one member of all, the second all of all: rumours alone
	// would take their time in a fleet that starts at once.
	for range 2 {
		for _, p := range f.pools[1:] {
			f.await(b, "a member has joined", func() bool {
				_, err := p.Join(b.Context(), []string{f.places[0].addr.String()})
				return err == nil
			})
		}
	}
	f.await(b, "all know all", func() bool {
		return !slices.ContainsFunc(f.pools, func(p *Pool) bool { return p.members.Load() != int64(n) })
	})
	return f
}

// await polls; it is no test of how long something takes.
func (f *fleet) await(b testing.TB, what string, cond func() bool) {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not in time", what)
		}
	}
}

func (f *fleet) watcher() *Pool { return f.pools[len(f.pools)-1] }

// fallen counts, over all members, those that they took for failed since a moment,
// back by now or not.
func (f *fleet) fallen(since time.Time) (n int) {
	for _, p := range f.pools {
		for _, m := range p.Members() {
			if m.Since.After(since) {
				n++
			}
		}
	}
	return n
}

var virtual = flag.Int("members", 60, "how many members TestDetection has; a thousand want a gigabyte")

const (
	// rounds of TestDetection: as many members are cut off.
	detections = 20
	// detectionLimit is for ten thousand members; fewer have less.
	detectionLimit = 8 * time.Second
	// modelOff is what medians of the model and of production's members may differ by:
	// that of twenty failures varies by a fifth.
	modelOff = 0.4
)

// TestDetection cuts one member after the other off for good and measures, in virtual
// time, how long it takes until another one knows that it failed. The members are
// production's, in one bubble: how busy the machine is changes nothing.
//
//	go test ./agent/gossip -run TestDetection -members 1000 -v
func TestDetection(t *testing.T) {
	n := *virtual
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, n)
		var took []time.Duration
		for i := range min(detections, n/3) {
			time.Sleep(time.Duration(rand.Int64N(int64(time.Second))))
			id := f.pools[i].cfg.ID
			f.places[i].cut.Store(true)
			began := time.Now()
			f.await(t, "failure known", func() bool { m, _ := f.watcher().Member(id); return m.Status == StatusFailed })
			took = append(took, time.Since(began))
		}
		if others := f.fallen(time.Time{}.Add(1)); others == 0 {
			t.Error("nobody fell")
		}
		slices.Sort(took)
		t.Logf("%d members, %d cut off: known after a median of %v, at worst %v", n, len(took), took[len(took)/2], took[len(took)-1])
		if worst := took[len(took)-1]; worst > detectionLimit {
			t.Errorf("a failure was known after %v", worst)
		}
		says := modelled(n, 200)
		if ratio := float64(took[len(took)/2]) / float64(says[len(says)/2]); ratio < 1-modelOff || ratio > 1+modelOff {
			t.Errorf("the model of ten thousand says %v", says[len(says)/2])
		}
	})
}

// TestFalseFailures loses one datagram in twenty for ten minutes of virtual time, and
// counts how often a member holds another for failed although all live: what the
// lease must make up for.
func TestFalseFailures(t *testing.T) {
	n := *virtual
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, n)
		f.air.loss.Store(5)
		began := time.Now()
		time.Sleep(lossyTime)
		fallen := f.fallen(began)
		t.Logf("%d members, %v, 5 %% of the datagrams lost: %d times one held another for failed", n, lossyTime, fallen)
		if limit := n; fallen > limit { // each member once held one for failed
			t.Errorf("%d false failures are more than %d", fallen, limit)
		}
	})
}

// lossyTime is of TestFalseFailures.
const lossyTime = 10 * time.Minute
