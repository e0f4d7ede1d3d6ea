package pilot

import (
	"cmp"
	"slices"

	"github.com/hashicorp/go-version"
)

// Settings are what of autopilot's settings decides who votes.
type Settings struct {
	// Zones gives each redundancy zone one vote.
	Zones bool
	// Migrate has newer servers wait until they can replace all older ones.
	Migrate bool
}

// Server is a member of the raft configuration, as Decide sees it.
type Server struct {
	ID string
	// Zone is its redundancy zone, "" for none.
	Zone string
	// Version is what counts for migrations. What is no version is older than all.
	Version string
	// NonVoter servers never vote.
	NonVoter bool
	Voter    bool
	Leader   bool
	// Healthy servers answer and follow; Stable ones did for long enough to get
	// a vote. Failed ones count as gone: gossip is sure, or they were not healthy
	// for as long. One that is neither Healthy nor Failed keeps what it has.
	Healthy, Stable, Failed bool
}

// Step is what is to be done next: promotions, or the hand-over of leadership, or
// demotions, never two of them.
type Step struct {
	Promote, Demote []string
	Leader          string // to be
}

// Empty tells that nothing is to be done.
func (s Step) Empty() bool { return len(s.Promote)+len(s.Demote) == 0 && s.Leader == "" }

// Decide is the next step towards the voters that there should be. It is a function
// of its arguments and keeps nothing: doing what it says and asking again comes to
// an end.
func Decide(set Settings, servers []Server) Step { return newPlan(set, servers).step() }

// quorum is how many of so many voters decide, tolerance how many may fail.
func quorum(voters int) int    { return voters/2 + 1 }
func tolerance(voters int) int { return voters - quorum(max(voters, 1)) }

// plan is one decision.
type plan struct {
	set     Settings
	servers []*Server // that are known, by id
	free    []*Server // may vote, without a zone that counts
	zones   map[string][]*Server
	names   []string // of the zones, sorted

	target *version.Version // the newest version that is there; nil: nothing to migrate
	ready  bool             // as many newer servers as old voters are there, or no old voter is
	oldest *version.Version // newest version of an old voter
	seats  map[string]bool  // who should vote
}

func newPlan(set Settings, servers []Server) *plan {
	p := &plan{set: set, zones: map[string][]*Server{}, seats: map[string]bool{}}
	for i := range servers {
		p.servers = append(p.servers, &servers[i])
	}
	slices.SortFunc(p.servers, func(a, b *Server) int { return cmp.Compare(a.ID, b.ID) })
	for _, s := range p.servers {
		switch {
		case s.NonVoter:
		case set.Zones && s.Zone != "":
			if p.zones[s.Zone] == nil {
				p.names = append(p.names, s.Zone)
			}
			p.zones[s.Zone] = append(p.zones[s.Zone], s)
		default:
			p.free = append(p.free, s)
		}
	}
	slices.Sort(p.names)
	p.migration()
	p.seatFree()
	p.seatZones()
	return p
}

// step is what comes next on the way to the seats: promotions first, so that no
// vote is missing meanwhile; then a leader that shall not vote, or is of an old
// version, hands over; then what is too many is demoted.
func (p *plan) step() Step {
	var out Step
	var surplus []*Server
	leader := (*Server)(nil)
	for _, s := range p.servers {
		switch {
		case p.seats[s.ID] && !s.Voter && s.Stable:
			out.Promote = append(out.Promote, s.ID)
		case s.Voter && !p.seats[s.ID]:
			surplus = append(surplus, s)
		}
		if s.Leader {
			leader = s
		}
	}
	if len(out.Promote) > 0 {
		return out
	}
	if leader != nil && (!p.seats[leader.ID] || p.ready && p.old(leader)) {
		if out.Leader = p.heir(leader); out.Leader != "" {
			return out
		}
	}
	out.Demote = p.demotions(surplus)
	return out
}

// heir is who should lead instead of leader, "" for nobody: one of the newest
// version, or while they wait any.
func (p *plan) heir(leader *Server) string {
	second := ""
	for _, s := range p.servers {
		if s == leader || !s.Voter || !s.Stable || !p.seats[s.ID] {
			continue
		}
		if !p.old(s) {
			return s.ID
		}
		if second == "" && !p.ready {
			second = s.ID
		}
	}
	return second
}

// demotions are those of surplus that can do without their vote: after each of
// them the healthy voters are a majority still, and one that shall vote is among
// them.
func (p *plan) demotions(surplus []*Server) []string {
	voters, healthy, seated := 0, 0, 0
	for _, s := range p.servers {
		if s.Voter {
			voters++
			if s.Healthy {
				healthy++
				if p.seats[s.ID] {
					seated++
				}
			}
		}
	}
	slices.SortStableFunc(surplus, func(a, b *Server) int { return bit(a.Healthy) - bit(b.Healthy) })
	var out []string
	for _, s := range surplus {
		if s.Leader || seated == 0 || healthy-bit(s.Healthy) < quorum(voters-1) {
			continue
		}
		voters, healthy = voters-1, healthy-bit(s.Healthy)
		out = append(out, s.ID)
	}
	return out
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
