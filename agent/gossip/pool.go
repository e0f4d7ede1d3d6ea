package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
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
	cfg.Timing = cfg.Timing.withDefaults()
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

func explainBind(addr string, err error) error {
	if portTaken(err) {
		return model.Errorf(model.CodeConflict, "gossip address %s is used by another process: change ports.serf or stop it", addr)
	}
	return model.Errorf(model.CodeInvalid, "gossip on %s: %w", addr, err)
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

// Join contacts agents (host:port; names are resolved) and returns how many
// answered. It is an error when none did.
func (p *Pool) Join(ctx context.Context, addrs []string) (int, error) {
	type outcome struct {
		n   int
		err error
	}
	done := make(chan outcome, 1)
	p.joins.Add(1)
	go func() { // memberlist knows no context; tcpTimeout bounds it per address
		defer p.joins.Done()
		n, err := p.list.Join(addrs)
		done <- outcome{n, err}
	}()
	select {
	case o := <-done:
		if o.n > 0 {
			return o.n, nil
		}
		return 0, explainJoin(addrs, o.err)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func explainJoin(addrs []string, err error) error {
	hint := ""
	text := fmt.Sprint(err)
	switch { // memberlist wraps without types
	case strings.Contains(text, "EOF"), strings.Contains(text, "reset by peer"), strings.Contains(text, "decrypt"), strings.Contains(text, "encrypt"):
		hint = ": the agent there closed the connection; it may belong to another cluster or region (its encrypt key or region differs)"
	case strings.Contains(text, "connection refused"):
		hint = ": no agent listens there"
	}
	return model.Errorf(model.CodeUnavailable, "cannot join %s%s: %w", strings.Join(addrs, ", "), hint, err)
}

// joinAny contacts agents all at once, so that those that do not answer hold
// nobody up, and returns when the first has answered, or none has.
func (p *Pool) joinAny(ctx context.Context, addrs []string) error {
	outcomes := make(chan error, len(addrs))
	for _, addr := range addrs {
		p.joins.Go(func() {
			_, err := p.Join(ctx, []string{addr})
			outcomes <- err
		})
	}
	var errs []error
	for range addrs {
		err := <-outcomes
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Run keeps the membership until ctx ends: it joins RetryJoin until one has
// answered and again while alone, tries failed members again and forgets those
// long gone. It closes the pool.
func (p *Pool) Run(ctx context.Context) error {
	defer func() { _ = p.Close() }() // repeated below with its error
	retry := time.NewTimer(0)
	defer retry.Stop()
	backoff, joined := retryMin, false
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
			// Others may have made themselves known before anyone was asked: that is
			// some news, not the whole picture.
			if (!joined || p.alone()) && !p.leaving.Load() {
				joined = p.retryJoin(ctx, backoff)
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

// alone reports whether no other member lives.
func (p *Pool) alone() bool { return p.members.Load() <= 1 }

// retryJoin reports whether an agent has answered, or there is none to ask.
func (p *Pool) retryJoin(ctx context.Context, again time.Duration) bool {
	addrs := slices.DeleteFunc(slices.Clone(p.cfg.RetryJoin), p.isSelf)
	if len(addrs) == 0 {
		return true
	}
	err := p.joinAny(ctx, addrs)
	switch {
	case err == nil:
		p.cfg.Logger.Info("joined the cluster")
		return true
	case ctx.Err() == nil:
		p.cfg.Logger.Warn("cannot join the cluster yet", "error", err, "retry_in", again)
	}
	return false
}

// isSelf reports whether addr is plainly this agent's own.
func (p *Pool) isSelf(addr string) bool {
	return addr == p.Addr() || addr == p.cfg.Bind || addr == p.cfg.Advertise
}

// rejoin tries some failed members: after a healed partition gossip alone would
// not find them, because both sides hold the other for dead.
func (p *Pool) rejoin(ctx context.Context) {
	var failed []string
	for _, m := range p.Members() {
		if m.Status == StatusFailed {
			failed = append(failed, m.Addr)
		}
	}
	rand.Shuffle(len(failed), func(i, j int) { failed[i], failed[j] = failed[j], failed[i] })
	if len(failed) == 0 {
		return
	}
	failed = failed[:min(len(failed), rejoinAtOnce)]
	if _, err := p.Join(ctx, failed); err != nil {
		p.cfg.Logger.Debug("failed members do not answer yet", "tried", failed, "error", err)
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
	if err == nil && m.Region != p.cfg.Meta.Region {
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
