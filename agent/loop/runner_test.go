package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// filler keeps the number of namespaces at want. It keeps its own count from
// what it observes.
type filler struct {
	want      int
	have      map[string]bool
	resets    int
	steps     []time.Duration // since start
	start     time.Time
	wakeAfter time.Duration
	refused   int
	behind    bool // a step saw a snapshot older than what was observed
}

func (f *filler) Name() string         { return "filler" }
func (f *filler) Reads() []state.Table { return []state.Table{state.TableNamespaces} }

func (f *filler) Reset(snap *state.Snapshot) {
	f.resets++
	f.have = make(map[string]bool)
	for ns := range snap.Namespaces(state.Range{}) {
		f.have[ns.Name] = true
	}
}

func (f *filler) Observe(changes []state.Change) {
	for _, c := range changes {
		if c.After == nil {
			delete(f.have, c.Key)
			continue
		}
		f.have[c.After.(*tenancy.Namespace).Name] = true
	}
}

func (f *filler) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	f.steps = append(f.steps, now.Sub(f.start))
	for name := range f.have {
		f.behind = f.behind || snap.Namespace(name) == nil
	}
	var cmds []fsm.Command
	for i := 0; len(f.have)+len(cmds) < f.want; i++ {
		if name := fmt.Sprint("ns", i); !f.have[name] {
			cmds = append(cmds, fsm.Command{Body: []byte(name)})
		}
	}
	var wake time.Time
	if f.wakeAfter > 0 {
		wake = now.Add(f.wakeAfter)
	}
	return cmds, wake
}

func (f *filler) Refused(_ time.Time, cmds []fsm.Command, outcomes []fsm.Outcome) {
	for i := range cmds {
		if outcomes[i].Err != nil {
			f.refused++
		}
	}
}

// fakeLog applies commands to a store at once; a command's body is a name.
type fakeLog struct {
	mu     sync.Mutex
	store  *state.Store
	index  uint64
	fail   []error // errors of the next proposals
	refuse int     // refuse so many commands
	calls  int
}

func (p *fakeLog) Propose(ctx context.Context, cmds ...fsm.Command) ([]fsm.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if len(p.fail) > 0 {
		err := p.fail[0]
		p.fail = p.fail[1:]
		return nil, err
	}
	out := make([]fsm.Outcome, len(cmds))
	for i, c := range cmds {
		if p.refuse > 0 {
			p.refuse--
			out[i].Err = model.Errorf(model.CodeConflict, "refused")
			continue
		}
		p.put(string(c.Body))
	}
	return out, ctx.Err()
}

func (p *fakeLog) put(name string) {
	p.index++
	x := p.store.Begin(p.index + 1)
	x.Put(&tenancy.Namespace{Name: name})
	x.Publish()
}

func (p *fakeLog) add(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(name)
}

// run runs c in a bubble until everything is quiet for an hour of fake time.
func run(t *testing.T, p *fakeLog, c *filler, during func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.store = state.New()
		c.start = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		runner := New(Config{Source: p.store, Proposer: p, Clock: SystemClock{}, Logger: slog.New(slog.DiscardHandler)})
		go func() { done <- runner.Run(ctx, c) }()
		synctest.Wait()
		if during != nil {
			during()
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if c.behind {
			t.Error("a step saw a snapshot older than what was observed")
		}
	})
}

func TestConverges(t *testing.T) {
	p, c := &fakeLog{}, &filler{want: 5}
	run(t, p, c, func() { p.add("other") })
	if len(c.have) != 6 || p.calls != 1 || c.resets != 1 {
		t.Errorf("have %d namespaces after %d proposals and %d resets", len(c.have), p.calls, c.resets)
	}
	if len(c.steps) != 3 { // reset, own commands, other's change
		t.Errorf("%d steps: %v", len(c.steps), c.steps)
	}
}

func TestFailedProposalIsDecidedAgain(t *testing.T) {
	down := model.Errorf(model.CodeUnavailable, "down")
	p, c := &fakeLog{fail: []error{down, down, model.Errorf(model.CodeNotLeader, "no"), down}}, &filler{want: 3}
	run(t, p, c, nil)
	if len(c.have) != 3 || p.calls != 5 {
		t.Errorf("have %d namespaces after %d proposals", len(c.have), p.calls)
	}
	want := []time.Duration{0, 20e6, 60e6, 140e6, 300e6, 300e6}
	if fmt.Sprint(c.steps) != fmt.Sprint(want) {
		t.Errorf("stepped at %v, want %v", c.steps, want)
	}
}

func TestRefusedCommandsArePaced(t *testing.T) {
	p, c := &fakeLog{refuse: 7}, &filler{want: 3}
	run(t, p, c, nil)
	if len(c.have) != 3 || c.refused != 7 {
		t.Errorf("have %d namespaces, %d refused", len(c.have), c.refused)
	}
	if p.calls > 6 {
		t.Errorf("%d proposals", p.calls)
	}
}

func TestWakesByItself(t *testing.T) {
	p, c := &fakeLog{}, &filler{want: 1, wakeAfter: time.Minute}
	run(t, p, c, nil)
	if len(c.steps) < 59 || len(c.steps) > 61 {
		t.Errorf("%d steps in an hour, want one a minute", len(c.steps))
	}
}

func TestWakeSurvivesChanges(t *testing.T) {
	p, c := &fakeLog{}, &filler{want: 1}
	c.wakeAfter = 2 * time.Hour // later than the test
	run(t, p, c, func() {
		for i := range 10 {
			p.add(fmt.Sprint("x", i))
			synctest.Wait()
		}
	})
	if len(c.steps) != 11 {
		t.Errorf("%d steps, want one and one per change", len(c.steps))
	}
}

func TestLaggedComponentStartsAgain(t *testing.T) {
	p, c := &fakeLog{}, &filler{want: 1}
	slow := &slowFiller{filler: c, gate: make(chan struct{})}
	p.store = state.New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	runner := New(Config{Source: p.store, Proposer: p, Clock: SystemClock{}, Logger: slog.New(slog.DiscardHandler)})
	go func() { done <- runner.Run(ctx, slow) }()
	<-slow.gate // inside the first step
	for i := range state.FeedChanges + 10 {
		p.add(fmt.Sprint("n", i%100))
	}
	close(slow.gate)
	deadline := time.Now().Add(20 * time.Second)
	for slow.seen() < 101 {
		if time.Now().After(deadline) {
			t.Fatalf("sees %d namespaces", slow.seen())
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if c.resets != 2 {
		t.Errorf("%d resets, want 2", c.resets)
	}
}

// slowFiller blocks in its first step.
type slowFiller struct {
	*filler
	mu   sync.Mutex
	gate chan struct{}
	n    int
	once sync.Once
}

func (s *slowFiller) Step(now time.Time, snap *state.Snapshot) ([]fsm.Command, time.Time) {
	s.once.Do(func() { s.gate <- struct{}{}; <-s.gate })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n = len(s.have)
	return nil, time.Time{}
}

func (s *slowFiller) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func TestClosedSourceEndsRun(t *testing.T) {
	store := state.New()
	src := &closingSource{store: store}
	err := New(Config{Source: src, Proposer: &fakeLog{store: store}, Clock: SystemClock{}, Logger: slog.New(slog.DiscardHandler)}).
		Run(t.Context(), &filler{want: 1})
	if !errors.Is(err, state.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

type closingSource struct{ store *state.Store }

func (s *closingSource) Snapshot() *state.Snapshot { return s.store.Snapshot() }

func (s *closingSource) Subscribe(tables ...state.Table) (*state.Snapshot, *state.Subscription) {
	snap, sub := s.store.Subscribe(tables...)
	sub.Close()
	return snap, sub
}
