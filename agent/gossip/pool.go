package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/steppe-project/steppe/model"
)

// Pool is this agent's membership.
type Pool struct {
	cfg   Config
	list  *memberlist.Memberlist
	table *table
	ring  *memberlist.Keyring              // nil when not encrypted
	queue *memberlist.TransmitLimitedQueue // messages of our own

	meta    atomic.Pointer[[]byte] // encoded
	members atomic.Int64           // living ones, for the queue
	leaving atomic.Bool
	ctx     context.Context // ends with the pool, and with it all dialling
	cancel  context.CancelFunc
	joins   sync.WaitGroup
	stop    func() error
}

// New joins nobody yet: it binds the port and makes this agent a member of a
// pool of one. Run must follow, or Close.
func New(cfg Config) (*Pool, error) {
	if cfg.ID == "" || cfg.Logger == nil {
		return nil, model.Errorf(model.CodeInternal, "gossip: id and logger are required")
	}
	defaults := lanTiming
	if cfg.WAN {
		if err := cfg.Meta.federates(); err != nil {
			return nil, model.Errorf(model.CodeInternal, "gossip between regions: %w", err)
		}
		defaults = wanTiming
	}
	cfg.Timing = cfg.Timing.or(defaults)
	p := &Pool{cfg: cfg, table: newTable()}
	if err := p.encode(cfg.Meta); err != nil {
		return nil, err
	}
	p.queue = &memberlist.TransmitLimitedQueue{
		NumNodes:       func() int { return max(1, int(p.members.Load())) },
		RetransmitMult: 4,
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	mc, err := cfg.memberlistConfig(p)
	if err != nil {
		p.cancel()
		return nil, err
	}
	p.ring = mc.Keyring
	if p.list, err = memberlist.Create(mc); err != nil {
		p.cancel()
		return nil, errors.Join(model.Errorf(model.CodeInvalid, "gossip on %s: %w", cfg.Bind, err), mc.Transport.Shutdown())
	}
	p.stop = sync.OnceValue(func() error {
		p.cancel()
		err := p.list.Shutdown()
		p.joins.Wait()
		return err
	})
	return p, nil
}

func explainBind(c *Config, err error) error {
	attr := "ports.serf"
	if c.WAN {
		attr = "ports.wan"
	}
	if portTaken(err) {
		return model.Errorf(model.CodeConflict, "gossip address %s is used by another process: change %s or stop it", c.Bind, attr)
	}
	return model.Errorf(model.CodeInvalid, "gossip on %s: %w", c.Bind, err)
}

func (p *Pool) encode(m Meta) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	p.meta.Store(&b)
	return nil
}

// Addr is this agent's gossip address as the others see it.
func (p *Pool) Addr() string { return p.list.LocalNode().Address() }

// Members returns all members known, by id, this agent included.
func (p *Pool) Members() []Member { return p.table.list() }

// Member returns one member.
func (p *Pool) Member(id string) (Member, bool) { return p.table.get(id) }

// Subscribe returns a subscription to all changes; Close it.
func (p *Pool) Subscribe() *Subscription { return p.table.subscribe() }

// SetMeta tells all members a new Meta of this agent.
func (p *Pool) SetMeta(m Meta) error {
	if err := p.encode(m); err != nil {
		return err
	}
	if err := p.list.UpdateNode(leaveTimeout); err != nil {
		return model.Errorf(model.CodeUnavailable, "gossip: tell others of a change: %w", err)
	}
	return nil
}

// Run keeps the membership until ctx ends: it joins RetryJoin until one has
// answered and again while alone, tries failed members again and forgets those
// long gone. It closes the pool.
func (p *Pool) Run(ctx context.Context) error {
	defer func() { _ = p.Close() }() // repeated below with its error
	retry := time.NewTimer(0)
	defer retry.Stop()
	backoff, todo := retryMin, p.notSelf(p.cfg.RetryJoin)
	tick := time.NewTicker(p.cfg.Timing.Rejoin)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return p.Close()
		case <-retry.C:
			if len(p.cfg.RetryJoin) == 0 {
				continue
			}
			if len(todo) == 0 && p.alone() && !p.cfg.WAN {
				todo = p.notSelf(p.cfg.RetryJoin)
			}
			if len(todo) > 0 && !p.leaving.Load() {
				todo = p.retryJoin(ctx, todo, backoff)
				backoff = min(2*backoff, retryMax)
			} else {
				backoff = retryMin
			}
			retry.Reset(backoff)
		case <-tick.C:
			p.table.reap(time.Now())
			if !p.leaving.Load() {
				p.rejoin(ctx)
			}
		}
	}
}

// Leave tells the others that this agent leaves on purpose. Close, or end of
// Run, follows.
func (p *Pool) Leave(ctx context.Context) error {
	p.leaving.Store(true)
	timeout := leaveTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(d))
	}
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	if !p.alone() {
		sent := make(chan struct{})
		p.departed(p.cfg.ID, sent)
		select {
		case <-sent:
		case <-deadline.C: // who was not told will see it fail
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := p.list.Leave(timeout); err != nil {
		return model.Errorf(model.CodeUnavailable, "gossip: leave: %w", err)
	}
	return nil
}

// Close stops taking part without a word: the others will find this agent
// failed, unless it left.
func (p *Pool) Close() error { return p.stop() }

// Health is memberlist's opinion of this agent's own timeliness: 0 is best.
func (p *Pool) Health() int { return p.list.GetHealthScore() }

// NotifyJoin implements memberlist.EventDelegate.
func (p *Pool) NotifyJoin(n *memberlist.Node) {
	p.members.Add(1)
	m, err := memberOf(n, StatusAlive)
	if err != nil {
		p.cfg.Logger.Error("member without a readable description", "id", n.Name, "error", err)
		return
	}
	p.table.set(EventJoin, m)
}

// NotifyLeave implements memberlist.EventDelegate.
func (p *Pool) NotifyLeave(n *memberlist.Node) {
	p.members.Add(-1)
	p.table.change(n.Name, func(m *Member) EventType {
		m.Status, m.Since = StatusFailed, time.Now()
		if m.Since.Sub(m.leaving) < intentMemory {
			m.Status = StatusLeft
			return EventLeave
		}
		return EventFail
	})
}

// NotifyUpdate implements memberlist.EventDelegate.
func (p *Pool) NotifyUpdate(n *memberlist.Node) {
	m, err := memberOf(n, StatusAlive)
	if err != nil {
		p.cfg.Logger.Error("member without a readable description", "id", n.Name, "error", err)
		return
	}
	p.table.change(n.Name, func(old *Member) EventType {
		m.Since, m.leaving = old.Since, old.leaving
		*old = m
		return EventUpdate
	})
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (p *Pool) NotifyConflict(existing, other *memberlist.Node) {
	p.cfg.Logger.Error("two agents use the same id; the second is ignored: give it a data directory of its own",
		"id", existing.Name, "first", existing.Address(), "second", other.Address())
}

// NotifyAlive implements memberlist.AliveDelegate: an error refuses the member.
func (p *Pool) NotifyAlive(n *memberlist.Node) error {
	m, err := DecodeMeta(n.Meta)
	switch {
	case err != nil:
	case p.cfg.WAN:
		err = m.federates()
	case !p.cfg.WAN && m.Region != p.cfg.Meta.Region:
		err = fmt.Errorf("it belongs to region %q, this agent to %q", m.Region, p.cfg.Meta.Region)
	}
	if err != nil {
		p.cfg.Logger.Warn("refused a member", "id", n.Name, "addr", n.Address(), "reason", err.Error())
		return errors.New("refused")
	}
	return nil
}

func memberOf(n *memberlist.Node, status Status) (Member, error) {
	meta, err := DecodeMeta(n.Meta)
	if err != nil {
		return Member{}, err
	}
	return Member{
		ID: n.Name, Addr: net.JoinHostPort(n.Addr.String(), fmt.Sprint(n.Port)), Status: status, Meta: meta, Since: time.Now(),
	}, nil
}
