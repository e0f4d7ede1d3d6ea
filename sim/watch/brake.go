package watch

import (
	"time"

	"github.com/steppe-project/steppe/model"
)

// AtOnce is below the time between two nodes that a brake gives up.
const AtOnce = 9 * time.Second

// Brake remembers which nodes are down, since when: two may be taken down as they
// are found lost, the third not soon after them.
type Brake struct{ downs map[string]time.Time }

// Down notes that a node is taken down, and returns how many were within AtOnce.
func (b *Brake) Down(id string, now time.Time) int {
	lately := 1
	for _, at := range b.downs {
		if now.Sub(at) <= AtOnce {
			lately++
		}
	}
	if b.downs == nil {
		b.downs = map[string]time.Time{}
	}
	b.downs[id] = now
	return lately
}

// Up notes that a node is down no longer.
func (b *Brake) Up(id string) { delete(b.downs, id) }

// Ended tells whether a client status is final.
func Ended(status string) bool {
	return status == model.ClientComplete || status == model.ClientFailed || status == model.ClientLost
}

// Poststop tells whether a task of a group runs after all others.
func Poststop(g *model.TaskGroup, task string) bool {
	for _, t := range g.Tasks {
		if t.Name == task {
			return t.Lifecycle != nil && t.Lifecycle.Hook == model.HookPoststop
		}
	}
	return false
}
