package advice

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/insight"
	"github.com/steppe-project/steppe/model/relation"
	"github.com/steppe-project/steppe/sched/place"
)

// maxKinds bounds the kinds of nodes of which more are tried.
const maxKinds = 4

// nodes looks for how many nodes more are needed: like those that there are, else made
// for the group.
func (s *search) nodes() {
	if s.system() {
		if s.state.Fleet().Len() > 0 && len(s.list) > 0 {
			return // other nodes do not help those that are exhausted
		}
	} else {
		var best []found
		for _, n := range s.kinds() {
			step := func(k int) *insight.Step {
				return &insight.Step{Do: insight.DoAdd, Group: s.group.Name, To: int64(k), Nodes: []string{n.ID}, Names: []string{n.Name}, Size: sizeOf(n)}
			}
			if k := least(s.lacking(), func(k int) bool { return s.try(step(k)) }); k > 0 {
				best = append(best, found{costAdd + 0.02*float64(k), insight.NewRemedy(true, step(k))})
			}
		}
		slices.SortStableFunc(best, func(a, b found) int { return cmp.Compare(a.cost, b.cost) })
		s.list = append(s.list, best[:min(len(best), 2)]...)
		if len(best) > 0 {
			return
		}
	}
	s.made()
}

// kinds are nodes that an instance would fit on if they were empty and ready: one of
// each size, class, pool and datacenter, the smallest first.
func (s *search) kinds() []*model.Node {
	var out []*model.Node
	seen := make(map[string]bool)
	for _, n := range s.state.AllNodes() {
		z := sizeOf(n)
		key := fmt.Sprint(z.Datacenter, "/", z.Pool, "/", z.Class, "/", z.CPU, "/", z.Memory, "/", z.Disk, "/", n.ComputedClass)
		if seen[key] {
			continue
		}
		seen[key] = true
		alone := place.NewFleet()
		alone.UpsertNode(clone(n, n.ID))
		if k, _ := place.NewBoard(alone, place.Settings{}).Try(s.ask); k > 0 {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b *model.Node) int {
		x, y := sizeOf(a), sizeOf(b)
		return cmp.Or(cmp.Compare(x.Memory, y.Memory), cmp.Compare(x.CPU, y.CPU), strings.Compare(a.ID, b.ID))
	})
	if len(out) > maxKinds { // the smallest, and the largest: of those few are enough
		out = append(out[:maxKinds-1:maxKinds-1], out[len(out)-1])
	}
	return out
}

func sizeOf(n *model.Node) *insight.Size {
	z := &insight.Size{Datacenter: n.Datacenter, Pool: n.NodePool, Class: n.NodeClass}
	if r := n.NodeResources; r != nil {
		z.CPU, z.Memory, z.Disk, z.Cores = r.Cpu.CpuShares, r.Memory.MemoryMB, r.Disk.DiskMB, len(r.Cpu.ReservableCpuCores)
	}
	return z
}

// coreMHz is the speed of the cores of nodes that are made up.
const coreMHz = 1000

// made is the last resort: nodes made for the group, one for all if they may share
// it, else one for each. They have room for the job's other groups, which may come
// there first. One that could not be tried is named too if nothing else is.
func (s *search) made() {
	own, all := s.ask.Needs(), s.needs()
	for _, try := range []struct {
		nodes int
		size  place.Amounts
	}{
		{1, times(own, s.missing)}, {s.missing, own}, {1, times(all, s.missing)}, {s.missing, all}, {s.lacking(), all},
	} {
		if step := s.tailored(try.nodes, try.size); s.try(step) {
			s.add(costMade, step)
			return
		}
	}
	if len(s.list) > 0 {
		return
	}
	// Constraints that no node meets, since they exclude each other perhaps.
	for _, r := range rules(s.job, s.group) {
		step := s.tailored(s.missing, all)
		step.Size.Rules = slices.DeleteFunc(step.Size.Rules, func(text string) bool { return text == r.step.What })
		if s.try(r.step, step) {
			s.add(costMade, r.step, step)
			return
		}
	}
	s.list = append(s.list, found{costMade, insight.NewRemedy(false, s.tailored(s.missing, all))})
}

// needs is what one instance of each group needs.
func (s *search) needs() place.Amounts {
	var all place.Amounts
	for _, g := range s.job.TaskGroups {
		n := place.NewAsk(s.job, g).Needs()
		all.CPU, all.Memory, all.Disk, all.Cores = all.CPU+n.CPU, all.Memory+n.Memory, all.Disk+n.Disk, all.Cores+n.Cores
	}
	return all
}

// lacking is how many instances of all groups cannot be placed.
func (s *search) lacking() int {
	n := 0
	for group := range s.plan.Eval.FailedTGAllocs {
		n += s.decision.missing(group)
	}
	return n
}

func times(a place.Amounts, n int) place.Amounts {
	return place.Amounts{CPU: a.CPU * int64(n), Memory: a.Memory * int64(n), Disk: a.Disk * int64(n), Cores: a.Cores * n}
}

// tailored adds nodes of a size that meet what the job asks of nodes.
func (s *search) tailored(nodes int, room place.Amounts) *insight.Step {
	z := &insight.Size{
		CPU: room.CPU + int64(room.Cores)*coreMHz, Memory: max(1, room.Memory), Disk: room.Disk, Cores: room.Cores,
		Datacenter: "dc1", Pool: s.ask.Pool,
	}
	if z.Pool == model.AllNodePool {
		z.Pool = model.DefaultNodePool
	}
	if len(s.ask.DCs) > 0 {
		z.Datacenter = cmp.Or(strings.NewReplacer("*", "", "?", "1").Replace(s.ask.DCs[0]), "dc1")
	}
	seen := make(map[string]bool)
	for _, g := range s.job.TaskGroups {
		if g != s.group && !s.system() {
			continue
		}
		ask := place.NewAsk(s.job, g)
		z.Drivers = append(z.Drivers, ask.Drivers...)
		for _, d := range ask.Devices {
			_, words := d.Made("", 0)
			z.Devices = append(z.Devices, words)
		}
		for _, r := range rules(s.job, g) {
			switch {
			case seen[r.step.What] || r.c.Operand == relation.DistinctHosts:
			case r.c.Operand == relation.DistinctProperty:
				z.Apart = append(z.Apart, r.c.LTarget)
			default:
				z.Rules = append(z.Rules, r.step.What)
			}
			seen[r.step.What] = true
		}
	}
	slices.Sort(z.Drivers)
	z.Drivers = slices.Compact(z.Drivers)
	slices.Sort(z.Devices)
	z.Devices = slices.Compact(z.Devices)
	return &insight.Step{Do: insight.DoAdd, Group: s.group.Name, To: int64(nodes), Size: z}
}

// made is a node of a size that meets a group's constraints, as far as one can be
// made up.
func made(job *model.Job, g *model.TaskGroup, z *insight.Size) *model.Node {
	n := &model.Node{
		Datacenter: z.Datacenter, NodePool: z.Pool, NodeClass: z.Class, Attributes: map[string]string{}, Meta: map[string]string{},
		Drivers: map[string]*model.DriverInfo{},
		NodeResources: &model.NodeResources{
			Cpu:    model.NodeCpuResources{CpuShares: z.CPU, TotalCpuCores: uint16(max(1, z.Cores)), CoreMHz: coreMHz},
			Memory: model.NodeMemoryResources{MemoryMB: z.Memory}, Disk: model.NodeDiskResources{DiskMB: z.Disk},
		},
	}
	for i := range z.Cores {
		n.NodeResources.Cpu.ReservableCpuCores = append(n.NodeResources.Cpu.ReservableCpuCores, uint16(i))
	}
	for _, d := range z.Drivers {
		n.Drivers[d] = &model.DriverInfo{Detected: true, Healthy: true}
	}
	for _, other := range job.TaskGroups {
		supply(n, job, other)
	}
	addresses := map[string]bool{place.DefaultHostNetwork: true}
	for _, net := range g.Networks {
		for _, p := range append(slices.Clone(net.ReservedPorts), net.DynamicPorts...) {
			if p.HostNetwork != "" {
				addresses[p.HostNetwork] = true
			}
		}
	}
	net := &model.NodeNetworkResource{Mode: "host", Device: "eth0"}
	for i, alias := range sorted(addresses) {
		net.Addresses = append(net.Addresses, model.NodeNetworkAddress{Family: "ipv4", Alias: alias, Address: fmt.Sprintf("192.0.2.%d", i+1)})
	}
	n.NodeResources.NodeNetworks = []*model.NodeNetworkResource{net}
	for _, other := range job.TaskGroups {
		for _, r := range rules(job, other) {
			if other == g || slices.Contains(z.Rules, r.step.What) {
				meet(n, r.c)
			}
		}
	}
	return n
}

// maxSupplied bounds the devices of one kind on a node that is made up.
const maxSupplied = 256

// supply gives a node the devices that all instances of a group ask for, as far as
// constraints say plainly which these are.
func supply(n *model.Node, job *model.Job, g *model.TaskGroup) {
	for _, d := range place.NewAsk(job, g).Devices {
		made, _ := d.Made(g.Name+"-"+d.Task+"-", min(d.Count*g.Count, maxSupplied))
		n.NodeResources.Devices = append(n.NodeResources.Devices, made)
	}
}

// meet gives a node what a constraint asks for, if it is plain what that is.
func meet(n *model.Node, c *model.Constraint) {
	value := strings.TrimSpace(c.RTarget)
	switch c.Operand {
	case relation.IsSet:
		value = "1"
	case relation.Version, relation.Semver:
		value, _, _ = strings.Cut(value, ",")
		value = strings.TrimLeft(value, "<>=!~ ")
	case relation.DistinctHosts, relation.DistinctProperty, relation.IsNotSet, "!=", "not", "<", ">", relation.Regexp:
		return
	}
	give(n, c.LTarget, value)
}

// give has a node have a value where a target looks for it.
func give(n *model.Node, target, value string) {
	n.Attributes, n.Meta = maps.Clone(n.Attributes), maps.Clone(n.Meta)
	name := strings.TrimSuffix(strings.TrimPrefix(target, "${"), "}")
	if key, ok := strings.CutPrefix(name, "attr."); ok {
		n.Attributes[key] = value
	} else if key, ok := strings.CutPrefix(name, "meta."); ok {
		n.Meta[key] = value
	} else if name == "node.class" {
		n.NodeClass = value
	}
}
