// Package keys gives a new cluster its identity and its first signing key: a
// pure component whose dice are thrown outside.
//
// Contract: what exists is never replaced; the first leader's proposals count.
//
// Example:
//
//	material, err := keys.Generate()
//	c := keys.New(material)
package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"github.com/steppe-project/steppe/agent/server/ident"
	"github.com/steppe-project/steppe/agent/server/proposal"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Material is what chance has to provide.
type Material struct {
	ClusterID string
	KeyID     string
	// Public and Private are an ed25519 key pair.
	Public, Private []byte
}

// Generate throws the dice.
func Generate() (Material, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Material{}, model.Errorf(model.CodeInternal, "generate signing key: %w", err)
	}
	return Material{ClusterID: ident.New(), KeyID: ident.New(), Public: public, Private: private}, nil
}

// Keys is the component.
type Keys struct{ material Material }

// New makes the component; material is used if the cluster has none.
func New(material Material) *Keys { return &Keys{material: material} }

// Name implements loop.Component.
func (k *Keys) Name() string { return "keys" }

// Reads implements loop.Component.
func (k *Keys) Reads() []state.Table { return []state.Table{state.TableConfig} }

// Reset implements loop.Component.
func (k *Keys) Reset(*state.Snapshot) {}

// Observe implements loop.Component.
func (k *Keys) Observe([]state.Change) {}

// Step implements loop.Component.
func (k *Keys) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	var cmds []fsm.Command
	if snap.ClusterMetadata() == nil {
		cmds = append(cmds, proposal.Of(&fsm.ClusterMetadata{Metadata: &model.ClusterMetadata{
			ClusterID: k.material.ClusterID, CreateTime: now.UnixNano(),
		}}))
	}
	for range snap.SigningKeys() {
		return cmds, time.Time{}
	}
	return append(cmds, proposal.Of(&fsm.SigningKey{Key: &model.SigningKey{
		KeyID: k.material.KeyID, Algorithm: "EdDSA", Public: k.material.Public, Private: k.material.Private,
		State: "active", CreateTime: now.UnixNano(),
	}})), time.Time{}
}
