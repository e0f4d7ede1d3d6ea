// Package level says which feature level a job asks for. It is part of the model: pure.
//
// Example:
//
//	if level.Of(job) > cluster { ... }
package level

import (
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/deploy"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
	"github.com/steppe-project/steppe/model/precedence"
	"github.com/steppe-project/steppe/model/stateful"
)

// Of is the level that came with all that a job asks for: Base for most.
func Of(job *model.Job) feature.Level {
	switch {
	case job == nil:
		return feature.Base
	case stateful.Any(job):
		return feature.Stateful
	case precedence.Uses(job):
		return feature.Dependencies
	case deploy.Needed(job):
		return feature.Deployments
	case launch.IsTemplate(job):
		return feature.Launches
	}
	return feature.Base
}
