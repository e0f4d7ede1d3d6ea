package pilot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// parse reads servers such as "a1:V,z=a,v=1.0 b1:n!". Behind the colon: V a voter,
// L the leader, n no voter; then ! failed, ? not healthy for a moment, ~ healthy but
// not for long enough, x never to vote.
func parse(text string) []Server {
	var out []Server
	for _, word := range strings.Fields(text) {
		id, rest, _ := strings.Cut(word, ":")
		parts := strings.Split(rest, ",")
		has := func(c string) bool { return strings.Contains(parts[0], c) }
		s := Server{ID: id, Version: "1.0.0", Voter: has("V") || has("L"), Leader: has("L"), NonVoter: has("x"), Failed: has("!")}
		s.Healthy = !has("!") && !has("?")
		s.Stable = s.Healthy && !has("~")
		for _, p := range parts[1:] {
			switch key, v, _ := strings.Cut(p, "="); key {
			case "z":
				s.Zone = v
			case "v":
				s.Version = v
			}
		}
		out = append(out, s)
	}
	return out
}

func (s Step) String() string {
	var out []string
	for _, id := range s.Promote {
		out = append(out, "+"+id)
	}
	for _, id := range s.Demote {
		out = append(out, "-"+id)
	}
	if s.Leader != "" {
		out = append(out, ">"+s.Leader)
	}
	return strings.Join(out, " ")
}

// do is what a cluster becomes by a step.
func do(servers []Server, step Step) {
	for i := range servers {
		s := &servers[i]
		s.Voter = (s.Voter || slices.Contains(step.Promote, s.ID)) && !slices.Contains(step.Demote, s.ID)
		if step.Leader != "" {
			s.Leader = s.ID == step.Leader
		}
	}
}

// course are the steps until nothing is left to do.
func course(set Settings, servers []Server) (out []Step, err error) {
	for range 4*len(servers) + 8 {
		step := Decide(set, servers)
		if step.Empty() {
			return out, nil
		}
		out = append(out, step)
		do(servers, step)
	}
	return out, fmt.Errorf("no end: %v", out)
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name, set, servers, want string
	}{
		// Without zones and versions: who is stable votes.
		{"all is well", "", "a:L b:V c:V", ""},
		{"a stable server", "", "a:L b:V c:V d:n", "+d"},
		{"not for long enough", "", "a:L b:V c:V d:n~ e:n? f:n!", ""},
		{"dead voters are cleaned up elsewhere", "", "a:L b:V c:V! d:n", "+d"},
		{"non-voters", "", "a:L b:V c:V d:nx", ""},
		{"one that became a non-voter", "", "a:L b:V c:V d:Vx", "-d"},
		{"the leader became a non-voter", "", "a:Lx b:V c:V", ">b | -a"},
		{"nobody may vote", "", "a:Lx b:Vx c:Vx", ""},
		{"demotion would take the majority", "", "a:L b:V! c:Vx", ""},
		{"zones that are not turned on", "", "a1:L,z=a a2:n,z=a b1:V,z=b", "+a2"},

		// Zones.
		{"one voter a zone", "zones", "a1:V,z=a a2:V,z=a b1:L,z=b b2:V,z=b c1:V,z=c c2:V,z=c", "-a2 -b2 -c2"},
		{"standbys stay", "zones", "a1:L,z=a a2:n,z=a b1:V,z=b b2:n,z=b c1:V,z=c c2:n,z=c", ""},
		{"a voter fails", "zones", "a1:V!,z=a a2:n,z=a b1:L,z=b c1:V,z=c", "+a2 | -a1"},
		{"a voter is not well for a moment", "zones", "a1:V?,z=a a2:n,z=a b1:L,z=b c1:V,z=c", ""},
		{"it is back", "zones", "a1:n,z=a a2:V,z=a b1:L,z=b c1:V,z=c", ""},
		{"its standby is not stable", "zones", "a1:V!,z=a a2:n~,z=a b1:L,z=b c1:V,z=c", ""},
		{"the leader keeps its zone's seat", "zones", "a1:V,z=a a2:L,z=a b1:V,z=b c1:V,z=c", "-a1"},
		{"a zone is lost", "zones", "a1:L,z=a a2:n,z=a b1:V,z=b b2:n,z=b c1:V!,z=c c2:n!,z=c", "+a2 | -c1"},
		{"a zone is lost, nobody is beside", "zones", "a1:L,z=a b1:V,z=b c1:V!,z=c", ""},
		{"two zones are lost", "zones", "a1:L,z=a a2:n,z=a b1:V,z=b b2:n,z=b c1:V,z=c d1:V!,z=d e1:V!,z=e", "+a2 +b2 | -d1 -e1"},
		{"a lost zone is back, not stable yet", "zones", "a1:L,z=a a2:V,z=a b1:V,z=b c1:n~,z=c", ""},
		{"a lost zone is back", "zones", "a1:L,z=a a2:V,z=a b1:V,z=b c1:n,z=c", "+c1 | -a2"},
		{"a new zone is no lost one", "zones", "a1:L,z=a a2:n,z=a b1:V,z=b c1:V,z=c d1:n~,z=d", ""},
		{"servers without a zone", "zones", "a1:L,z=a a2:n,z=a b1:V,z=b x:n y:V", "+x"},

		// Migrations.
		{"too few new servers", "migrate", "a:L b:V c:V d:n,v=1.1.0 e:n,v=1.1.0", ""},
		{"new ones not stable", "migrate", "a:L b:V c:V d:n,v=1.1.0 e:n,v=1.1.0 f:n~,v=1.1.0", ""},
		{"as many as old ones", "migrate", "a:L b:V c:V d:n,v=1.1.0 e:n,v=1.1.0 f:n,v=1.1.0", "+d +e +f | >d | -a -b -c"},
		{"one more", "migrate", "a:L b:V c:V d:n,v=1.1.0 e:n,v=1.1.0 f:n,v=1.1.0 g:n,v=1.1.0", "+d +e +f | >d | -a -b -c | +g"},
		{"fewer old voters than new servers", "migrate", "a:L b:n,v=1.1.0", "+b | >b | -a"},
		{"in the middle of it", "migrate", "a:L b:V c:n d:V,v=1.1.0 e:V,v=1.1.0 f:V,v=1.1.0", ">d | -a -b"},
		{"done, the old ones stay", "migrate", "a:n b:n c:n d:L,v=1.1.0 e:V,v=1.1.0 f:V,v=1.1.0", ""},
		{"a new one fails during it", "migrate", "a:V b:V c:V d:L,v=1.1.0 e:V,v=1.1.0 f:V!,v=1.1.0", ""},
		{"a further old one while waiting", "migrate", "a:L b:V c:V d:n,v=1.1.0 e:n", "+e"},
		{"in place, one of three", "migrate", "a:L b:V c:V,v=1.1.0", ""},
		{"in place, two of three", "migrate", "a:L b:V,v=1.1.0 c:V,v=1.1.0", ">b"},
		{"in place, three of five", "migrate", "a:V b:V c:V,v=1.1.0 d:V,v=1.1.0 e:L,v=1.1.0", ""},
		{"turned off", "", "a:L b:V c:V d:n,v=1.1.0", "+d"},
		{"an older server joins", "migrate", "a:L b:V c:V d:n,v=0.9.0", ""},
		{"what is no version is old", "migrate", "a:L b:V c:V d:n,v=dev", ""},
		{"two newer versions", "migrate", "a:L b:V c:V d:n,v=1.1.0 e:n,v=1.1.0 f:n,v=1.1.0 g:n,v=1.2.0", ""},
		{"a build's metadata is no version", "migrate", "a:L b:V c:V d:n,v=1.0.0+x", "+d"},
		{"a non-voter of a new version", "migrate", "a:L b:V c:V x:nx,v=2.0.0 d:n", "+d"},

		// Both.
		{"zones: waiting for all", "zones migrate", "a1:L,z=a b1:V,z=b c1:V,z=c a2:n,z=a,v=1.1.0 b2:n,z=b,v=1.1.0", ""},
		{"zones: three new ones of one zone are one vote", "zones migrate", "a1:L,z=a b1:V,z=b c1:V,z=c a2:n,z=a,v=1.1.0 a3:n,z=a,v=1.1.0 a4:n,z=a,v=1.1.0", ""},
		{"zones: all are there", "zones migrate", "a1:L,z=a b1:V,z=b c1:V,z=c a2:n,z=a,v=1.1.0 b2:n,z=b,v=1.1.0 c2:n,z=c,v=1.1.0", "+a2 +b2 +c2 | >a2 | -a1 -b1 -c1"},
		{"zones: other zones", "zones migrate", "a1:L,z=a b1:V,z=b c1:V,z=c a2:n,z=a,v=1.1.0 b2:n,z=b,v=1.1.0 d2:n,z=d,v=1.1.0", "+a2 +b2 +d2 | >a2 | -a1 -b1"},
		{"zones: a voter fails meanwhile, its standby is new", "zones migrate", "a1:V!,z=a b1:L,z=b c1:V,z=c a2:n,z=a,v=1.1.0", "+a2 | -a1"},
		{"zones: it prefers an old one", "zones migrate", "a1:V!,z=a b1:L,z=b c1:V,z=c a2:n,z=a,v=1.1.0 a3:n,z=a", "+a3 | -a1"},
		{"zones: after it, only an old one is left", "zones migrate", "a1:n,z=a a2:V!,z=a,v=1.1.0 b1:n,z=b b2:L,z=b,v=1.1.0 c2:V,z=c,v=1.1.0", "+a1 | -a2"},
		{"zones: and the new one is back", "zones migrate", "a1:V,z=a a2:n,z=a,v=1.1.0 b1:n,z=b b2:L,z=b,v=1.1.0 c2:V,z=c,v=1.1.0", "+a2 | -a1"},
		{"standbys upgraded in place", "zones migrate", "a1:L,z=a a2:n,z=a,v=1.1.0 b1:V,z=b b2:n,z=b,v=1.1.0 c1:V,z=c c2:n,z=c", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := Settings{Zones: strings.Contains(tt.set, "zones"), Migrate: strings.Contains(tt.set, "migrate")}
			steps, err := course(set, parse(tt.servers))
			var text []string
			for _, s := range steps {
				text = append(text, s.String())
			}
			if got := strings.Join(text, " | "); got != tt.want || err != nil {
				t.Errorf("got %q %v, want %q", got, err, tt.want)
			}
		})
	}
}

// cluster draws any state a cluster may be in.
func cluster(t *rapid.T) []Server {
	n := rapid.IntRange(1, 9).Draw(t, "servers")
	servers := make([]Server, n)
	leader := rapid.IntRange(0, n-1).Draw(t, "leader")
	for i := range servers {
		s := &servers[i]
		s.ID = fmt.Sprintf("s%d", i)
		s.Zone = rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(t, "zone")
		s.Version = rapid.SampledFrom([]string{"1.0.0", "1.0.0", "1.1.0", "1.1.0", "1.2.0", "none"}).Draw(t, "version")
		s.NonVoter = rapid.IntRange(0, 9).Draw(t, "non") == 0
		s.Voter = rapid.Bool().Draw(t, "voter")
		switch rapid.IntRange(0, 7).Draw(t, "health") {
		case 0:
			s.Failed = true
		case 1: // for a moment
		case 2:
			s.Healthy = true
		default:
			s.Healthy, s.Stable = true, true
		}
		if i == leader {
			s.Leader, s.Voter, s.Healthy, s.Stable, s.Failed = true, true, true, true, false
		}
	}
	return servers
}

func count(servers []Server, is func(Server) bool) (n int) {
	for _, s := range servers {
		n += bit(is(s))
	}
	return n
}

// guarded does the steps until the end, and checks what must hold at each single
// change: a majority that was healthy is so still, the leader keeps its vote, nobody
// is given a vote who is not fit, and nobody changes twice, but that an old server
// may get a vote before the newer ones can replace it.
func guarded(t *rapid.T, set Settings, servers []Server) {
	touched := map[string]int{}
	log := fmt.Sprintf("%+v", set)
	note := func(step Step) {
		log += "\n"
		for _, s := range servers {
			log += fmt.Sprintf("  %s[%s%s%s%s %s%s]", s.ID, s.Zone, s.Version, map[bool]string{true: " V"}[s.Voter], map[bool]string{true: " L"}[s.Leader],
				map[bool]string{true: "!"}[s.Failed], map[bool]string{false: "~", true: ""}[s.Stable])
			if s.NonVoter {
				log += "x"
			}
		}
		log += "\n" + step.String()
	}
	healthy := func() (int, int) {
		return count(servers, func(s Server) bool { return s.Voter && s.Healthy }), count(servers, func(s Server) bool { return s.Voter })
	}
	for round := 0; ; round++ {
		step := Decide(set, servers)
		note(step)
		if step.Empty() {
			return
		}
		if round > 4*len(servers)+8 {
			t.Fatalf("no end: %s", log)
		}
		if kinds := bit(len(step.Promote) > 0) + bit(len(step.Demote) > 0) + bit(step.Leader != ""); kinds != 1 {
			t.Fatalf("%v does several things", step)
		}
		for _, id := range append(slices.Clone(step.Promote), step.Demote...) {
			i := slices.IndexFunc(servers, func(s Server) bool { return s.ID == id })
			was, of := healthy()
			touched[id]++
			switch promote := slices.Contains(step.Promote, id); {
			case touched[id] > 1+bit(set.Migrate):
				t.Fatalf("%s changes twice: %s", id, log)
			case promote && (servers[i].Voter || servers[i].NonVoter || !servers[i].Stable):
				t.Fatalf("%+v is promoted", servers[i])
			case !promote && (!servers[i].Voter || servers[i].Leader):
				t.Fatalf("%+v is demoted", servers[i])
			case promote:
				do(servers, Step{Promote: []string{id}})
			default:
				do(servers, Step{Demote: []string{id}})
			}
			if is, now := healthy(); was >= quorum(of) && is < quorum(now) {
				t.Fatalf("%s: %d of %d voters were healthy, now %d of %d: %s", id, was, of, is, now, log)
			}
		}
		if step.Leader != "" {
			i := slices.IndexFunc(servers, func(s Server) bool { return s.ID == step.Leader })
			if touched[">"]++; touched[">"] > 2 || !servers[i].Voter || !servers[i].Stable || servers[i].NonVoter {
				t.Fatalf("leadership goes to %+v: %s", servers[i], log)
			}
			do(servers, step)
		}
	}
}

// TestDecideConverges: from any state, with health as it is, and then when all are
// well, the steps come to an end and are safe; and then each zone has one voter.
func TestDecideConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := Settings{Zones: rapid.Bool().Draw(t, "zones"), Migrate: rapid.Bool().Draw(t, "migrate")}
		servers := cluster(t)
		guarded(t, set, servers)
		for i := range servers {
			servers[i].Healthy, servers[i].Stable, servers[i].Failed = true, true, false
		}
		guarded(t, set, servers)
		may := count(servers, func(s Server) bool { return !s.NonVoter })
		for _, s := range servers {
			if s.NonVoter && s.Voter && may > 0 && count(servers, func(s Server) bool { return s.Voter && !s.NonVoter }) > 0 {
				t.Fatalf("%s shall not vote: %+v", s.ID, servers)
			}
		}
		if set.Zones {
			for _, z := range []string{"a", "b", "c", "d"} {
				if n := count(servers, func(s Server) bool { return s.Zone == z && s.Voter && !s.NonVoter }); n > 1 {
					t.Fatalf("zone %s has %d voters: %+v", z, n, servers)
				}
				if n := count(servers, func(s Server) bool { return s.Zone == z && !s.NonVoter }); n > 0 && !set.Migrate &&
					count(servers, func(s Server) bool { return s.Zone == z && s.Voter }) == 0 {
					t.Fatalf("zone %s has no voter: %+v", z, servers)
				}
			}
		}
		if !set.Zones && !set.Migrate && count(servers, func(s Server) bool { return s.Voter != !s.NonVoter }) > 0 && may > 0 {
			t.Fatalf("not all vote: %+v", servers)
		}
	})
}
