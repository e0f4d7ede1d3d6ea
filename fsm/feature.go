package fsm

import (
	"fmt"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/level"
)

// levels says with which feature level a kind of command came. Those that are not
// here were there before. Servers that understand less would stop at such a
// command, so it is refused until the cluster has reached the level: on all servers
// alike, because the level is in the state.
var levels = map[Kind]feature.Level{
	KindFeatureLevel: feature.Seats,
	KindNodeDrain:    feature.Drains,
	KindDispatchJob:  feature.Launches,
	KindLaunchJob:    feature.Launches,
	KindUpsertQuota:  feature.Tenancy,
	KindDeleteQuota:  feature.Tenancy,

	KindRevertJob:         feature.Deployments,
	KindTagVersion:        feature.Deployments,
	KindDeploymentStatus:  feature.Deployments,
	KindPromoteDeployment: feature.Deployments,
	KindAllocHealth:       feature.Deployments,
}

// needing is a command that was there before, of which a part came with a level.
type needing interface{ needs() feature.Level }

// needs is Seats with what older leaders would not act on.
func (c *AutopilotConfig) needs() feature.Level {
	if c.Config != nil && (c.Config.EnableRedundancyZones || c.Config.EnableCustomUpgrades) {
		return feature.Seats
	}
	return feature.Base
}

// needs is what came with what the job asks for.
func (c *RegisterJob) needs() feature.Level { return level.Of(c.Job) }

// needs is what the plan needs.
func (c *ApplyPlan) needs() feature.Level { return level.OfPlan(c.Plan) }

// Needs is the feature level that a command needs: who proposes asks first.
func Needs(b Body) feature.Level {
	need := max(levels[b.Kind()], feature.Base)
	if n, ok := b.(needing); ok {
		need = max(need, n.needs())
	}
	return need
}

// gate refuses a command that the cluster has not agreed to. The one that activates
// a level counts as of that level, else the first could not be reached.
func (x *tx) gate(kind Kind, cmd command) error {
	need, have := levels[kind], x.FeatureLevel()
	if n, ok := cmd.(needing); ok {
		need = max(need, n.needs())
	}
	if c, ok := cmd.(*FeatureLevel); ok {
		have = max(have, c.Level)
	}
	return Gate(need, have)
}

// Gate is the refusal of what needs a level at a cluster that has another, nil
// when it has it.
func Gate(need, have feature.Level) error {
	if need <= have {
		return nil
	}
	return model.Errorf(model.CodeConflict,
		"this needs feature level %d, and the cluster is at %d: it is activated when all servers understand it; see steppe operator feature list", need, have)
}

// beyond is a FatalError for a command that this binary does not know, or that
// activates what it does not understand.
func (f *FSM) beyond(index uint64, c *Command) error {
	if _, ok := kinds[c.Kind]; !ok {
		return &FatalError{fmt.Sprintf("log entry %d has a command of kind %d, which a newer version of steppe wrote: upgrade this server", index, c.Kind)}
	}
	if c.Kind != KindFeatureLevel {
		return nil
	}
	var level FeatureLevel
	if err := decodeBody(&level, c.Body); err != nil || level.Level <= f.understands {
		return nil // a damaged one is refused as others are
	}
	return &FatalError{fmt.Sprintf("log entry %d activates feature level %d, and this binary understands up to %d: upgrade this server", index, level.Level, f.understands)}
}

// FeatureLevel activates a feature level, and with it all below. Fails with
// conflict when the cluster has it. No value.
type FeatureLevel struct{ Level feature.Level }

// Kind is KindFeatureLevel.
func (*FeatureLevel) Kind() Kind { return KindFeatureLevel }

func (c *FeatureLevel) apply(x *tx) (result, error) {
	now := x.FeatureLevel()
	if c.Level <= now {
		return nil, model.Errorf(model.CodeConflict, "the cluster is at feature level %d: levels are never taken back", now)
	}
	next := &feature.Active{Level: c.Level, ActivatedAt: x.time, CreateIndex: x.index, ModifyIndex: x.index}
	if before := x.Feature(); before != nil {
		next.CreateIndex = before.CreateIndex
	}
	x.Put(next)
	return nil, nil
}
