package gossip

import (
	"bytes"
	"slices"

	"github.com/steppe-project/steppe/model"
)

// Keys are the keys this agent understands; the first is the one it sends with.
// Nil when it does not encrypt.
func (p *Pool) Keys() [][]byte {
	if p.ring == nil {
		return nil
	}
	return slices.Clone(p.ring.GetKeys())
}

// SetKeys makes this agent understand these keys and no others, and send with the
// first. One call at a time.
func (p *Pool) SetKeys(keys [][]byte) error {
	if p.ring == nil || len(keys) == 0 {
		return model.Errorf(model.CodeInvalid, "gossip is not encrypted: give all agents an encrypt key and restart them")
	}
	for _, key := range keys {
		if err := p.ring.AddKey(key); err != nil {
			return model.Errorf(model.CodeInvalid, "gossip key: %w", err)
		}
	}
	if err := p.ring.UseKey(keys[0]); err != nil {
		return model.Errorf(model.CodeInternal, "gossip key: %w", err)
	}
	for _, old := range p.Keys() {
		if slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			continue
		}
		if err := p.ring.RemoveKey(old); err != nil {
			return model.Errorf(model.CodeInternal, "gossip key: %w", err)
		}
	}
	return nil
}
