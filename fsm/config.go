package fsm

import (
	"github.com/steppe-project/steppe/model"
)

// SchedulerConfig replaces the scheduler configuration; with CAS only when its
// ModifyIndex is Index. Value: *ConfigResult.
type SchedulerConfig struct {
	Config *model.SchedulerConfiguration
	CAS    bool
	Index  uint64
}

// ConfigResult tells whether a configuration was replaced: false when somebody
// was faster.
type ConfigResult struct{ Updated bool }

// Kind is KindSchedulerConfig.
func (*SchedulerConfig) Kind() Kind { return KindSchedulerConfig }

func (c *SchedulerConfig) apply(x *tx) (result, error) {
	if c.Config == nil {
		return nil, model.Errorf(model.CodeInvalid, "the scheduler configuration is missing")
	}
	now := x.Txn.SchedulerConfig()
	if c.CAS && now.ModifyIndex != c.Index {
		return &ConfigResult{}, nil
	}
	next := *c.Config
	next.CreateIndex, next.ModifyIndex = now.CreateIndex, x.index
	x.Put(&next)
	return &ConfigResult{Updated: true}, nil
}

// AutopilotConfig replaces the autopilot configuration; with CAS only when its
// ModifyIndex is Index. Value: *ConfigResult.
type AutopilotConfig struct {
	Config *model.AutopilotConfiguration
	CAS    bool
	Index  uint64
}

// Kind is KindAutopilotConfig.
func (*AutopilotConfig) Kind() Kind { return KindAutopilotConfig }

func (c *AutopilotConfig) apply(x *tx) (result, error) {
	if c.Config == nil {
		return nil, model.Errorf(model.CodeInvalid, "the autopilot configuration is missing")
	}
	now := x.Txn.AutopilotConfig()
	if c.CAS && now.ModifyIndex != c.Index {
		return &ConfigResult{}, nil
	}
	next := *c.Config
	next.CreateIndex, next.ModifyIndex = now.CreateIndex, x.index
	x.Put(&next)
	return &ConfigResult{Updated: true}, nil
}

// ClusterMetadata gives the cluster its identity, once: later ones change
// nothing. A CreateTime of 0 becomes the entry's time. Value:
// *model.ClusterMetadata, the one in force.
type ClusterMetadata struct{ Metadata *model.ClusterMetadata }

// Kind is KindClusterMetadata.
func (*ClusterMetadata) Kind() Kind { return KindClusterMetadata }

func (c *ClusterMetadata) apply(x *tx) (result, error) {
	if now := x.Txn.ClusterMetadata(); now != nil {
		return now, nil
	}
	if c.Metadata == nil || c.Metadata.ClusterID == "" {
		return nil, model.Errorf(model.CodeInvalid, "the cluster needs an id")
	}
	next := *c.Metadata
	if next.CreateTime == 0 {
		next.CreateTime = x.time
	}
	x.Put(&next)
	return &next, nil
}

// States of a signing key.
const (
	signingActive   = "active"
	signingInactive = "inactive"
)

// SigningKey adds a key for workload identities or changes its state. An active
// one takes the place of the one that was active. No value.
type SigningKey struct{ Key *model.SigningKey }

// Kind is KindSigningKey.
func (*SigningKey) Kind() Kind { return KindSigningKey }

func (c *SigningKey) apply(x *tx) (result, error) {
	if c.Key == nil || c.Key.KeyID == "" || c.Key.State != signingActive && c.Key.State != signingInactive {
		return nil, model.Errorf(model.CodeInvalid, "a signing key needs an id and the state active or inactive")
	}
	next := *c.Key
	next.CreateIndex, next.ModifyIndex = x.index, x.index
	if now := x.Txn.SigningKey(next.KeyID); now != nil {
		next.CreateIndex, next.CreateTime = now.CreateIndex, now.CreateTime
	} else if next.CreateTime == 0 {
		next.CreateTime = x.time
	}
	if next.State == signingActive {
		x.retireSigningKeys(next.KeyID)
	}
	x.Put(&next)
	return nil, nil
}

// retireSigningKeys makes every key but one inactive.
func (x *tx) retireSigningKeys(but string) {
	var active []*model.SigningKey
	for k := range x.SigningKeys() {
		if k.State == signingActive && k.KeyID != but {
			active = append(active, k)
		}
	}
	for _, k := range active {
		next := *k
		next.State, next.ModifyIndex = signingInactive, x.index
		x.Put(&next)
	}
}

// DeleteSigningKey removes an inactive key. Fails with not_found, or conflict
// for the active one. No value.
type DeleteSigningKey struct{ KeyID string }

// Kind is KindDeleteSigningKey.
func (*DeleteSigningKey) Kind() Kind { return KindDeleteSigningKey }

func (c *DeleteSigningKey) apply(x *tx) (result, error) {
	now := x.Txn.SigningKey(c.KeyID)
	if now == nil {
		return nil, model.Errorf(model.CodeNotFound, "signing key not found")
	}
	if now.State == signingActive {
		return nil, model.Errorf(model.CodeConflict, "the active signing key cannot be deleted")
	}
	x.Delete(now)
	return nil, nil
}
