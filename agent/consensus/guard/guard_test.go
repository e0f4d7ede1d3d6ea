package guard

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// TestGuardedVotes: a term or vote that is not what was written is an error; one
// of an earlier version is read.
func TestGuardedVotes(t *testing.T) {
	plain := raft.NewInmemStore()
	g := Votes{plain}
	if _, err := g.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("nothing stored: %v", err)
	}
	if err := plain.SetUint64([]byte("old"), 3); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.SetUint64([]byte("CurrentTerm"), 7), g.Set([]byte("LastVoteCand"), []byte("s1"))); err != nil {
		t.Fatal(err)
	}
	if n, err := g.GetUint64([]byte("CurrentTerm")); n != 7 || err != nil {
		t.Errorf("term %d, %v", n, err)
	}
	if v, err := g.Get([]byte("LastVoteCand")); string(v) != "s1" || err != nil {
		t.Errorf("vote %q, %v", v, err)
	}
	for _, key := range []string{"CurrentTerm", "LastVoteCand"} {
		v, err := plain.Get([]byte(key + sumSuffix))
		if err != nil {
			t.Fatal(err)
		}
		for i := range v {
			flipped := bytes.Clone(v)
			flipped[i] ^= 4
			if err := plain.Set([]byte(key+sumSuffix), flipped); err != nil {
				t.Fatal(err)
			}
			if _, err := g.Get([]byte(key)); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, byte %d: %v", key, i, err)
			}
		}
	}
}

// TestTail: what the tail remembers is missed when it is not there, and follows
// what is cut off on purpose.
func TestTail(t *testing.T) {
	dir := t.TempDir()
	open := func() Tail {
		tl, err := OpenTail(dir)
		if err != nil {
			t.Fatal(err)
		}
		return tl
	}
	tl, mem := open(), raft.NewInmemStore()
	logs, votes := TailedLog{mem, tl}, TailedVotes{mem, tl}
	store := func(from, to uint64) {
		for i := from; i <= to; i++ {
			if err := logs.StoreLog(&raft.Log{Index: i, Term: 2}); err != nil {
				t.Fatal(err)
			}
		}
	}
	store(1, 9)
	if err := errors.Join(votes.SetUint64([]byte(KeyTerm), 3), votes.SetUint64([]byte(KeyVoteTerm), 3), votes.Set([]byte(KeyCandidate), []byte("b"))); err != nil {
		t.Fatal(err)
	}
	if err := logs.DeleteRange(8, 9); err != nil { // a conflict
		t.Fatal(err)
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl = open()
	defer tl.Close()
	empty, other := raft.NewInmemStore(), raft.NewInmemStore()
	if err := errors.Join(other.SetUint64([]byte(KeyTerm), 3), other.SetUint64([]byte(KeyVoteTerm), 3), other.Set([]byte(KeyCandidate), []byte("a"))); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what    string
		logs    raft.LogStore
		stable  raft.StableStore
		covered uint64
		want    string
	}{
		{"all is there", mem, mem, 0, ""},
		{"the log is empty", empty, mem, 0, "entries 1 to 7 are missing"},
		{"a snapshot has some", empty, mem, 5, "entries 6 to 7 are missing"},
		{"a snapshot has all", empty, mem, 7, ""},
		{"no term", mem, empty, 0, "the newest term or vote is missing"},
		{"another vote", mem, other, 0, "the newest term or vote is missing"},
	} {
		err := tl.Check(tt.logs, tt.stable, tt.covered)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}
