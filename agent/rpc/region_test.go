package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// fakeRegions is a Regions that tests set.
type fakeRegions struct {
	own string
	mu  sync.Mutex
	all map[string][]string
}

func (r *fakeRegions) Name() string { return r.own }

func (r *fakeRegions) Servers(region string) ([]string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	addrs, known := r.all[region]
	return addrs, known
}

func (r *fakeRegions) set(region string, addrs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[region] = addrs
}

func knows(own string) *fakeRegions { return &fakeRegions{own: own, all: map[string][]string{}} }

func keyOf(t *testing.T, id, region string) *port.Security {
	t.Helper()
	s, err := port.FromKey(testKey, id, region)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAcrossRegions: from a server of the east, and from a client agent there,
// calls and streams reach the west, whose leader answers what only it may.
func TestAcrossRegions(t *testing.T) {
	regions := knows("east")
	east := startIn(t, "e1", keyOf(t, "e1", "east"), regions)
	west := startIn(t, "w1", keyOf(t, "w1", "west"), knows("west"))
	leader := startIn(t, "w2", keyOf(t, "w2", "west"), knows("west"))
	west.router.set(leader.addr, false)
	leader.router.set(leader.addr, true)
	east.router.set(east.addr, true)
	regions.set("west", "127.0.0.1:1", west.addr)
	client := NewPool(keyOf(t, "c1", "east"), slog.Default())
	defer client.Close()
	for name, by := range map[string]Caller{"server": east.Caller(), "client": client.At(east.addr)} {
		t.Run(name, func(t *testing.T) {
			ctx := testCtx(t)
			there := InRegion(by, "west")
			for m, want := range map[Method[note, note]]string{echo: "w1:x", write: "w2:x", read: "w2:x"} {
				if out, err := m.Call(ctx, there, &note{Text: "x"}); err != nil || out.Text != want {
					t.Errorf("%s: %+v %v", m.Name, out, err)
				}
			}
			if out, err := read.Call(ctx, there, &note{Text: "x", Stale: true}); err != nil || out.Text != "w1:x" {
				t.Errorf("stale: %+v %v", out, err)
			}
			for m, want := range map[StreamMethod[note, note]]string{shout: "w1:HEY", followed: "w2:HEY"} {
				st, err := m.Open(ctx, there)
				if err != nil {
					t.Fatal(err)
				}
				if err := st.Send(&note{Text: "hey"}); err != nil {
					t.Fatal(err)
				}
				if out, err := st.Recv(); err != nil || out.Text != want {
					t.Errorf("%s: %+v %v", m.Name, out, err)
				}
				_ = st.CloseSend()
				if out, err := st.Recv(); err != nil || out.Text != "bye" {
					t.Errorf("%s: %+v %v", m.Name, out, err)
				}
				if _, err := st.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("%s: end %v", m.Name, err)
				}
			}
			if _, err := fail.Call(ctx, there, &note{Text: "conflict"}); model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), "ünïcode") {
				t.Errorf("an error on its way: %v", err)
			}
			if out, err := echo.Call(ctx, InRegion(by, "east"), &note{Text: "x"}); err != nil || out.Text != "e1:x" {
				t.Errorf("own region: %+v %v", out, err)
			}
			if _, err := echo.Call(ctx, InRegion(by, "mars"), &note{}); model.CodeOf(err) != model.CodeInternal || err.Error() != NoPathToRegion {
				t.Errorf("unknown region: %v", err)
			}
		})
	}
}

// TestRegionWithoutServers: a known region that does not answer is told from an
// unknown one.
func TestRegionWithoutServers(t *testing.T) {
	regions := knows("east")
	east := startIn(t, "e1", keyOf(t, "e1", "east"), regions)
	for name, addrs := range map[string][]string{"none alive": nil, "none answers": {"127.0.0.1:1"}} {
		regions.set("west", addrs...)
		_, err := write.Call(testCtx(t), InRegion(east.Caller(), "west"), &note{})
		if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), `no server of region "west" can be reached`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keyed is a request with a key.
type keyed struct{ note }

func (k *keyed) RequestKey() string { return k.Text }

// TestWriteIsRepeatedOnlyByKey: a server of the other region takes a write and
// does not answer what became of it; with a key the next server is asked.
func TestWriteIsRepeatedOnlyByKey(t *testing.T) {
	regions := knows("east")
	east := startIn(t, "e1", keyOf(t, "e1", "east"), regions)
	m := Method[keyed, note]{Name: "Test.Keyed", Keyed: true}
	answer := func(*agent) (*note, error) {
		return nil, model.Errorf(model.CodeUnavailable, "no idea")
	}
	var asked atomic.Int64
	var addrs []string
	for range 2 {
		west := startIn(t, "w", keyOf(t, "w", "west"), knows("west"))
		Handle(west.Server, m, func(context.Context, *keyed) (*note, error) { asked.Add(1); return answer(west) })
		addrs = append(addrs, west.addr)
	}
	Handle(east.Server, m, func(context.Context, *keyed) (*note, error) { return answer(east) })
	regions.set("west", addrs...)
	client := NewPool(keyOf(t, "c1", "east"), slog.Default())
	defer client.Close()
	for name, by := range map[string]Caller{"server": east.Caller(), "client": client.At(east.addr)} {
		for key, want := range map[string]int64{"": 1, "key": 2} {
			asked.Store(0)
			_, err := m.Call(testCtx(t), InRegion(by, "west"), &keyed{note{Text: key}})
			if model.CodeOf(err) != model.CodeUnavailable || asked.Load() != want {
				t.Errorf("%s, key %q: asked %d times, %v", name, key, asked.Load(), err)
			}
		}
	}
}

// TestBorder: an agent of another region that shares the key is taken for what
// its certificate says.
func TestBorder(t *testing.T) {
	east := startIn(t, "e1", keyOf(t, "e1", "east"), knows("east"))
	inside := Method[note, note]{Name: "Test.Inside", Inside: true}
	Handle(east.Server, inside, func(context.Context, *note) (*note, error) { return &note{}, nil })
	foreign := NewPool(keyOf(t, "w1", "west"), slog.Default())
	defer foreign.Close()
	if _, err := echo.Call(testCtx(t), foreign.At(east.addr), &note{}); err == nil || !strings.Contains(err.Error(), `belongs to region "east", not "west"`) {
		t.Errorf("dialled as if it were of the own region: %v", err)
	}
	expecting := foreign.serversOf("east", func() []string { return []string{east.addr} })
	if _, err := echo.Call(testCtx(t), expecting, &note{}); model.CodeOf(err) != model.CodeDenied || !strings.Contains(err.Error(), `the calling agent of "west"`) {
		t.Errorf("a request that names no region: %v", err)
	}
	if _, err := echo.Call(testCtx(t), InRegion(expecting, "east"), &note{}); err != nil {
		t.Errorf("a request that names the region: %v", err)
	}
	if _, err := inside.Call(testCtx(t), InRegion(expecting, "east"), &note{}); model.CodeOf(err) != model.CodeDenied {
		t.Errorf("a request of members of the region: %v", err)
	}
	// A server that moved to another region is passed over, nothing is applied there.
	regions := knows("south")
	south := startIn(t, "s1", keyOf(t, "s1", "south"), regions)
	regions.set("west", east.addr)
	if _, err := echo.Call(testCtx(t), InRegion(south.Caller(), "west"), &note{}); !errors.Is(err, ErrNotSent) || !strings.Contains(err.Error(), `belongs to region "east"`) {
		t.Errorf("a server of a third region: %v", err)
	}
}

// TestRaftStaysInItsRegion: raft of another region with the same key is refused
// at both ends.
func TestRaftStaysInItsRegion(t *testing.T) {
	east := startIn(t, "e1", keyOf(t, "e1", "east"), knows("east"))
	west := startIn(t, "w1", keyOf(t, "w1", "west"), knows("west"))
	if _, err := west.lis.Raft().Dial(east.addr, time.Second); err == nil || !strings.Contains(err.Error(), `belongs to region "east", not "west"`) {
		t.Errorf("dialled: %v", err)
	}
	waitFor(t, func() bool { return strings.Contains(east.log.String(), "refused a connection") })
	mate := startIn(t, "e2", keyOf(t, "e2", "east"), knows("east"))
	c, err := mate.lis.Raft().Dial(east.addr, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// TestWrongRegionMovesOn: without encryption nothing but the answer tells that a
// server is of another region.
func TestWrongRegionMovesOn(t *testing.T) {
	regions := knows("east")
	east := startIn(t, "e1", port.Plaintext(), regions)
	moved := startIn(t, "m1", port.Plaintext(), knows("north"))
	west := startIn(t, "w1", port.Plaintext(), knows("west"))
	regions.set("west", moved.addr, west.addr)
	for range 5 {
		if out, err := echo.Call(testCtx(t), InRegion(east.Caller(), "west"), &note{Text: "x"}); err != nil || out.Text != "w1:x" {
			t.Fatalf("%+v %v", out, err)
		}
	}
	regions.set("west", moved.addr)
	if _, err := echo.Call(testCtx(t), InRegion(east.Caller(), "west"), &note{}); !errors.Is(err, ErrNotSent) {
		t.Errorf("no server of the region: %v", err)
	}
}
