package operator

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

var keyA, keyB = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

// fleet is agents with keyrings, of which some do not answer.
type fleet struct {
	members []gossip.Member
	keys    map[string][][]byte
	broken  map[string]bool
}

func (f *fleet) add(id string, status gossip.Status, keys ...[]byte) {
	f.members = append(f.members, gossip.Member{ID: id, Status: status, Meta: gossip.Meta{Name: id, Region: "east"}})
	f.keys[id] = keys
}

// reach is the way to one agent.
func (f *fleet) reach(m gossip.Member) rpc.Caller {
	srv := rpc.NewServer(rpc.Config{Logger: slog.New(slog.DiscardHandler)})
	rpc.Handle(srv, msg.AgentKeyring, func(context.Context, *msg.KeyringRequest) (*msg.KeyringResponse, error) {
		if f.broken[m.ID] {
			return nil, model.Errorf(model.CodeUnavailable, "no answer")
		}
		return &msg.KeyringResponse{Members: []*msg.KeyringMember{{Keys: f.keys[m.ID]}}}, nil
	})
	return srv.Caller()
}

func (f *fleet) desk(regions map[string]*fleet) *Desk {
	cfg := Config{Region: "east", Members: func() []gossip.Member { return f.members }, Reach: f.reach}
	cfg.Federated = func() []gossip.Member {
		var out []gossip.Member
		for r := range regions {
			out = append(out, gossip.Member{ID: r, Status: gossip.StatusAlive, Meta: gossip.Meta{Region: r}})
		}
		return out
	}
	srv := rpc.NewServer(rpc.Config{Logger: slog.New(slog.DiscardHandler)})
	rpc.Handle(srv, msg.Keyring, func(ctx context.Context, r *msg.KeyringRequest) (*msg.KeyringResponse, error) {
		if !r.Within {
			return nil, fmt.Errorf("asked for all regions from another")
		}
		for _, other := range regions {
			if other == nil {
				return nil, model.Errorf(model.CodeUnavailable, "line cut")
			}
			return other.desk(nil).keyring(ctx, r)
		}
		return nil, fmt.Errorf("there is no other region")
	})
	cfg.Caller = srv.Caller()
	return New(cfg)
}

func newFleet() *fleet { return &fleet{keys: map[string][][]byte{}, broken: map[string]bool{}} }

// TestKeyringOfAll: every agent of every region is asked, and who does not answer is
// named with the reason.
func TestKeyringOfAll(t *testing.T) {
	f, west := newFleet(), newFleet()
	f.add("s1", gossip.StatusAlive, keyA)
	f.add("c1", gossip.StatusAlive, keyA)
	f.add("c2", gossip.StatusFailed, keyA)
	f.add("c3", gossip.StatusLeft, keyA)
	f.broken["c1"] = true
	west.add("w1", gossip.StatusAlive, keyA)
	resp, err := f.desk(map[string]*fleet{"west": west}).keyring(t.Context(), &msg.KeyringRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range resp.Members {
		got = append(got, fmt.Sprintf("%s:%d:%v:%v", m.Name, len(m.Keys), m.Down, m.Err != ""))
	}
	want := []string{"c1.east:0:false:true", "c2.east:0:true:true", "s1.east:1:false:false", "w1.east:1:false:false"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
	resp, err = f.desk(map[string]*fleet{"west": nil}).keyring(t.Context(), &msg.KeyringRequest{})
	if err != nil || !slices.ContainsFunc(resp.Members, func(m *msg.KeyringMember) bool { return m.Name == "region west" && strings.Contains(m.Err, "line cut") }) {
		t.Errorf("a region that is cut off: %+v %v", resp, err)
	}
}

// TestKeyringRefusals: nothing is changed when somebody would be cut off.
func TestKeyringRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(*fleet)
		req  msg.KeyringRequest
		west bool   // is cut off
		want string // "" for allowed
	}{
		"all have it":          {func(*fleet) {}, msg.KeyringRequest{Op: opUse, Key: keyB}, false, ""},
		"one lacks it":         {func(f *fleet) { f.keys["c1"] = [][]byte{keyA} }, msg.KeyringRequest{Op: opUse, Key: keyB}, false, "would be cut off: c1.east:"},
		"one lacks it, forced": {func(f *fleet) { f.keys["c1"] = [][]byte{keyA} }, msg.KeyringRequest{Op: opUse, Key: keyB, Force: true}, false, ""},
		"one does not answer":  {func(f *fleet) { f.broken["c1"] = true }, msg.KeyringRequest{Op: opUse, Key: keyB}, false, "c1.east (no answer)"},
		"one is down":          {func(f *fleet) { f.members[1].Status = gossip.StatusFailed }, msg.KeyringRequest{Op: opUse, Key: keyB}, false, ""},
		"a region is cut off":  {func(*fleet) {}, msg.KeyringRequest{Op: opUse, Key: keyB}, true, "region west (line cut)"},
		"remove one in use":    {func(*fleet) {}, msg.KeyringRequest{Op: opRemove, Key: keyA}, false, "sends with that key"},
		"remove the other":     {func(*fleet) {}, msg.KeyringRequest{Op: opRemove, Key: keyB}, false, ""},
		"remove, not forced":   {func(*fleet) {}, msg.KeyringRequest{Op: opRemove, Key: keyA, Force: true}, false, "sends with that key"},
	} {
		f := newFleet()
		f.add("s1", gossip.StatusAlive, keyA, keyB)
		f.add("c1", gossip.StatusAlive, keyA, keyB)
		tt.set(f)
		var regions map[string]*fleet
		if tt.west {
			regions = map[string]*fleet{"west": nil}
		}
		_, err := f.desk(regions).keyring(t.Context(), &tt.req)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, wanted %q", name, err, tt.want)
		}
	}
	f := newFleet()
	for i := range maxNamed + 3 {
		f.add(fmt.Sprintf("c%02d", i), gossip.StatusAlive, keyA)
	}
	_, err := f.desk(nil).keyring(t.Context(), &msg.KeyringRequest{Op: opUse, Key: keyB})
	if err == nil || !strings.Contains(err.Error(), "c09.east and 3 more: install") {
		t.Errorf("many lack it: %v", err)
	}
}
