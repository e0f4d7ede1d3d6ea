package gossip

import (
	"github.com/hashicorp/memberlist"

	"github.com/steppe-project/steppe/model"
)

// Keys are the keys this agent understands; the first is the one it sends with.
// Nil when it does not encrypt.
func (p *Pool) Keys() [][]byte {
	if p.ring == nil {
		return nil
	}
	return p.ring.GetKeys()
}

// InstallKey makes this agent understand a further key. A rotation installs the
// key on every agent, then uses it on every agent, then removes the old one.
func (p *Pool) InstallKey(key []byte) error {
	return p.keyOp("install", func(k *memberlist.Keyring) error { return k.AddKey(key) })
}

// UseKey makes this agent send with an installed key.
func (p *Pool) UseKey(key []byte) error {
	return p.keyOp("use", func(k *memberlist.Keyring) error { return k.UseKey(key) })
}

// RemoveKey makes this agent not understand a key any more; not the one in use.
func (p *Pool) RemoveKey(key []byte) error {
	return p.keyOp("remove", func(k *memberlist.Keyring) error { return k.RemoveKey(key) })
}

func (p *Pool) keyOp(what string, op func(*memberlist.Keyring) error) error {
	if p.ring == nil {
		return model.Errorf(model.CodeInvalid, "gossip is not encrypted: give all agents an encrypt key and restart them")
	}
	if err := op(p.ring); err != nil {
		return model.Errorf(model.CodeInvalid, "%s gossip key: %w", what, err)
	}
	return nil
}
