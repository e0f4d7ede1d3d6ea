// Package class tells which nodes no constraint on what they have in common can tell
// apart.
package class

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place/device"
)

// DefaultHostNetwork is the host network that ports use when they name none.
const DefaultHostNetwork = "default"

// UniquePrefix begins the names of attributes that tell single nodes apart.
const UniquePrefix = "unique."

// Computed is equal for nodes that no constraint on shared attributes can
// tell apart: it hashes datacenter, pool, class, attributes and meta without
// those that begin with "unique.", drivers with their detection and health, and
// the names of host networks and volumes, and the names and attributes of devices.
// Capacity is not part of it.
func Computed(n *model.Node) string {
	w := &classWriter{h: sha256.New()}
	w.text(n.Datacenter, n.NodePool, n.NodeClass)
	w.pairs("attributes", n.Attributes)
	w.pairs("meta", n.Meta)
	w.section("drivers", len(n.Drivers))
	for _, name := range sortedKeys(n.Drivers) {
		if d := n.Drivers[name]; d != nil {
			w.text(name)
			w.flag(d.Detected)
			w.flag(d.Healthy)
		}
	}
	w.names("host networks", networkNames(n))
	w.names("host volumes", sortedKeys(n.HostVolumes))
	if n.NodeResources != nil {
		w.section("devices", len(n.NodeResources.Devices))
		for _, d := range n.NodeResources.Devices {
			w.text(d.Vendor, d.Type, d.Name)
			w.section("device attributes", len(d.Attributes))
			for _, name := range sortedKeys(d.Attributes) {
				value, unit, ok := device.Text(d.Attributes[name])
				w.text(name, value, unit)
				w.flag(ok)
			}
		}
	}
	sum := w.h.Sum(nil)
	return "v1:" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// networkNames are the names of the node's host networks, sorted.
func networkNames(n *model.Node) []string {
	names := map[string]bool{}
	for name := range n.HostNetworks {
		names[name] = true
	}
	if n.NodeResources != nil {
		for _, net := range n.NodeResources.NodeNetworks {
			for _, a := range net.Addresses {
				names[a.Alias] = true
			}
		}
		for _, net := range n.NodeResources.Networks {
			if net.IP != "" {
				names[DefaultHostNetwork] = true
			}
		}
	}
	return sortedKeys(names)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// classWriter feeds a hash so that no two different inputs look the same: each
// text is preceded by its length.
type classWriter struct {
	h   hash.Hash
	buf []byte
}

func (w *classWriter) text(list ...string) {
	for _, s := range list {
		w.buf = binary.AppendUvarint(w.buf[:0], uint64(len(s)))
		w.buf = append(w.buf, s...)
		w.h.Write(w.buf)
	}
}

func (w *classWriter) section(name string, n int) {
	w.text(name)
	w.buf = binary.AppendUvarint(w.buf[:0], uint64(n))
	w.h.Write(w.buf)
}

func (w *classWriter) flag(b bool) {
	if b {
		w.text("yes")
	} else {
		w.text("no")
	}
}

func (w *classWriter) names(section string, list []string) {
	w.section(section, len(list))
	w.text(list...)
}

func (w *classWriter) pairs(section string, m map[string]string) {
	keys := slices.DeleteFunc(sortedKeys(m), func(k string) bool { return strings.HasPrefix(k, UniquePrefix) })
	w.section(section, len(keys))
	for _, k := range keys {
		w.text(k, m[k])
	}
}
