// Package precedence is the order that dependencies give to the groups of jobs: which
// group comes after which, and that none comes after itself. It is part of the model:
// pure rules.
//
//	web ──depends_on──► db          web is started after db, updated after db, and
//	                                stopped before db
//
// Contract and invariants:
//
//   - A group's dependencies are those of its job, then its own.
//   - What Problems and Check let pass has no cycle: Problems sees one job, Check all that
//     can be reached from it, at most MaxReached groups.
//   - A dependency on what does not exist is none yet: a job that comes later is checked
//     when it comes.
//
// Example:
//
//	if err := precedence.Check(job, state.Job); err != nil { ... } // web → postgres.db → web
package precedence

import (
	"cmp"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
)

// MaxReached bounds the groups that Check looks at: far more than a person can think of
// as one thing, and milliseconds.
const MaxReached = 10_000

// Key names a group.
type Key struct{ Namespace, Job, Group string }

// Uses tells whether anything of a job depends on something.
func Uses(j *model.Job) bool {
	return j != nil && (len(j.DependsOn) > 0 || slices.ContainsFunc(j.TaskGroups, func(g *model.TaskGroup) bool { return len(g.DependsOn) > 0 }))
}

// Of are the dependencies of a group: its job's, then its own.
func Of(j *model.Job, g *model.TaskGroup) []*depends.Dependency {
	return slices.Concat(j.DependsOn, g.DependsOn)
}

// Target is the job that a dependency of j is about.
func Target(j *model.Job, d *depends.Dependency) model.NamespacedID {
	return model.NamespacedID{Namespace: cmp.Or(d.Namespace, j.Namespace), ID: cmp.Or(d.Job, j.ID)}
}

// Own tells whether a dependency is about a group of the same job.
func Own(j *model.Job, d *depends.Dependency) bool {
	return Target(j, d) == model.NamespacedID{Namespace: j.Namespace, ID: j.ID}
}

// Group is the group that a dependency names; "" for all of its job.
func Group(d *depends.Dependency) string {
	if d.Job == "" {
		return d.Name
	}
	return d.Group
}

// Groups are the groups of a job that a dependency on it is about, in the job's order.
func Groups(target *model.Job, d *depends.Dependency) []*model.TaskGroup {
	name := Group(d)
	var out []*model.TaskGroup
	for _, g := range target.TaskGroups {
		if name == "" || g.Name == name {
			out = append(out, g)
		}
	}
	return out
}

// Before are the groups of a job that come before one of them, each with the condition
// that has to be met: what it depends on, what that depends on, and so on. A group that
// is reached twice has the condition of the shorter way.
func Before(j *model.Job, group string) map[string]string {
	out := make(map[string]string)
	for next := []string{group}; len(next) > 0; {
		g := find(j, next[0])
		next = next[1:]
		if g == nil {
			continue
		}
		for _, d := range Of(j, g) {
			if !Own(j, d) {
				continue
			}
			for _, t := range Groups(j, d) {
				if out[t.Name] == "" {
					out[t.Name] = d.Asks()
					next = append(next, t.Name)
				}
			}
		}
	}
	return out
}

func find(j *model.Job, group string) *model.TaskGroup {
	for _, g := range j.TaskGroups {
		if g.Name == group {
			return g
		}
	}
	return nil
}

// Dependents are the groups of other jobs that depend on a group of this one, in words;
// at most limit of them.
func Dependents(j *model.Job, others func(yield func(*model.Job) bool), limit int) []string {
	var out []string
	id := model.NamespacedID{Namespace: j.Namespace, ID: j.ID}
	for o := range others {
		if o.Stop || o.Namespace == j.Namespace && o.ID == j.ID || !Uses(o) {
			continue
		}
		for _, g := range o.TaskGroups {
			on := func(d *depends.Dependency) bool { return Target(o, d) == id }
			if len(out) < limit && slices.ContainsFunc(Of(o, g), on) {
				out = append(out, Key{o.Namespace, o.ID, g.Name}.text(j))
			}
		}
	}
	return out
}

// Check finds a cycle that a job is part of among those that lookup knows (nil: there is
// no such job).
func Check(j *model.Job, lookup func(namespace, id string) *model.Job) error {
	if !Uses(j) {
		return nil // nothing can lead back from what leads nowhere
	}
	s := &search{start: j, lookup: lookup, state: make(map[Key]progress)}
	for _, g := range j.TaskGroups {
		if s.from(Key{j.Namespace, j.ID, g.Name}); s.cycle != nil {
			return model.Errorf(model.CodeInvalid, "job %q would wait for itself: %s; take one of these dependencies away", j.ID, s.words())
		}
	}
	if len(s.state) > MaxReached {
		return model.Errorf(model.CodeInvalid, "job %q depends, over others, on more than %d groups, too many to be sure that none waits for itself", j.ID, MaxReached)
	}
	return nil
}

// progress of a search with a group.
type progress uint8

const (
	open progress = iota + 1 // on the way that is looked at
	done                     // leads to no cycle
)

// search goes along dependencies, depth first.
type search struct {
	start  *model.Job
	lookup func(namespace, id string) *model.Job
	state  map[Key]progress
	way    []Key
	cycle  []Key
}

func (s *search) job(namespace, id string) *model.Job {
	if namespace == s.start.Namespace && id == s.start.ID {
		return s.start
	}
	return s.lookup(namespace, id)
}

func (s *search) from(k Key) {
	if s.state[k] == open {
		s.cycle = append(slices.Clone(s.way[slices.Index(s.way, k):]), k)
	}
	if s.state[k] != 0 || s.cycle != nil || len(s.state) > MaxReached {
		return
	}
	s.state[k] = open
	s.way = append(s.way, k)
	if j := s.job(k.Namespace, k.Job); j != nil {
		if g := find(j, k.Group); g != nil {
			s.along(j, g)
		}
	}
	s.way = s.way[:len(s.way)-1]
	s.state[k] = done
}

// along goes to all that a group depends on.
func (s *search) along(j *model.Job, g *model.TaskGroup) {
	for _, d := range Of(j, g) {
		id := Target(j, d)
		target := s.job(id.Namespace, id.ID)
		if target == nil {
			continue
		}
		for _, t := range Groups(target, d) {
			if s.from(Key{id.Namespace, id.ID, t.Name}); s.cycle != nil {
				return
			}
		}
	}
}

func (s *search) words() string {
	names := make([]string, len(s.cycle))
	for i, k := range s.cycle {
		names[i] = k.text(s.start)
	}
	return strings.Join(names, " → ")
}

// text names a group as seen from a job: web, postgres.db, other/postgres.db.
func (k Key) text(from *model.Job) string {
	switch {
	case k.Namespace != from.Namespace:
		return k.Namespace + "/" + k.Job + "." + k.Group
	case k.Job != from.ID:
		return k.Job + "." + k.Group
	}
	return k.Group
}
