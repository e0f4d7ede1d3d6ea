package agent

import (
	"context"

	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/keyring"
	"github.com/steppe-project/steppe/agent/rpc/msg"
)

// openRing finds the cluster's keys: those kept since they were changed, or the
// configured one.
func (a *Agent) openRing() error {
	configured, err := a.key()
	if err != nil {
		return err
	}
	if a.ring, err = keyring.Open(a.dir, configured); err != nil {
		return err
	}
	if n := a.ring.Notice(); n != "" {
		a.log.Warn(n)
	}
	a.ring.OnChange(a.useKeys)
	return nil
}

// useKeys makes keys take effect: for gossip, and for the certificates made from
// them. Connections that stand are not touched.
func (a *Agent) useKeys(keys [][]byte) error {
	if !a.cfg.TLS.RPC {
		// First, so that nobody whom gossip brings is refused.
		if err := a.security.SetKeys(keys[0], keys[1:]...); err != nil {
			return err
		}
	}
	for _, p := range []*gossip.Pool{a.gossip, a.wan} {
		if p == nil {
			continue
		}
		if err := p.SetKeys(keys); err != nil {
			return err
		}
	}
	return nil
}

// keyring answers msg.AgentKeyring.
func (a *Agent) keyring(_ context.Context, r *msg.KeyringRequest) (*msg.KeyringResponse, error) {
	if r.Op != "" {
		if err := a.ring.Change(keyring.Op(r.Op), r.Key); err != nil {
			return nil, err
		}
		a.log.Info("keyring changed", "op", r.Op, "key_id", keyring.ID(r.Key), "keys", len(a.ring.Keys()))
	}
	return &msg.KeyringResponse{Members: []*msg.KeyringMember{{Name: a.name + "." + a.cfg.Region, Keys: a.ring.Keys()}}}, nil
}
