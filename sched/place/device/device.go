// Package device chooses devices of nodes for tasks: GPUs, FPGAs, network cards. It is
// part of the scheduler: pure.
//
// Contract and invariants:
//
//   - A request is met by devices of one group of equal ones, as many as it asks for, that
//     are healthy and that no other allocation holds.
//   - All requests of an instance are met together or none is: where the first choice for
//     one leaves nothing for another, other groups are tried.
//   - Among the groups of a node the one that a request's affinities like best is taken,
//     and of it the devices whose ids come first: the same input gives the same devices.
//
// Example:
//
//	asks := device.Asks(group)
//	granted, lack := device.Assign(device.Groups(node), used, asks)
package device

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/relation"
)

// Ask is a task's request, compiled once for many instances.
type Ask struct {
	Task  string
	Name  string // as asked for: type, vendor/type or vendor/type/name
	Count int
	parts [3]string // vendor, type, name; "" is any
	rules []*rule
	likes []liking
	// Unique tells that a constraint looks at what tells single nodes apart, and
	// LikesUnique that an affinity does: the ids of devices.
	Unique, LikesUnique bool
}

type liking struct {
	*rule
	weight float64
}

// Asks are the requests of a group's tasks, in their order.
func Asks(g *model.TaskGroup) []Ask {
	var out []Ask
	for _, t := range g.Tasks {
		if t.Resources == nil {
			continue
		}
		for _, d := range t.Resources.Devices {
			a := Ask{Task: t.Name, Name: d.Name, Count: int(min(d.Count, math.MaxInt32)), parts: Parts(d.Name)}
			for _, c := range d.Constraints {
				a.rules = append(a.rules, newRule(c.LTarget, c.Operand, c.RTarget))
			}
			for _, f := range d.Affinities {
				a.likes = append(a.likes, liking{newRule(f.LTarget, f.Operand, f.RTarget), float64(f.Weight)})
			}
			a.Unique = slices.ContainsFunc(a.rules, (*rule).unique)
			a.LikesUnique = slices.ContainsFunc(a.likes, func(l liking) bool { return l.unique() })
			out = append(out, a)
		}
	}
	return out
}

// Parts are the vendor, type and name that a request's name says; "" where it says none.
func Parts(name string) [3]string {
	switch p := strings.SplitN(name, "/", 3); len(p) {
	case 1:
		return [3]string{"", p[0], ""}
	case 2:
		return [3]string{p[0], p[1], ""}
	default:
		return [3]string{p[0], p[1], p[2]}
	}
}

// named tells whether a group's devices are those that the request's name says.
func (a *Ask) named(d *model.NodeDeviceResource) bool {
	for i, have := range [3]string{d.Vendor, d.Type, d.Name} {
		if a.parts[i] != "" && a.parts[i] != have {
			return false
		}
	}
	return true
}

// Lacks tells why no device of a node can be meant by the request, whoever holds them, or
// "". It is the same for all nodes of a class, but for Unique.
func (a *Ask) Lacks(node []*model.NodeDeviceResource) string {
	why := "missing device " + a.Name
	for _, d := range node {
		if d == nil || !a.named(d) {
			continue
		}
		unmet := a.unmet(d)
		if unmet == nil {
			return ""
		}
		why = "device " + a.Name + ": " + unmet.text
	}
	return why
}

// unmet is the first constraint that a group's devices do not meet.
func (a *Ask) unmet(d *model.NodeDeviceResource) *rule {
	for _, r := range a.rules {
		if !r.met(d) {
			return r
		}
	}
	return nil
}

// Likes are the weights of the request's affinities that a node's devices meet, of the
// group that meets most, and what all weights amount to.
func (a *Ask) Likes(node []*model.NodeDeviceResource) (met, all float64) {
	met = math.Inf(-1)
	for _, d := range node {
		if d != nil && a.named(d) && a.unmet(d) == nil {
			met = max(met, a.liked(d))
		}
	}
	for _, l := range a.likes {
		all += math.Abs(l.weight)
	}
	if math.IsInf(met, -1) {
		return 0, all
	}
	return met, all
}

// Prefers tells whether the request has affinities.
func (a *Ask) Prefers() bool { return len(a.likes) > 0 }

func (a *Ask) liked(d *model.NodeDeviceResource) float64 {
	sum := 0.0
	for _, l := range a.likes {
		if l.met(d) {
			sum += l.weight
		}
	}
	return sum
}

// Group is a group of equal devices of a node, in the form it is asked in.
type Group struct {
	*model.NodeDeviceResource
	key     string
	ids     []string // of all, sorted
	healthy []string // of those that may be handed out, sorted
}

// Groups are the devices of a node.
func Groups(n *model.Node) []Group {
	if n.NodeResources == nil {
		return nil
	}
	var out []Group
	for _, d := range n.NodeResources.Devices {
		if d == nil {
			continue
		}
		g := Group{NodeDeviceResource: d, key: key(d.Vendor, d.Type, d.Name)}
		for _, one := range d.Instances {
			if one == nil {
				continue
			}
			g.ids = append(g.ids, one.ID)
			if one.Healthy {
				g.healthy = append(g.healthy, one.ID)
			}
		}
		slices.Sort(g.ids)
		slices.Sort(g.healthy)
		out = append(out, g)
	}
	return out
}

func key(vendor, kind, name string) string { return vendor + "/" + kind + "/" + name + "/" }

// Made is a group of devices made up to meet the request as far as it says plainly what
// that is, each with an id of the prefix; and what the request asks of them in words.
func (a *Ask) Made(prefix string, count int) (made *model.NodeDeviceResource, words string) {
	made = &model.NodeDeviceResource{
		Vendor: cmp.Or(a.parts[0], "any"), Type: a.parts[1], Name: cmp.Or(a.parts[2], "any"), Attributes: map[string]*model.Attribute{},
	}
	for i := range count {
		made.Instances = append(made.Instances, &model.NodeDevice{ID: prefix + strconv.Itoa(i), Healthy: true})
	}
	words = a.Name
	for i, r := range a.rules {
		words += []string{" with ", " and "}[min(i, 1)] + r.text
		switch r.operator {
		case "=", "==", "is", "", ">=", "<=", relation.SetContains:
			r.give(made)
		}
	}
	return made, words
}

// give has devices say what a rule compares with.
func (r *rule) give(d *model.NodeDeviceResource) {
	switch r.target {
	case targetVendor:
		d.Vendor = r.right
	case targetType:
		d.Type = r.right
	case targetModel:
		d.Name = r.right
	}
	if name, ok := strings.CutPrefix(r.target, targetAttr); ok {
		value := r.right
		d.Attributes[name] = &model.Attribute{StringVal: &value}
	}
}
