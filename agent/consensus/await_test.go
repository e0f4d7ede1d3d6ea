package consensus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// mute is a future that is answered when the test says so.
type mute struct {
	raft.ApplyFuture
	answer chan error
}

func (m mute) Error() error { return <-m.answer }

// TestNeverAnswered: what raft forgets as it ends is an unknown outcome for who
// proposed it, and holds nothing up.
func TestNeverAnswered(t *testing.T) {
	future, ended := mute{answer: make(chan error)}, make(chan struct{})
	b := newBatcher(func([]byte) raft.ApplyFuture { return future }, time.Now, func() int64 { return 0 }, noDisk, ended)
	b.gate(nil)
	ctx, cancel := context.WithCancel(t.Context())
	settled := make(chan struct{})
	go b.gather(ctx)
	go func() { b.settle(); close(settled) }()
	said := make(chan error, 1)
	go func() {
		_, err := b.propose(t.Context(), []fsm.Command{command("x")})
		said <- err
	}()
	select {
	case err := <-said:
		t.Fatalf("answered before raft ended: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(ended)
	if err := <-said; !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("the proposal's fate is %v, want unknown", err)
	}
	cancel()
	<-settled
	close(future.answer)
	answered := mute{answer: make(chan error, 1)}
	answered.answer <- raft.ErrLeadershipLost
	if err := awaitOr(answered, ended); !errors.Is(err, raft.ErrLeadershipLost) {
		t.Errorf("an answer that was given is lost: %v", err)
	}
}

// busy is a machine that takes its time.
type busy struct{ *ledger }

// Apply implements Machine.
func (b busy) Apply(e fsm.Entry) []fsm.Outcome {
	time.Sleep(5 * time.Millisecond)
	return b.ledger.Apply(e)
}

// TestEndsWhileApplying: a server that is ended while entries wait for its machine
// ends, and who proposed them hears of it. Raft forgets them every other time.
func TestEndsWhileApplying(t *testing.T) {
	for i := range 12 {
		m := startAlone(t, t.TempDir(), func(c *Config) { c.Machine = busy{c.Machine.(*ledger)} })
		said := make(chan error, 8)
		for range cap(said) {
			go func() {
				var err error
				for err == nil {
					_, err = m.Propose(context.Background(), command("x"))
				}
				said <- err
			}()
		}
		time.Sleep(time.Duration(20+i) * time.Millisecond)
		ended := make(chan error, 1)
		go func() { ended <- m.stop() }()
		for range cap(said) + 1 {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
			case err := <-said:
				if model.CodeOf(err) != model.CodeUnavailable {
					t.Errorf("a proposal's fate: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("round %d: the server or a proposal does not end", i)
			}
		}
	}
}
