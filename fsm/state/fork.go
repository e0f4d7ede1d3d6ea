package state

import "github.com/steppe-project/steppe/model/feature"

// Fork returns a store of its own that starts as snap, a snapshot of s, was: what
// is written to it nobody else sees. It costs next to nothing, and memory only for
// what is written. So a question that begins with "what if" is answered by the code
// that would do it.
func (s *Store) Fork(snap *Snapshot) *Store {
	s.writer.Lock()
	// Beyond all that made a part of snap: the fork writes to copies.
	epoch := s.epoch
	s.writer.Unlock()
	f := &Store{epoch: epoch, tallies: make(map[jobRef]*tally), understands: s.understands, origin: snap}
	f.feed.init()
	f.watches.init()
	f.current.Store(snap)
	return f
}

// Understands is the newest feature level that states of this store may have.
func (s *Store) Understands() feature.Level { return s.understands }

// counted is the tally of a job that was not touched yet: a fork's is of the rows
// that it began with.
func (s *Store) counted(ref jobRef) *tally {
	if s.origin == nil {
		return &tally{}
	}
	scratch := &Store{tallies: make(map[jobRef]*tally)}
	x := &Txn{Snapshot: *s.origin, store: scratch, staleSet: make(map[jobRef]bool)}
	for a := range s.origin.AllocsByJob(ref.namespace, ref.id) {
		x.countAlloc(a, 1)
	}
	for e := range s.origin.EvalsByJob(ref.namespace, ref.id) {
		x.countEval(e, 1)
	}
	for j := range s.origin.JobsByParent(ref.namespace, ref.id) {
		x.countJob(j, 1)
	}
	return x.tally(ref.namespace, ref.id)
}
