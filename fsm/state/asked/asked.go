// Package asked sums what the jobs of namespaces ask for, as far as the jobs' own rows
// tell: of batch jobs as if nothing had completed, and without system jobs, whose demand
// depends on nodes. It is part of the store.
//
// Contract: Count with 1 for a row that comes and -1 for one that goes. Not safe for
// concurrent use: it belongs to the writer. It is rebuilt from the rows when these are
// read anew, and no part of the state.
//
// Example:
//
//	sums.Count(before, -1)
//	sums.Count(after, 1)
//	use, system := sums.Of("team", "global")
package asked

import (
	"cmp"
	"maps"
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// Sums are those of all namespaces. The zero value is of no jobs.
type Sums struct{ spaces map[string]*space }

// space is one namespace.
type space struct {
	regions map[string]*tenancy.Use
	system  map[string]*model.Job // by id
}

// rowsAlone are the facts of rows.
type rowsAlone struct{}

// Nodes implements tenancy.Facts.
func (rowsAlone) Nodes(*model.Job) int { return 0 }

// Done implements tenancy.Facts.
func (rowsAlone) Done(*model.Job, *model.TaskGroup) []int { return nil }

// Count adds a job, or takes one away (by is 1 or -1).
func (s *Sums) Count(j *model.Job, by int) {
	n := s.spaces[j.Namespace]
	if n == nil {
		n = &space{regions: make(map[string]*tenancy.Use), system: make(map[string]*model.Job)}
		if s.spaces == nil {
			s.spaces = make(map[string]*space)
		}
		s.spaces[j.Namespace] = n
	}
	if j.Type == model.JobTypeSystem || j.Type == model.JobTypeSysbatch {
		if delete(n.system, j.ID); by > 0 {
			n.system[j.ID] = j
		}
	} else {
		use := n.regions[j.Region]
		if use == nil {
			use = &tenancy.Use{}
			n.regions[j.Region] = use
		}
		if use.Count(j, rowsAlone{}, by); *use == (tenancy.Use{}) {
			delete(n.regions, j.Region)
		}
	}
	if len(n.regions) == 0 && len(n.system) == 0 {
		delete(s.spaces, j.Namespace)
	}
}

// Of is what the jobs of a namespace ask for in a region, and its system jobs by id.
func (s *Sums) Of(namespace, region string) (use tenancy.Use, system []*model.Job) {
	n := s.spaces[namespace]
	if n == nil {
		return use, nil
	}
	if u := n.regions[region]; u != nil {
		use = *u
	}
	for j := range maps.Values(n.system) {
		if j.Region == region {
			system = append(system, j)
		}
	}
	slices.SortFunc(system, func(a, b *model.Job) int { return cmp.Compare(a.ID, b.ID) })
	return use, system
}
