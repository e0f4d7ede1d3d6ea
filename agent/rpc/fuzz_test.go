package rpc

import (
	"bytes"
	"testing"
)

// FuzzTunnelFrame decodes what a node may send.
func FuzzTunnelFrame(f *testing.F) {
	b, err := (&tunnelFrame{nodeID: "n", secret: "s", data: []byte("d")}).MarshalMsg(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var in tunnelFrame
		if _, err := in.UnmarshalMsg(b); err != nil {
			return
		}
		out, err := in.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		var again tunnelFrame
		if rest, err := again.UnmarshalMsg(out); err != nil || len(rest) != 0 || again.nodeID != in.nodeID || !bytes.Equal(again.data, in.data) {
			t.Errorf("%+v became %+v, %v", in, again, err)
		}
	})
}
