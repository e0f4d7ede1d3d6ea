package pilot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
)

// noVersion stands for what is no version.
var noVersion = version.Must(version.NewVersion("0.0.0-0"))

// number is a server's version.
func (s *Server) number() *version.Version {
	v, err := version.NewVersion(strings.TrimSpace(s.Version))
	if err != nil {
		return noVersion
	}
	return v
}

// migration finds out what there is to migrate, and whether it can begin. Newer
// servers that failed hold up nobody.
//
//	waiting ──as many newer servers as old voters──► ready ──► no old voter
//	        ◄──────a newer one fails meanwhile──────
func (p *plan) migration() {
	p.ready = true
	if !p.set.Migrate {
		return
	}
	for _, s := range p.servers {
		if v := s.number(); !s.NonVoter && !s.Failed && (p.target == nil || v.GreaterThan(p.target)) {
			p.target = v
		}
	}
	if p.target == nil {
		return
	}
	voters := 0
	for _, s := range p.servers {
		if s.Voter && !s.NonVoter && p.old(s) {
			voters++
			if v := s.number(); p.oldest == nil || v.GreaterThan(p.oldest) {
				p.oldest = v
			}
		}
	}
	p.ready = p.arrived() >= voters
}

// arrived is how many votes the newer servers could have.
func (p *plan) arrived() int {
	able := func(s *Server) bool { return !p.old(s) && (s.Stable || s.Voter && s.Healthy) }
	n := 0
	for _, s := range p.free {
		n += bit(able(s))
	}
	for _, zone := range p.zones {
		n += bit(slices.ContainsFunc(zone, able))
	}
	return n
}

// old tells whether a server is of another version than the newest.
func (p *plan) old(s *Server) bool { return p.target != nil && !s.number().Equal(p.target) }

// held tells whether a server waits for its vote because of its version: a newer
// one until enough of them are there, an old one for ever once they are.
func (p *plan) held(s *Server) bool {
	if p.ready {
		return p.old(s)
	}
	return p.oldest != nil && s.number().GreaterThan(p.oldest) || !p.old(s)
}

// seatFree gives seats to the servers that need share none.
func (p *plan) seatFree() {
	var newVoters, oldVoters, oldStandby, waiting int
	var next []*Server // newer ones that could be promoted
	for _, s := range p.free {
		switch {
		case s.Voter && p.old(s):
			oldVoters++
		case s.Voter:
			newVoters += bit(s.Healthy)
		case p.old(s):
			oldStandby++
		default:
			waiting++
			if s.Stable {
				next = append(next, s)
			}
		}
	}
	for _, s := range p.free {
		p.seats[s.ID] = s.Voter || !p.held(s)
	}
	if !p.ready || oldVoters == 0 {
		return
	}
	// As many as there are old voters, and more only when going without the old
	// ones would be less safe than now: those that are beside show that this is a
	// migration. Without any of that it is an upgrade in place, binary by binary:
	// nothing replaces the old ones then but they themselves.
	safe := tolerance(newVoters) >= tolerance(newVoters+oldVoters)
	want := max(oldVoters-newVoters, 0)
	if newVoters > oldVoters && !safe {
		want = 1
	}
	want = min(want, len(next))
	for i, s := range next {
		p.seats[s.ID] = i < want
	}
	if want > 0 || newVoters < oldVoters {
		return
	}
	if newVoters == oldVoters || oldStandby+waiting > 0 || safe {
		for _, s := range p.free {
			p.seats[s.ID] = p.seats[s.ID] && !p.old(s)
		}
	}
}

// seatZones gives each zone's seat to one of its servers, and the seats of zones
// that are lost to standbys of others.
func (p *plan) seatZones() {
	vacant, lost := 0, 0
	var beside, spare []*Server // voters and standbys without a seat
	var dead []*Server          // voters of vacant zones
	for _, name := range p.names {
		zone := p.zones[name]
		holder := p.holder(zone)
		if holder != nil {
			p.seats[holder.ID] = true
		} else {
			gone := !slices.ContainsFunc(zone, func(s *Server) bool { return !s.Failed })
			if gone || slices.ContainsFunc(zone, func(s *Server) bool { return !s.Failed && !p.held(s) }) {
				vacant, lost = vacant+1, lost+bit(gone)
			}
		}
		for _, s := range zone {
			switch {
			case s == holder:
			case s.Voter && s.Failed && holder == nil:
				dead = append(dead, s)
			case s.Voter && !s.Failed:
				beside = append(beside, s)
			case !s.Voter && s.Stable && !p.held(s):
				spare = append(spare, s)
			}
		}
	}
	// Who votes already stays until each zone has its own voter again.
	slices.SortStableFunc(beside, func(a, b *Server) int {
		return cmp.Or(bit(b.Healthy)-bit(a.Healthy), bit(p.old(a))-bit(p.old(b)))
	})
	kept := beside[:min(vacant, len(beside))]
	added := spare[:min(max(lost-len(kept), 0), len(spare))]
	for _, s := range append(kept, added...) {
		p.seats[s.ID] = true
	}
	// The dead keep the votes that nobody took.
	taken := min(len(kept)+len(added), len(dead))
	for _, s := range dead[taken:] {
		p.seats[s.ID] = true
	}
}

// holder is who should have the zone's seat, nil when nobody can.
func (p *plan) holder(zone []*Server) *Server {
	failed := slices.ContainsFunc(zone, func(s *Server) bool { return s.Voter && s.Failed })
	var able []*Server
	for _, s := range zone {
		if s.Voter && !s.Failed || !s.Voter && s.Stable && (failed || !p.held(s)) {
			able = append(able, s)
		}
	}
	if len(able) == 0 {
		return nil
	}
	replace := p.ready && slices.ContainsFunc(able, func(s *Server) bool { return s.Voter && p.old(s) })
	return slices.MinFunc(able, func(a, b *Server) int {
		fresh := func(s *Server) int { return bit(replace && (p.old(s) || !s.Healthy)) }
		voting := func(s *Server) int { return bit(!s.Voter) + bit(!(s.Voter && s.Healthy)) }
		held := func(s *Server) int {
			if s.Voter {
				return bit(p.old(s))
			}
			return bit(p.held(s))
		}
		return cmp.Or(
			fresh(a)-fresh(b), voting(a)-voting(b), held(a)-held(b), bit(b.Leader)-bit(a.Leader),
			bit(b.Stable)-bit(a.Stable), cmp.Compare(a.ID, b.ID))
	})
}
