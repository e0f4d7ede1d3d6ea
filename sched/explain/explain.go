// Package explain turns a failed placement into words that help: the smallest
// single changes that would let it succeed, each tried with the very
// feasibility function that refused it.
//
// Contract and invariants:
//
//   - Every remedy but the last resort was tried: with that change alone the
//     group fits on at least one node of the board as it is.
//   - Small changes come first; at most MaxRemedies are named.
//   - The board is not changed.
//
// Example:
//
//	metric.Remedies = explain.Remedies(board, place.NewAsk(job, group))
//	// "lower memory from 512 MB to 384 MB (fits on node n3)"
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/sched/place"
)

const (
	// MaxRemedies bounds what a person reads.
	MaxRemedies = 5
	// maxTrials bounds the changes that are tried: each looks at every node.
	maxTrials = 32
)

// Costs order remedies: of a change in the job's numbers by how much is lost,
// then what takes more and more of a hand to change.
const (
	costReady      = 0.05 // a node is there already
	costPort       = 1.1
	costConstraint = 1.2
	costDevice     = 1.25
	costPeers      = 1.3
	costDriver     = 1.4
	costDatacenter = 1.5
	costPool       = 1.6
)

type remedy struct {
	cost float64
	text string
}

type search struct {
	board  *place.Board
	ask    *place.Ask
	trials int
	found  []remedy
}

// Remedies names what would let one more instance of the ask be placed, the
// smallest change first. There is always at least one.
func Remedies(b *place.Board, a *place.Ask) []string {
	s := &search{board: b, ask: a}
	s.unready()
	s.amounts()
	s.ports()
	s.devices()
	s.constraints()
	s.drivers()
	s.where()
	out := s.ordered()
	if len(out) < MaxRemedies {
		out = append(out, s.client())
	}
	return out
}

// OnNodes is Remedies for a system job that has too little room on some of the
// nodes it should run on: other nodes do not help.
func OnNodes(b *place.Board, a *place.Ask) []string {
	s := &search{board: b, ask: a.OncePerNode()}
	s.amounts()
	s.ports()
	s.devices()
	return append(s.ordered(), "give the exhausted nodes more room, or keep the job off them with a constraint")
}

// ordered are the texts of what was found.
func (s *search) ordered() []string {
	slices.SortStableFunc(s.found, func(x, y remedy) int { return cmp.Compare(x.cost, y.cost) })
	var out []string
	for _, r := range s.found[:min(len(s.found), MaxRemedies)] {
		out = append(out, r.text)
	}
	return out
}

func (s *search) add(cost float64, format string, args ...any) {
	s.found = append(s.found, remedy{cost, fmt.Sprintf(format, args...)})
}

// fits tries a changed ask.
func (s *search) fits(a *place.Ask) (int, string) {
	if s.trials++; s.trials > maxTrials {
		return 0, ""
	}
	n, on := s.board.Try(a)
	if n == 0 {
		return 0, ""
	}
	return n, on.Name
}

func (s *search) unready() {
	n, on, why := s.board.Unready(s.ask)
	if n > 0 {
		s.add(costReady, "have node %s take work again: %s%s", on.Name, why, others(n, "; so is ", "; so are "))
	}
}

// others says how many nodes there are beside the one that is named.
func others(n int, one, many string) string {
	switch n {
	case 1:
		return ""
	case 2:
		return one + "1 other"
	}
	return fmt.Sprintf("%s%d others", many, n-1)
}

// amounts looks for the most that can be had of each dimension alone.
func (s *search) amounts() {
	need := s.ask.Needs()
	for _, d := range []struct {
		name, unit string
		have       int64
		set        func(n *place.Amounts, v int64)
	}{
		{place.DimMemory, " MB", need.Memory, func(n *place.Amounts, v int64) { n.Memory = v }},
		{place.DimCPU, " MHz", need.CPU, func(n *place.Amounts, v int64) { n.CPU = v }},
		{place.DimDisk, " MB", need.Disk, func(n *place.Amounts, v int64) { n.Disk = v }},
		{place.DimCores, "", int64(need.Cores), func(n *place.Amounts, v int64) { n.Cores = int(v) }},
	} {
		if d.have <= 0 {
			continue
		}
		less := need
		d.set(&less, 0)
		left, on := s.board.Most(s.ask.With(less), d.name)
		if on == nil || left <= 0 || left >= d.have {
			continue
		}
		d.set(&less, left)
		if n, _ := s.fits(s.ask.With(less)); n == 0 {
			continue
		}
		what := d.name
		if len(s.ask.Group.Tasks) > 1 {
			what = "the tasks' " + d.name + " together"
		}
		s.add(1-float64(left)/float64(d.have), "lower %s from %d%s to %d%s (fits on node %s)", what, d.have, d.unit, left, d.unit, where(on))
	}
}

func where(n *model.Node) string {
	if n.NodeClass != "" {
		return n.Name + " of class " + n.NodeClass
	}
	return n.Name
}

func (s *search) ports() {
	for i, p := range s.ask.Ports {
		if n, on := s.fits(s.ask.WithoutPort(i)); n > 0 {
			if p.Value == 0 {
				s.add(costPort, "free a dynamic port, or leave out port %q (fits on node %s)", p.Label, on)
				continue
			}
			s.add(costPort, "free port %d on node %s, or let port %q be dynamic", p.Value, on, p.Label)
		}
	}
}

func (s *search) devices() {
	for i, d := range s.ask.Devices {
		n, on := s.fits(s.ask.WithoutDevice(i))
		switch {
		case n == 0:
		case d.Count == 1:
			s.add(costDevice, "let task %q do without device %s (fits on node %s)", d.Task, d.Name, on)
		default:
			s.add(costDevice, "let task %q ask for fewer than %d of device %s, or for none (fits on node %s)", d.Task, d.Count, d.Name, on)
		}
	}
}

func (s *search) constraints() {
	for i, text := range s.ask.Constraints() {
		if n, on := s.fits(s.ask.WithoutConstraint(i)); n > 0 {
			s.add(costConstraint, "remove the constraint %s (fits on node %s%s)", text, on, others(n, " and ", " and "))
		}
	}
	if !s.ask.LimitsPeers() {
		return
	}
	if n, on := s.fits(s.ask.WithoutPeerLimits()); n > 0 {
		s.add(costPeers, "add a client, lower count, or remove distinct_hosts and distinct_property (fits on node %s)", on)
	}
}

func (s *search) drivers() {
	if n, on := s.fits(s.ask.WithoutDrivers()); n > 0 {
		s.add(costDriver, "enable the driver %s on a client such as node %s", strings.Join(s.ask.Drivers, ", "), on)
	}
}

// where looks at other datacenters and pools.
func (s *search) where() {
	list := strings.Join(s.ask.DCs, ", ")
	if n, on := s.board.Try(s.ask.WithDatacenters("*")); n > 0 {
		s.add(costDatacenter, "add datacenter %q to the job's datacenters (fits on node %s), or start a client in %s", on.Datacenter, on.Name, list)
	}
	if n, on := s.board.Try(s.ask.WithPool(model.AllNodePool)); n > 0 {
		s.add(costPool, "set node_pool to %q (fits on node %s), or start a client in pool %q", on.NodePool, on.Name, s.ask.Pool)
	}
}

// client is the last resort: a node made for the ask.
func (s *search) client() string {
	need := s.ask.Needs()
	var b strings.Builder
	fmt.Fprintf(&b, "start a client in ")
	if len(s.ask.DCs) == 1 && s.ask.DCs[0] != "*" {
		fmt.Fprintf(&b, "datacenter %s and ", s.ask.DCs[0])
	}
	fmt.Fprintf(&b, "node pool %s with at least ", s.ask.Pool)
	if need.CPU > 0 {
		fmt.Fprintf(&b, "%d MHz, ", need.CPU)
	}
	if need.Cores > 0 {
		fmt.Fprintf(&b, "%d cores to reserve, ", need.Cores)
	}
	fmt.Fprintf(&b, "%d MB of memory and %d MB of disk", need.Memory, need.Disk)
	if len(s.ask.Drivers) > 0 {
		fmt.Fprintf(&b, ", driver %s", strings.Join(s.ask.Drivers, ", "))
	}
	for _, d := range s.ask.Devices {
		fmt.Fprintf(&b, ", %d of device %s", d.Count, d.Name)
	}
	for _, c := range s.ask.Constraints() {
		fmt.Fprintf(&b, ", %s", c)
	}
	return b.String()
}
