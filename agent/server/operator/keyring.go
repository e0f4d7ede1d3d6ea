package operator

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

const (
	// keyringAtOnce is how many agents are asked for their keys at a time.
	keyringAtOnce = 64
	// keyringPatience bounds asking one agent, regionPatience asking one region:
	// an agent that does not answer is reported.
	keyringPatience = 5 * time.Second
	regionPatience  = 60 * time.Second
	// maxNamed bounds the agents that an error names.
	maxNamed = 10
)

// Operations on keyrings that are checked for all agents before any is asked.
const (
	opUse    = "use"
	opRemove = "remove"
)

// keyring reads or changes the keys of all agents: those of this region, and
// through a server of each the others'.
func (d *Desk) keyring(ctx context.Context, r *msg.KeyringRequest) (*msg.KeyringResponse, error) {
	if r.Within {
		return &msg.KeyringResponse{Members: d.keyringHere(ctx, r)}, nil
	}
	if r.Op == opUse || r.Op == opRemove {
		if err := allows(d.keyringAll(ctx, &msg.KeyringRequest{}), r); err != nil {
			return nil, err
		}
	}
	return &msg.KeyringResponse{Members: d.keyringAll(ctx, r)}, nil
}

// allows tells why a change would cut agents off.
func allows(members []*msg.KeyringMember, r *msg.KeyringRequest) error {
	var lack []string
	for _, m := range members {
		has := slices.ContainsFunc(m.Keys, func(k []byte) bool { return bytes.Equal(k, r.Key) })
		switch {
		case m.Down:
		case r.Op == opRemove && m.Err == "" && len(m.Keys) > 0 && bytes.Equal(m.Keys[0], r.Key):
			return model.Errorf(model.CodeConflict, "%s sends with that key: have another used first", m.Name)
		case r.Op == opUse && m.Err != "":
			lack = append(lack, fmt.Sprintf("%s (%s)", m.Name, m.Err))
		case r.Op == opUse && !has:
			lack = append(lack, m.Name)
		}
	}
	if len(lack) == 0 || r.Force {
		return nil
	}
	more := ""
	if len(lack) > maxNamed {
		more = fmt.Sprintf(" and %d more", len(lack)-maxNamed)
		lack = lack[:maxNamed]
	}
	return model.Errorf(model.CodeConflict,
		"agents are not known to have that key and would be cut off: %s%s: install it on them first, or force its use", strings.Join(lack, ", "), more)
}

// keyringAll is the request at all agents of all regions, by name.
func (d *Desk) keyringAll(ctx context.Context, r *msg.KeyringRequest) []*msg.KeyringMember {
	var mu sync.Mutex
	out := []*msg.KeyringMember{}
	add := func(more ...*msg.KeyringMember) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, more...)
	}
	var wg sync.WaitGroup
	wg.Go(func() { add(d.keyringHere(ctx, r)...) })
	for _, region := range d.otherRegions() {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, regionPatience)
			defer cancel()
			there := *r
			there.Within = true
			resp, err := msg.Keyring.Call(ctx, rpc.InRegion(d.cfg.Caller, region), &there)
			if err != nil {
				add(&msg.KeyringMember{Name: "region " + region, Err: err.Error()})
				return
			}
			add(resp.Members...)
		})
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b *msg.KeyringMember) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// keyringHere is the request at all agents of this region.
func (d *Desk) keyringHere(ctx context.Context, r *msg.KeyringRequest) []*msg.KeyringMember {
	var out []*msg.KeyringMember
	slots := make(chan struct{}, keyringAtOnce)
	var wg sync.WaitGroup
	for _, m := range d.cfg.Members() {
		if m.Status == gossip.StatusLeft {
			continue
		}
		entry := &msg.KeyringMember{Name: m.Meta.Name + "." + m.Meta.Region}
		out = append(out, entry)
		if m.Status == gossip.StatusFailed {
			entry.Down, entry.Err = true, "it is down and keeps the keys that it has: if it lacks the present one when it returns, it needs it in its configuration"
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			d.keyringAt(ctx, m, r, entry)
		})
	}
	wg.Wait()
	return out
}

// keyringAt is the request at one agent.
func (d *Desk) keyringAt(ctx context.Context, m gossip.Member, r *msg.KeyringRequest, entry *msg.KeyringMember) {
	ctx, cancel := context.WithTimeout(ctx, keyringPatience)
	defer cancel()
	resp, err := msg.AgentKeyring.Call(ctx, d.cfg.Reach(m), &msg.KeyringRequest{Op: r.Op, Key: r.Key})
	switch {
	case err != nil:
		entry.Err = err.Error()
	case len(resp.Members) != 1:
		entry.Err = fmt.Sprintf("it answered for %d agents", len(resp.Members))
	default:
		entry.Keys = resp.Members[0].Keys
	}
}

// otherRegions are those that this server has heard of.
func (d *Desk) otherRegions() []string {
	var out []string
	for _, m := range d.cfg.Federated() {
		if m.Status != gossip.StatusLeft {
			out = append(out, m.Meta.Region)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
