package message

import (
	"bytes"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// The canonical form does not depend on the order in which maps were written.
func TestCanonical(t *testing.T) {
	var want []byte
	for range 50 {
		m := map[string]any{"b": map[string]any{"y": 1, "x": []any{2, map[string]any{"q": nil, "p": 1.5}}}, "a": "text", "c": true}
		b, err := msgp.AppendIntf(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		got := Canonical(b)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || Check(got) != nil {
			t.Fatal("canonical forms differ")
		}
	}
	for _, bad := range [][]byte{nil, {0xc1}, {0x81, 0xa1}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0xc6, 0, 0, 0, 9}, {1, 2}, bytes.Repeat([]byte{0x91}, 9999)} {
		if Check(bad) == nil {
			t.Errorf("% x was accepted", bad[:min(len(bad), 9)])
		}
		if !bytes.Equal(Canonical(bad), bad) {
			t.Errorf("% x has no canonical form but got one", bad[:min(len(bad), 9)])
		}
	}
}

// FuzzCanonical: whatever is a message has a canonical form that is one too, is
// its own canonical form, and has the same length.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte{0x82, 0xa1, 'b', 1, 0xa1, 'a', 0x91, 0xc0})
	f.Add([]byte{0xde, 0, 1, 0xd9, 1, 'k', 0xc7, 1, 5, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) != nil {
			return
		}
		c := Canonical(data)
		if len(c) != len(data) || Check(c) != nil || !bytes.Equal(Canonical(c), c) {
			t.Fatalf("% x became % x", data, c)
		}
		rest, err := msgp.Skip(data)
		if err != nil || len(rest) > 0 {
			t.Fatalf("% x is not msgpack for the codec: %v", data, err)
		}
	})
}
