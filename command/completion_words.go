package command

import "sort"

type entry struct {
	key   string
	words []string
}

// sorted gives the map a stable order.
func sorted(m map[string][]string) []entry {
	var out []entry
	for k, w := range m {
		sort.Strings(w)
		out = append(out, entry{k, w})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out
}
