package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/steppe-project/steppe/model"
)

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
		return 0, p.explainJoin(addrs, o.err)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (p *Pool) explainJoin(addrs []string, err error) error {
	hint := ""
	text := fmt.Sprint(err)
	switch { // memberlist wraps without types
	case strings.Contains(text, otherPool):
		hint = p.explainPool(text)
	case strings.Contains(text, "EOF"), strings.Contains(text, "reset by peer"), strings.Contains(text, "decrypt"), strings.Contains(text, "encrypt"):
		hint = ": the agent there closed the connection; it may belong to another cluster or region (its encrypt key or region differs), or one of the two missed a change of the key (then set encrypt there to the present key and remove the file keyring of its data directory)"
	case strings.Contains(text, "connection refused"):
		hint = ": no agent listens there"
	}
	return model.Errorf(model.CodeUnavailable, "cannot join %s%s: %w", strings.Join(addrs, ", "), hint, err)
}

// explainPool says which other pool answered, and how to join what was meant.
func (p *Pool) explainPool(text string) string {
	_, label, _ := strings.Cut(text, otherPool)
	if end := strings.IndexAny(label, " \n"); end >= 0 {
		label = label[:end]
	}
	region, lan := strings.CutPrefix(label, regionLabel)
	switch {
	case lan && p.cfg.WAN:
		return fmt.Sprintf(": that is the port on which the agents of region %q gossip; regions federate through the port ports.wan of their servers (4649)", region)
	case lan:
		return fmt.Sprintf(": the agent there belongs to region %q, this one to %q; regions are not joined but federated, through their servers: steppe server join -wan HOST, or server.retry_join_wan", region, p.cfg.Meta.Region)
	}
	return ": that is the port through which servers federate regions; the agents of a region join at ports.serf (4648)"
}

// joinOutcome is what became of asking one address.
type joinOutcome struct {
	addr string
	err  error
}

// joinAll contacts agents all at once, so that those that do not answer hold
// nobody up, and sends what became of each.
func (p *Pool) joinAll(ctx context.Context, addrs []string) <-chan joinOutcome {
	outcomes := make(chan joinOutcome, len(addrs))
	for _, addr := range addrs {
		p.joins.Go(func() {
			_, err := p.Join(ctx, []string{addr})
			outcomes <- joinOutcome{addr, err}
		})
	}
	return outcomes
}

// alone reports whether no other member lives.
func (p *Pool) alone() bool { return p.members.Load() <= 1 }

// retryJoin asks addrs and returns those that are to be asked again. In a region
// one answer is the whole picture. Having been found by others before anyone was
// asked is not: that is some news.
func (p *Pool) retryJoin(ctx context.Context, addrs []string, again time.Duration) (left []string) {
	outcomes := p.joinAll(ctx, addrs)
	var errs []error
	for range addrs {
		o := <-outcomes
		if o.err == nil && !p.cfg.WAN {
			p.cfg.Logger.Info("joined the cluster")
			return nil
		}
		if o.err == nil {
			p.cfg.Logger.Info("joined the servers of all regions", "through", o.addr)
			continue
		}
		left, errs = append(left, o.addr), append(errs, o.err)
	}
	if len(left) > 0 && ctx.Err() == nil {
		p.cfg.Logger.Warn("cannot join the cluster yet", "wan", p.cfg.WAN, "error", errors.Join(errs...), "retry_in", again)
	}
	return left
}

// notSelf is addrs without this agent's own.
func (p *Pool) notSelf(addrs []string) []string {
	return slices.DeleteFunc(slices.Clone(addrs), p.isSelf)
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
	outcomes := p.joinAll(ctx, failed)
	for range failed {
		if o := <-outcomes; o.err != nil {
			p.cfg.Logger.Debug("a failed member does not answer yet", "tried", o.addr, "error", o.err)
		}
	}
}
