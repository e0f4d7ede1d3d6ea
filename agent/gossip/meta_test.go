package gossip

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 20)
		m := Meta{
			Name: text.Draw(t, "name"), Region: text.Draw(t, "region"), Datacenter: text.Draw(t, "dc"),
			RPCAddr: text.Draw(t, "rpc"), HTTPAddr: text.Draw(t, "http"), Build: text.Draw(t, "build"),
			Server: rapid.Bool().Draw(t, "s"), Client: rapid.Bool().Draw(t, "c"),
			Bootstrapped: rapid.Bool().Draw(t, "b"), NonVoter: rapid.Bool().Draw(t, "n"),
			WANAddr: text.Draw(t, "wan"), Zone: text.Draw(t, "zone"), Upgrade: text.Draw(t, "upgrade"),
			Level: rapid.IntRange(0, 200).Draw(t, "l"), Active: rapid.IntRange(0, 200).Draw(t, "a"), Holds: rapid.Bool().Draw(t, "h"),
			Protocol: rapid.IntRange(0, 1000).Draw(t, "p"), Expect: rapid.IntRange(0, 9).Draw(t, "e"),
		}
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeMeta(b)
		if err != nil || got != m {
			t.Fatalf("got %+v %v, want %+v", got, err, m)
		}
		for n := range b {
			if _, err := DecodeMeta(b[:n]); err == nil {
				t.Fatalf("cut at %d of %d: accepted", n, len(b))
			}
		}
	})
}

func TestMetaOfOtherVersions(t *testing.T) {
	m := Meta{Name: "n", Region: "global", Server: true}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	// What earlier versions wrote ends before.
	for fields, cut := range map[int]int{10: 4, 9: 5} { // an empty text or a small number is one byte
		earlier := append([]byte{metaVersion}, msgp.AppendArrayHeader(nil, uint32(fields))...)
		earlier = append(earlier, b[2:len(b)-cut]...)
		if got, err := DecodeMeta(earlier); err != nil || got != m {
			t.Errorf("with %d fields: %+v %v", fields, got, err)
		}
	}
	// A later version appends a field.
	later := append([]byte{metaVersion}, msgp.AppendArrayHeader(nil, metaFields+1)...)
	later = append(append(later, b[2:]...), msgp.AppendMapHeader(nil, 0)...)
	if got, err := DecodeMeta(later); err != nil || got != m {
		t.Errorf("with a further field: %+v %v", got, err)
	}
	b[0]++
	if _, err := DecodeMeta(b); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: %v", err)
	}
	if _, err := (Meta{Name: strings.Repeat("x", MaxMetaBytes)}).Encode(); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("too long: %v", err)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	b, err := Meta{Name: "n", Region: "global", RPCAddr: "10.0.0.1:4647"}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{metaVersion, 0x99})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			return // a longer form of the same numbers may have fit
		}
		if back, err := DecodeMeta(again); err != nil || back != m {
			t.Errorf("%+v became %+v, %v", m, back, err)
		}
	})
}

func FuzzDecodeDeparture(f *testing.F) {
	f.Add(encodeDeparture("x"))
	f.Add([]byte{9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeDeparture(b)
		if err == nil && id != "" && !bytes.Contains(b, []byte(id)) {
			t.Errorf("id %q out of nothing", id)
		}
	})
}
