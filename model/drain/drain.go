// Package drain holds the rules of draining a node that servers and clients go by. It
// is part of the model: pure.
//
// Contract: a drain is forced from its deadline on, for good; one without a deadline
// never is.
//
// Example:
//
//	if drain.Forced(node.DrainStrategy, now) { ... }
package drain

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// Statuses of model.DrainMetadata.
const (
	Draining = "draining"
	Complete = "complete"
	Canceled = "canceled"
)

// Forced tells whether the time to leave by itself is over: what is still there is
// stopped whether it has a place elsewhere or not.
func Forced(d *model.DrainStrategy, now time.Time) bool {
	return d.Deadline < 0 || d.Deadline > 0 && !now.Before(d.ForceDeadline)
}
