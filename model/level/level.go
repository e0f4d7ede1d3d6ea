// Package level says which feature level a job needs: who proposes one asks before, and
// apply refuses it on all servers alike. It is part of the model: pure rules.
//
// Invariant: a job that asks for nothing new needs feature.Base.
//
// Example:
//
//	if level.Of(job) > snap.FeatureLevel() { /* not before all servers understand it */ }
package level

import (
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/model/stateful"
)

// Of is the level that came with all that a job asks for: Base for most.
func Of(j *model.Job) feature.Level {
	switch {
	case j == nil:
		return feature.Base
	case slices.ContainsFunc(j.TaskGroups, asksDevices):
		return feature.Devices
	case slices.ContainsFunc(j.TaskGroups, func(g *model.TaskGroup) bool {
		return g != nil && (g.Gang != nil || g.MaxRunDuration > 0)
	}):
		return feature.Gangs
	case stateful.Any(j):
		return feature.Stateful
	case precedence.Uses(j):
		return feature.Dependencies
	case deploy.Needed(j):
		return feature.Deployments
	case launch.IsTemplate(j):
		return feature.Launches
	}
	return feature.Base
}

// asksDevices tells whether a task of a group asks for devices: older servers would place
// it without.
func asksDevices(g *model.TaskGroup) bool {
	return g != nil && slices.ContainsFunc(g.Tasks, func(t *model.Task) bool {
		return t != nil && t.Resources != nil && len(t.Resources.Devices) > 0
	})
}

// OfPlan is Gangs for a plan that places a gang, Preemption for one that has others give
// way, and Deployments for one that brings one, or old versions beside the new one.
func OfPlan(p *model.Plan) feature.Level {
	switch {
	case p == nil:
		return feature.Base
	case slices.ContainsFunc(p.Groups, func(g *model.PlanGroup) bool { return g != nil && g.Together }):
		return feature.Gangs
	case slices.ContainsFunc(p.Stops, func(s *model.PlanStop) bool { return s != nil && s.PreemptedBy != "" }):
		return feature.Preemption
	case deploy.InPlan(p):
		return feature.Deployments
	}
	return feature.Base
}
