package reconcile

import (
	"reflect"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
	"github.com/steppe-project/steppe/model/stateful"
)

// Changed tells whether instances of a group have to be replaced to take a new
// version of their job: their tasks would see the difference. Count, priority,
// constraints, services, policies (restart, reschedule, update, migrate),
// shutdown delays, kill timeouts, max_run_duration, actions, scaling and dependencies change
// under a running instance; everything else does not, nor does the count of a gang. Nor does a policy for disconnection that
// makes the servers count on a node to stop an instance sooner than it knows: one
// that is cut off just then would never hear of it.
func Changed(from, to *model.Job, group string) bool {
	if from == nil || to == nil {
		return true
	}
	if from.Type != to.Type || from.Name != to.Name || string(from.Payload) != string(to.Payload) {
		return true
	}
	a, b := Find(from, group), Find(to, group)
	if a == nil || b == nil || len(a.Tasks) != len(b.Tasks) {
		return true
	}
	if (a.Gang != nil || b.Gang != nil) && a.Count != b.Count {
		return true // a gang of another size is another gang
	}
	if !equal(from.Meta, to.Meta) || !equal(essence(a), essence(b)) || sooner(a, b) {
		return true
	}
	for i := range a.Tasks {
		if !equal(taskEssence(a.Tasks[i]), taskEssence(b.Tasks[i])) {
			return true
		}
	}
	return false
}

// sooner tells whether the servers would take an instance for stopped by its node
// before the node, knowing only from, has stopped it.
func sooner(from, to *model.TaskGroup) bool {
	if lease.StopAfter(to) == 0 {
		return false // they do not count on it
	}
	return lease.StopAfter(from) == 0 || lease.GoneAfter(from) > lease.GoneAfter(to)
}

// Find returns a job's group by name, or nil.
func Find(j *model.Job, group string) *model.TaskGroup { return stateful.Group(j, group) }

// essence is a group without what may change in place, and without its tasks.
func essence(g *model.TaskGroup) model.TaskGroup {
	e := *g
	e.Count, e.Tasks = 0, nil
	e.Constraints, e.Affinities, e.Spreads = nil, nil, nil
	e.RestartPolicy, e.ReschedulePolicy, e.Update, e.Migrate, e.Stateful = nil, nil, nil, nil, nil
	e.Disconnect, e.MaxClientDisconnect, e.StopAfterClientDisconnect, e.PreventRescheduleOnLost = nil, 0, 0, false
	e.Services, e.Scaling, e.DependsOn = nil, nil, nil
	e.ShutdownDelay, e.MaxRunDuration, e.Gang = 0, 0, nil
	return e
}

// taskEssence is a task without what may change in place.
func taskEssence(t *model.Task) model.Task {
	e := *t
	e.Constraints, e.Affinities = nil, nil
	e.RestartPolicy, e.Services, e.ScalingPolicies, e.Actions = nil, nil, nil, nil
	e.KillTimeout, e.ShutdownDelay = 0, 0
	return e
}

// equal is deep equality in which absent and empty lists and maps are the same:
// a job that came through a snapshot may differ in that from one that did not.
func equal(a, b any) bool { return equalValues(reflect.ValueOf(a), reflect.ValueOf(b)) }

func equalValues(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	if a.Type() != b.Type() {
		return equalNumbers(a, b)
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return equalValues(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !equalValues(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equalValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() || !equalValues(it.Value(), other) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// equalNumbers compares numbers of different Go types: a task's config has
// float64 when it came as JSON and int64 when it came through the log.
func equalNumbers(a, b reflect.Value) bool {
	x, ok := number(a)
	y, also := number(b)
	return ok && also && x == y
}

func number(v reflect.Value) (float64, bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}
