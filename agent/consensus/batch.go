package consensus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
)

// proposal is what one Propose call, or a part of it, waits for.
type proposal struct {
	ctx  context.Context
	cmds []fsm.Command
	size int
	done chan result // buffered: the batcher never waits
}

// result is the fate of a proposal.
type result struct {
	outcomes []fsm.Outcome
	err      error
}

// batcher gathers proposals into entries: group commit.
//
//	Propose ──► queue ──► gather ──► raft.Apply ──► flight ──► settle ──► callers
//	                         ▲                                    │
//	                         └───────────── slots ◄───────────────┘
type batcher struct {
	apply func(data []byte) raft.ApplyFuture
	now   func() time.Time
	last  func() int64    // time of the last entry applied
	disk  func() *error   // why the log last could not be written
	ended <-chan struct{} // closed when raft has ended

	mu       sync.Mutex
	open     error // nil while proposals are taken
	queue    []*proposal
	bytes    int
	commands int
	wake     chan struct{} // has a token while the queue may be non-empty

	slots   chan struct{} // one token per entry given to raft
	flight  chan flight
	stamped int64 // time of the last entry; gather only
}

// flight is an entry given to raft.
type flight struct {
	future    raft.ApplyFuture
	proposals []*proposal
	disk      *error // batcher.disk at the time
}

func newBatcher(apply func([]byte) raft.ApplyFuture, now func() time.Time, last func() int64, disk func() *error, ended <-chan struct{}) *batcher {
	return &batcher{
		apply: apply, now: now, last: last, disk: disk, ended: ended, open: errNotLeader,
		wake:  make(chan struct{}, 1),
		slots: make(chan struct{}, maxEntriesInFlight), flight: make(chan flight, maxEntriesInFlight),
	}
}

// gate takes proposals (nil) or refuses them with err; those waiting are refused
// with it, too: they were not given to raft.
func (b *batcher) gate(err error) {
	b.mu.Lock()
	b.open = err
	var waiting []*proposal
	if err != nil {
		waiting, b.queue, b.bytes, b.commands = b.queue, nil, 0, 0
	}
	b.mu.Unlock()
	for _, p := range waiting {
		p.done <- result{err: err}
	}
}

// propose queues cmds in parts of at most one entry each and waits for all.
func (b *batcher) propose(ctx context.Context, cmds []fsm.Command) ([]fsm.Outcome, error) {
	parts, err := split(ctx, cmds)
	if err != nil {
		return nil, err
	}
	if err := b.enqueue(parts); err != nil {
		return nil, err
	}
	if len(parts) == 1 {
		return parts[0].wait(ctx)
	}
	outcomes := make([]fsm.Outcome, 0, len(cmds))
	for i, p := range parts {
		out, err := p.wait(ctx)
		if err != nil {
			if i > 0 && !errors.Is(err, ErrUnknownOutcome) && ctx.Err() == nil {
				// A part of the commands was applied before.
				err = unknown("a part of the commands failed", err)
			}
			return nil, err
		}
		outcomes = append(outcomes, out...)
	}
	return outcomes, nil
}

func (p *proposal) wait(ctx context.Context) ([]fsm.Outcome, error) {
	select {
	case r := <-p.done:
		return r.outcomes, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// split cuts cmds into parts that fit an entry and checks their sizes.
func split(ctx context.Context, cmds []fsm.Command) ([]*proposal, error) {
	if len(cmds) == 0 {
		return nil, model.Errorf(model.CodeInvalid, "nothing is proposed")
	}
	var parts []*proposal
	p := &proposal{ctx: ctx, done: make(chan result, 1)}
	start := 0
	for i := range cmds {
		size := len(cmds[i].Body) + len(cmds[i].RequestID)
		if size > MaxCommandBytes {
			return nil, model.Errorf(model.CodeInvalid, "a change of %d bytes is proposed; %d is the limit", size, MaxCommandBytes)
		}
		if len(cmds[i].RequestID) > fsm.MaxRequestIDBytes {
			return nil, model.Errorf(model.CodeInvalid, "a request id has at most %d bytes", fsm.MaxRequestIDBytes)
		}
		if i > start && (p.size+size > MaxEntryBytes || i-start >= MaxEntryCommands) {
			p.cmds = cmds[start:i]
			parts = append(parts, p)
			p, start = &proposal{ctx: ctx, done: make(chan result, 1)}, i
		}
		p.size += size
	}
	p.cmds = cmds[start:]
	return append(parts, p), nil
}

func (b *batcher) enqueue(parts []*proposal) error {
	bytes, commands := 0, 0
	for _, p := range parts {
		bytes += p.size
		commands += len(p.cmds)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.open != nil:
		return b.open
	case len(b.queue) > 0 && (b.bytes+bytes > maxQueueBytes || b.commands+commands > maxQueueCommands):
		return model.Errorf(model.CodeUnavailable, "too many changes are waiting to be written (%d); try again later", b.commands)
	}
	b.queue = append(b.queue, parts...)
	b.bytes += bytes
	b.commands += commands
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// maxApart bounds the commands of an entry that others must keep apart from, and
// so how often an entry passes over what must wait for the next one.
const maxApart = 256

// apart tells whether p may not share the entry of the commands that apart names;
// if it may, its own are added.
func (p *proposal) apart(apart map[string]bool) bool {
	for i := range p.cmds {
		if name := p.cmds[i].Apart; name != "" && (apart[name] || len(apart) >= maxApart) {
			return true
		}
	}
	for i := range p.cmds {
		if name := p.cmds[i].Apart; name != "" {
			apart[name] = true
		}
	}
	return false
}

// take removes the proposals of the next entry from the queue. Those whose
// callers gave up are dropped; what must be apart from another one stays.
func (b *batcher) take() []*proposal {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch, stay []*proposal
	size, commands, n := 0, 0, 0
	apart := make(map[string]bool)
	for _, p := range b.queue {
		gone := p.ctx.Err() != nil
		full := len(batch) > 0 && (size+p.size > MaxEntryBytes || commands+len(p.cmds) > MaxEntryCommands)
		if !gone && (full || len(stay) >= maxApart) {
			break
		}
		n++
		if !gone && p.apart(apart) {
			stay = append(stay, p)
			continue
		}
		b.bytes -= p.size
		b.commands -= len(p.cmds)
		if gone {
			continue // its caller has ctx's error and no one waits
		}
		batch = append(batch, p)
		size += p.size
		commands += len(p.cmds)
	}
	// What stays goes first in the next entry.
	copy(b.queue[n-len(stay):n], stay)
	n -= len(stay)
	clear(b.queue[:n])
	if b.queue = b.queue[n:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return batch
}

// room takes a slot for the next entry, once all are free if little waits for it;
// false when ctx has ended.
func (b *batcher) room(ctx context.Context) bool {
	b.mu.Lock()
	free := 1
	if b.bytes < worthwhile {
		free = maxEntriesInFlight
	}
	b.mu.Unlock()
	for range free {
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	for range free - 1 {
		<-b.slots
	}
	return true
}

// gather forms entries and gives them to raft until ctx ends. It waits for
// room before it takes from the queue, so that an entry has all that came until
// then.
func (b *batcher) gather(ctx context.Context) {
	defer close(b.flight)
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		for {
			if !b.room(ctx) {
				return
			}
			batch := b.take()
			if len(batch) == 0 || !b.send(batch) {
				<-b.slots
			}
			if len(batch) == 0 {
				break
			}
		}
	}
}

// send encodes a batch and gives it to raft; false when it could not.
func (b *batcher) send(batch []*proposal) bool {
	cmds := batch[0].cmds
	if len(batch) > 1 {
		cmds = nil
		for _, p := range batch {
			cmds = append(cmds, p.cmds...)
		}
	}
	// Never back along the log, whatever the clocks do.
	b.stamped = max(b.now().UnixNano(), b.stamped+1, b.last()+1)
	data, err := fsm.EncodeEntry(b.stamped, cmds)
	if err != nil {
		for _, p := range batch {
			p.done <- result{err: err}
		}
		return false
	}
	disk := b.disk()
	b.flight <- flight{b.apply(data), batch, disk}
	return true
}

// settle hands outcomes to the callers until gather ends.
func (b *batcher) settle() {
	for f := range b.flight {
		err := awaitOr(f.future, b.ended)
		<-b.slots
		var outcomes []fsm.Outcome
		if err == nil {
			switch r := f.future.Response().(type) {
			case []fsm.Outcome:
				outcomes = r
			case error:
				err = r
			}
		}
		if err != nil {
			err = explainApply(err, b.diskSince(f.disk))
		}
		for _, p := range f.proposals {
			if err != nil {
				p.done <- result{err: err}
				continue
			}
			p.done <- result{outcomes: outcomes[:len(p.cmds):len(p.cmds)]}
			outcomes = outcomes[len(p.cmds):]
		}
	}
}

// diskSince returns why the log could not be written since disk was before.
func (b *batcher) diskSince(before *error) error {
	if now := b.disk(); now != nil && now != before {
		return *now
	}
	return nil
}
