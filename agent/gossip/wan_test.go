package gossip

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/tinylib/msgp/msgp"
)

// wan makes an agent a member of the WAN pool, in a region.
func wan(region string) func(*Config) {
	return func(c *Config) {
		c.WAN, c.Meta.Region, c.Meta.RPCAddr = true, region, "127.0.0.1:4647"
		c.Timing = Timing{Probe: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, Gossip: 20 * time.Millisecond, Rejoin: 200 * time.Millisecond}
	}
}

func alive(p *agent) int {
	n := 0
	for _, m := range p.Members() {
		if m.Status == StatusAlive {
			n++
		}
	}
	return n
}

// TestFederation: one join makes all servers of two regions know each other, and a
// server that returns after its region was cut off is found again.
func TestFederation(t *testing.T) {
	t.Parallel()
	e1, e2 := start(t, "e1", wan("east")), start(t, "e2", wan("east"))
	w1, w2 := start(t, "w1", wan("west")), start(t, "w2", wan("west"))
	ctx := testCtx(t)
	for _, pair := range [][2]*agent{{e2, e1}, {w2, w1}, {e1, w2}} {
		if _, err := pair[0].Join(ctx, []string{pair[1].Addr()}); err != nil {
			t.Fatal(err)
		}
	}
	all := []*agent{e1, e2, w1, w2}
	waitFor(t, "all know all", func() bool {
		for _, a := range all {
			if alive(a) != len(all) {
				return false
			}
		}
		return true
	})
	if m, _ := e2.Member("w1"); m.Meta.Region != "west" || m.Meta.RPCAddr == "" {
		t.Errorf("w1 as e2 sees it: %+v", m)
	}
	addr := w1.Addr()
	w1.stop()
	waitFor(t, "the loss is known in the other region", func() bool { return e1.status("w1") == StatusFailed })
	start(t, "w1", wan("west"), func(c *Config) { c.Bind = addr })
	waitFor(t, "it is found again", func() bool { return e1.status("w1") == StatusAlive && e2.status("w1") == StatusAlive })
}

// TestOnlyServersFederate: who is no server, or does not say where it is, is no member.
func TestOnlyServersFederate(t *testing.T) {
	t.Parallel()
	a := start(t, "a", wan("east"))
	for name, m := range map[string]Meta{
		"a client":   {Name: "b", Region: "west", Client: true, RPCAddr: "127.0.0.1:1"},
		"no address": {Name: "b", Region: "west", Server: true},
		"no region":  {Name: "b", Server: true, RPCAddr: "127.0.0.1:1"},
	} {
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := a.NotifyAlive(&memberlist.Node{Name: "b", Addr: net.IPv4(127, 0, 0, 1), Meta: b}); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
	if _, err := New(Config{ID: "b", WAN: true, Bind: "127.0.0.1:0", Meta: Meta{Region: "west", Client: true}, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a client made a WAN pool")
	}
}

// TestWrongPool: who knocks at another pool is told which one it is, and what to
// do instead; its log, too.
func TestWrongPool(t *testing.T) {
	t.Parallel()
	region := func(c *Config) { c.Meta.Region = "east" }
	for _, tt := range []struct {
		name         string
		joiner, host func(*Config)
		want         string
	}{
		{"another region", region, func(c *Config) { c.Meta.Region = "west" }, `belongs to region "west", this one to "east"; regions are not joined but federated, through their servers: steppe server join -wan`},
		{"the WAN port", region, wan("west"), "that is the port through which servers federate regions"},
		{"a region's port", wan("east"), func(c *Config) { c.Meta.Region = "west" }, `that is the port on which the agents of region "west" gossip`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := start(t, "a", tt.host), start(t, "b", tt.joiner)
			if _, err := b.Join(testCtx(t), []string{a.Addr()}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("join: %v", err)
			}
			waitFor(t, "a line in the log", func() bool { return strings.Contains(a.log.String(), "an agent of another region was refused") })
			if len(a.Members())+len(b.Members()) != 2 {
				t.Errorf("members %v and %v", a.Members(), b.Members())
			}
		})
	}
}

// TestRetryJoinEachRegion: addresses of the WAN pool stand for different regions:
// that one answers is no reason to forget the others.
func TestRetryJoinEachRegion(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	b := start(t, "b", wan("west"))
	a := start(t, "a", wan("east"), func(c *Config) { c.RetryJoin = []string{b.Addr(), late} })
	waitFor(t, "one joined", func() bool { return a.status("b") == StatusAlive })
	waitFor(t, "a first failure", func() bool { return strings.Contains(a.log.String(), "no agent listens there") })
	start(t, "c", wan("south"), func(c *Config) { c.Bind = late })
	waitFor(t, "the other joined", func() bool { return a.status("c") == StatusAlive && b.status("c") == StatusAlive })
}

// TestRefusalInPieces: the word that another pool is there may come in pieces, and
// what only begins like it is passed on whole.
func TestRefusalInPieces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pieces []string
		want   string // "" for the refusal
	}{
		{[]string{refusalMark[:3], refusalMark[3:] + "steppe.w", "est\n"}, ""},
		{[]string{refusalMark + "steppe.west\n"}, ""},
		{[]string{refusalMark[:3], "other"}, refusalMark[:3] + "other"},
		{[]string{"other"}, "other"},
	} {
		server, client := net.Pipe()
		go func() {
			for _, p := range tt.pieces {
				if _, err := server.Write([]byte(p)); err != nil {
					t.Error(err)
				}
			}
		}()
		s := &stream{Conn: client, stop: func() bool { return true }}
		buf := make([]byte, 256)
		n, err := s.Read(buf)
		if tt.want == "" && (err == nil || err.Error() != otherPool+"steppe.west") || tt.want != "" && (err != nil || string(buf[:n]) != tt.want) {
			t.Errorf("%q: %q %v", tt.pieces, buf[:n], err)
		}
		_ = s.Close()
		_ = server.Close()
	}
}

// TestOlderMeta: agents of the version before know no WAN address.
func TestOlderMeta(t *testing.T) {
	m := Meta{Name: "n", Region: "r", Datacenter: "d", Server: true, RPCAddr: "a:1", HTTPAddr: "b:2", Build: "0", Protocol: 1, Expect: 3}
	b := msgp.AppendArrayHeader([]byte{metaVersion}, metaNeeded)
	for _, n := range []int{m.flags(), m.Protocol, m.Expect} {
		b = msgp.AppendInt(b, n)
	}
	for _, s := range []string{m.Name, m.Region, m.Datacenter, m.RPCAddr, m.HTTPAddr, m.Build} {
		b = msgp.AppendString(b, s)
	}
	if out, err := DecodeMeta(b); err != nil || out != m {
		t.Errorf("%+v %v", out, err)
	}
	m.WANAddr = "c:3"
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := DecodeMeta(b); err != nil || out != m {
		t.Errorf("%+v %v", out, err)
	}
}
