package device

import (
	"cmp"
	"slices"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/held"
)

// maxTries bounds the search for groups that meet all requests of an instance: those of
// real jobs are a few, of a few groups.
const maxTries = 4096

// Grant is what a task gets for one of its requests.
type Grant struct {
	Task   string
	Device *model.AllocatedDeviceResource
}

// Assign chooses devices for all asks among those that used does not hold. lack is the
// name of a request for which too few are left, or "".
func Assign(groups []Group, used []Use, asks []Ask) (granted []Grant, lack string) {
	s := &search{groups: groups, used: used, asks: asks, granted: make([]Grant, 0, len(asks))}
	if s.from(0) {
		return s.granted, ""
	}
	return nil, s.lack
}

// Fits tells whether all asks can be met; lack as of Assign.
func Fits(groups []Group, used []Use, asks []Ask) (lack string) {
	_, lack = Assign(groups, used, asks)
	return lack
}

// search is one for groups that meet all requests.
type search struct {
	groups  []Group
	used    []Use
	asks    []Ask
	granted []Grant
	taken   []string // keys of devices
	deepest int
	lack    string
	tries   int
}

// from meets the requests from number i on.
func (s *search) from(i int) bool {
	if i == len(s.asks) {
		return true
	}
	a := &s.asks[i]
	if i >= s.deepest {
		s.deepest, s.lack = i, a.Name
	}
	for _, g := range s.candidates(a) {
		ids := s.free(g, a.Count)
		if s.tries++; len(ids) < a.Count || s.tries > maxTries {
			continue
		}
		grants, taken := len(s.granted), len(s.taken)
		s.granted = append(s.granted, Grant{a.Task, &model.AllocatedDeviceResource{Vendor: g.Vendor, Type: g.Type, Name: g.Name, DeviceIDs: ids}})
		for _, id := range ids {
			s.taken = append(s.taken, g.key+id)
		}
		if s.from(i + 1) {
			return true
		}
		s.granted, s.taken = s.granted[:grants], s.taken[:taken]
	}
	return false
}

// candidates are the groups that may meet a request, the best first.
func (s *search) candidates(a *Ask) []*Group {
	var out []*Group
	for i := range s.groups {
		if g := &s.groups[i]; a.named(g.NodeDeviceResource) && a.unmet(g.NodeDeviceResource) == nil {
			out = append(out, g)
		}
	}
	if len(a.likes) > 0 {
		slices.SortStableFunc(out, func(x, y *Group) int {
			return cmp.Compare(a.liked(y.NodeDeviceResource), a.liked(x.NodeDeviceResource))
		})
	}
	return out
}

// free are the first n devices of a group that nobody holds, or as many as there are.
func (s *search) free(g *Group, n int) []string {
	var out []string
	for _, id := range g.healthy {
		if len(out) == n {
			break
		}
		if k := g.key + id; !held.Has(s.used, k) && !slices.Contains(s.taken, k) {
			out = append(out, id)
		}
	}
	return out
}
