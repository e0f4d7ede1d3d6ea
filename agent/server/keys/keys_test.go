package keys

import (
	"testing"

	"github.com/steppe-project/steppe/agent/server/memlog"
)

func TestOnce(t *testing.T) {
	log := memlog.New()
	for i := range 2 {
		m, err := Generate()
		if err != nil {
			t.Fatal(err)
		}
		cmds, _ := New(m).Step(log.Now(), log.Store.Snapshot())
		if want := 2 * (1 - i); len(cmds) != want {
			t.Fatalf("leader %d proposes %d commands, want %d", i, len(cmds), want)
		}
		if len(cmds) > 0 {
			if _, err := log.Propose(t.Context(), cmds...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if log.Store.Snapshot().ClusterMetadata() == nil {
		t.Error("the cluster has no identity")
	}
	n := 0
	for k := range log.Store.Snapshot().SigningKeys() {
		n++
		if len(k.Public) != 32 || len(k.Private) != 64 || k.Algorithm != "EdDSA" {
			t.Errorf("a strange key: %d, %d bytes, %s", len(k.Public), len(k.Private), k.Algorithm)
		}
	}
	if n != 1 {
		t.Errorf("%d signing keys", n)
	}
}
