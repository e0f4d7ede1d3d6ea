package device

import (
	"cmp"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// Use counts how many allocations hold a device. More than one can only be while a node
// reports late; it must be counted all the same.
type Use struct {
	Key string // vendor/type/name/id
	N   uint16
}

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

func find(used []Use, key string) (int, bool) {
	return slices.BinarySearchFunc(used, key, func(u Use, key string) int { return cmp.Compare(u.Key, key) })
}

// Held tells whether a device is in use.
func Held(used []Use, key string) bool {
	_, held := find(used, key)
	return held
}

// Book returns the list with each device counted sign more; used is kept.
func Book(used []Use, keys []string, sign int) []Use {
	out := slices.Clone(used)
	for _, key := range keys {
		at, ok := find(out, key)
		switch {
		case !ok && sign > 0:
			out = slices.Insert(out, at, Use{Key: key, N: 1})
		case ok && sign < 0 && out[at].N == 1:
			out = slices.Delete(out, at, at+1)
		case ok:
			out[at].N += uint16(sign)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Granted tells which of the devices that a grant names a node does not have, or has given
// to another, by the name of its group; "" for none.
func Granted(groups []Group, used []Use, keys []string) (lack string) {
	for i, k := range keys {
		if Held(used, k) || i > 0 && keys[i-1] == k || !slices.ContainsFunc(groups, func(g Group) bool { return g.has(k) }) {
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
