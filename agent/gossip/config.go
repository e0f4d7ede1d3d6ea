package gossip

import (
	"cmp"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/steppe-project/steppe/model"
)

const (
	// reclaimTime is after how long a dead member's id may come back at another
	// address.
	reclaimTime = 10 * time.Millisecond
	// leaveTimeout bounds telling the others that this agent leaves or changed.
	leaveTimeout = 3 * time.Second
	// tcpTimeout bounds one exchange of full states, wanTCPTimeout one between
	// regions.
	tcpTimeout    = 5 * time.Second
	wanTCPTimeout = 10 * time.Second
	// handoffQueue bounds messages received but not yet handled: a burst of
	// changes of a fleet of ten thousand.
	handoffQueue = 8192
	// failedMemory and leftMemory are how long members that are gone are
	// remembered; maxGone bounds their number, the oldest go first.
	failedMemory = 72 * time.Hour
	leftMemory   = time.Hour
	maxGone      = 10_000
	// retryMin and retryMax pace attempts to join while this agent is alone.
	retryMin = time.Second
	retryMax = 15 * time.Second
	// rejoinAtOnce is how many failed members are tried per round.
	rejoinAtOnce = 3
)

// Timing is gossip's clockwork. The zero value means the defaults. With n members a
// machine that is cut off is known to have failed after
//
//	Probe              until somebody probes it: each does so with one of n members
//	                   per Probe, which comes to an exponential with that mean
//	+ Probe            until that probe, direct, through others and by TCP, has failed
//	+ Suspicion * max(1, log10 n) * Probe    in which it may object
//	+ Gossip * log4 n  until all have heard
//
//	n        probed  failed  may object  heard   median    1 in 100 over
//	30       0.28    0.4     1.2         0.25    2.1 s     3.7 s
//	100      0.28    0.4     1.6         0.35    2.6 s     4.2 s
//	1,000    0.28    0.4     2.4         0.5     3.6 s     5.1 s
//	10,000   0.28    0.4     3.2         0.7     4.6 s     6.1 s
//
// (probed: the median; 1 in 100 waits 1.8 s). It is one of two witnesses: a node
// whose lease was not renewed for three times its time is given up without gossip
// (agent/server/liveness). A Suspicion of 2 asks for no second opinion and leaves a
// small cluster's member about a second to object: the lease makes up for what a busy
// machine misses. A living member that lost a datagram is saved by three
// indirect probes and one by TCP, which losses only delay. At 10,000 an agent sends
// and answers some four datagrams a second and exchanges states of about 2 MB every
// three minutes (memberlist stretches PushPull by log2(n/32)).
//
// TestDetection and TestDetectionOfTenThousand try it; see bench/README.md.
//
// The defaults of a WAN pool, in brackets, bear round trips of a second and lines
// that lose packets; requests between regions try the next server all the same, so
// nobody waits for gossip.
type Timing struct {
	// Probe is how often a member is probed, ProbeTimeout how long a direct
	// answer may take before others are asked to probe, too. Defaults 500 ms and
	// 250 ms [2 s, 1 s].
	Probe        time.Duration
	ProbeTimeout time.Duration
	// Suspicion times log10(members) times Probe is how long a suspect has to
	// object when others agree, SuspicionMax times that when nobody does; with a
	// Suspicion of 2 nobody else is asked. A false word of gossip alone takes no node
	// down: its lease must be over, too. Defaults 2 and 3 [4 and 2].
	Suspicion    int
	SuspicionMax int
	// Gossip is how often news is passed on. Default 100 ms [300 ms].
	Gossip time.Duration
	// PushPull is how often full states are exchanged with a random member.
	// Default 20 s [30 s].
	PushPull time.Duration
	// Rejoin is how often failed members are tried again. Default 10 s.
	Rejoin time.Duration
}

// The defaults.
var (
	lanTiming = Timing{
		Probe: 400 * time.Millisecond, ProbeTimeout: 200 * time.Millisecond, Suspicion: 2, SuspicionMax: 3,
		Gossip: 100 * time.Millisecond, PushPull: 20 * time.Second, Rejoin: 10 * time.Second,
	}
	wanTiming = Timing{
		Probe: 2 * time.Second, ProbeTimeout: time.Second, Suspicion: 4, SuspicionMax: 2,
		Gossip: 300 * time.Millisecond, PushPull: 30 * time.Second, Rejoin: 10 * time.Second,
	}
)

// or fills in what is not set.
func (t Timing) or(d Timing) Timing {
	return Timing{
		Probe: cmp.Or(t.Probe, d.Probe), ProbeTimeout: cmp.Or(t.ProbeTimeout, d.ProbeTimeout),
		Suspicion: cmp.Or(t.Suspicion, d.Suspicion), SuspicionMax: cmp.Or(t.SuspicionMax, d.SuspicionMax),
		Gossip: cmp.Or(t.Gossip, d.Gossip), PushPull: cmp.Or(t.PushPull, d.PushPull), Rejoin: cmp.Or(t.Rejoin, d.Rejoin),
	}
}

// Config is what a Pool needs.
type Config struct {
	// ID is this agent's id; unique in the pool.
	ID string
	// WAN makes it the pool of the servers of all regions, instead of that of all
	// agents of one.
	WAN bool
	// Bind is host:port, for both UDP and TCP; port 0 chooses one.
	Bind string
	// Advertise is host:port as the others reach it; empty means Bind's.
	Advertise string
	// Meta is told to all members.
	Meta Meta
	// Keys are the cluster's (32 bytes each): the first is sent with, all are
	// understood. None sends in the clear.
	Keys [][]byte
	// RetryJoin are addresses (host:port, names allowed) tried until one has
	// answered, and again while this agent is alone. In a WAN pool each is tried
	// until it has answered: they stand for different regions.
	RetryJoin []string
	// Timing may be left zero.
	Timing Timing
	// Transport replaces the network, for tests.
	Transport memberlist.Transport
	// Logger gets what happens.
	Logger *slog.Logger
}

// memberlistConfig translates c.
func (c *Config) memberlistConfig(p *Pool) (*memberlist.Config, error) {
	host, port, err := splitAddr("bind", c.Bind)
	if err != nil {
		return nil, err
	}
	m := memberlist.DefaultLANConfig()
	m.Name = c.ID
	m.BindAddr, m.BindPort, m.AdvertisePort = host, port, port
	if c.Advertise != "" {
		if m.AdvertiseAddr, m.AdvertisePort, err = splitAddr("advertise", c.Advertise); err != nil {
			return nil, err
		}
	}
	// What comes from another pool is dropped before anything looks at it.
	m.Label = c.label()
	if len(m.Label) > memberlist.LabelMaxSize {
		return nil, model.Errorf(model.CodeInvalid, "region name %q is too long", c.Meta.Region)
	}
	m.TCPTimeout = tcpTimeout
	if c.WAN {
		m.TCPTimeout = wanTCPTimeout
	}
	m.ProbeInterval, m.ProbeTimeout = c.Timing.Probe, c.Timing.ProbeTimeout
	m.SuspicionMult, m.SuspicionMaxTimeoutMult = c.Timing.Suspicion, c.Timing.SuspicionMax
	m.GossipInterval, m.PushPullInterval = c.Timing.Gossip, c.Timing.PushPull
	m.DeadNodeReclaimTime = reclaimTime
	m.HandoffQueueDepth = handoffQueue
	// Messages are small and encrypted; compressing them costs more than it saves.
	m.EnableCompression = false
	m.MsgpackUseNewTimeFormat = true
	m.Delegate, m.Events, m.Conflict, m.Alive = p, p, p, p
	if len(c.Keys) > 0 {
		if m.Keyring, err = memberlist.NewKeyring(c.Keys[1:], c.Keys[0]); err != nil {
			return nil, model.Errorf(model.CodeInvalid, "encrypt key: %w", err)
		}
	}
	m.Logger = newLogger(c.Logger)
	if m.Transport = c.Transport; m.Transport == nil {
		t, bound, err := newTransport(p.ctx, host, port, m.Label, m.Logger)
		if err != nil {
			return nil, explainBind(c, err)
		}
		m.Transport, m.BindPort = t, bound
		if c.Advertise == "" {
			m.AdvertisePort = bound
		}
	}
	m.DNSConfigPath = ""
	return m, nil
}

// Labels name pools. The second is no region's: it has no dot.
const (
	regionLabel = "steppe." // with the region's name
	wanLabel    = "steppe-wan"
)

func (c *Config) label() string {
	if c.WAN {
		return wanLabel
	}
	return regionLabel + c.Meta.Region
}

func splitAddr(what, addr string) (string, int, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, model.Errorf(model.CodeInvalid, "gossip %s address %q: %w", what, addr, err)
	}
	if net.ParseIP(host) == nil {
		return "", 0, model.Errorf(model.CodeInvalid, "gossip %s address %q: %q is not an IP address", what, addr, host)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", 0, model.Errorf(model.CodeInvalid, "gossip %s address %q: port %q is not a number up to 65535", what, addr, portText)
	}
	return host, int(port), nil
}
