package device

import (
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/held"
)

// Use counts how many allocations hold a device, by its key: vendor/type/name/id.
type Use = held.Use[string]

// AppendKeys adds the devices that a task was granted to a list, which is to be sorted
// before it is booked.
func AppendKeys(out []string, t *model.AllocatedTaskResources) []string {
	for _, d := range t.Devices {
		for _, id := range d.DeviceIDs {
			out = append(out, key(d.Vendor, d.Type, d.Name)+id)
		}
	}
	return out
}

// Granted tells which of the devices that a grant names a node does not have, or has given
// to another, by the name of its group; "" for none.
func Granted(groups []Group, used []Use, keys []string) (lack string) {
	for i, k := range keys {
		if held.Has(used, k) || i > 0 && keys[i-1] == k || !slices.ContainsFunc(groups, func(g Group) bool { return g.has(k) }) {
			return k[:strings.LastIndex(k, "/")]
		}
	}
	return ""
}

func (g *Group) has(k string) bool {
	id, ok := strings.CutPrefix(k, g.key)
	if !ok {
		return false
	}
	_, ok = slices.BinarySearch(g.ids, id)
	return ok
}
