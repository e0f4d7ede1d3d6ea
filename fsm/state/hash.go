package state

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/fsm/state/message"
	"github.com/steppe-project/steppe/fsm/state/tree"
	"github.com/steppe-project/steppe/model"
)

// Hash is the digest of all tables, rows in the order of their keys, and of
// the tables' indexes. It is equal on all servers that applied the same log,
// whether they restored a snapshot in between or not. It reads everything: a
// million allocations take seconds.
func (s *Snapshot) Hash() [32]byte { return s.hash(&hasher{shared: map[any][32]byte{}}) }

// Hasher hashes one state again and again. It keeps the digests of the rows that
// the last state had, so that only what has changed is digested: a row that
// somebody changes in place, against the rule, passes unseen.
type Hasher struct {
	rows, shared map[any][32]byte
}

// Hash is the snapshot's hash.
func (m *Hasher) Hash(s *Snapshot) [32]byte {
	h := &hasher{last: *m, rows: make(map[any][32]byte, len(m.rows)), shared: make(map[any][32]byte, len(m.shared))}
	defer func() { m.rows, m.shared = h.rows, h.shared }()
	return s.hash(h)
}

func (s *Snapshot) hash(h *hasher) [32]byte {
	h.sum = sha256.New()
	for i, t := range Tables {
		if s.untouched(t) {
			continue
		}
		h.text(string(t))
		h.number(s.changed[i])
	}
	_ = eachTable(s, h) // a hasher never fails
	var out [32]byte
	h.sum.Sum(out[:0])
	return out
}

// visitor is called with every row of the store, table by table.
type visitor interface {
	table(t Table, rows int) error
	row(row msgp.Marshaler) error
	alloc(a *model.Allocation) error
}

// visit runs v over one table.
func visit[T any, P interface {
	*T
	msgp.Marshaler
}](v visitor, name Table, t *tree.Tree[T]) error {
	if err := v.table(name, t.Size()); err != nil {
		return err
	}
	for row := range t.All() {
		if err := v.row(P(row)); err != nil {
			return err
		}
	}
	return nil
}

// eachTable runs v over all tables in canonical order: rows come after what
// they refer to.
func eachTable(s *Snapshot, v visitor) error {
	steps := []func() error{
		func() error { return visit(v, TableNamespaces, &s.namespaces.trees[byKey]) },
		func() error { return visit(v, TableNodePools, &s.pools.trees[byKey]) },
		func() error { return visit(v, sectionScheduler, &s.scheduler.trees[byKey]) },
		func() error { return visit(v, sectionAutopilot, &s.autopilot.trees[byKey]) },
		func() error { return visit(v, sectionCluster, &s.cluster.trees[byKey]) },
		func() error { return visit(v, sectionSigning, &s.signing.trees[byKey]) },
		func() error { return visitSome(v, sectionFeature, &s.feature.trees[byKey]) },
		func() error { return visit(v, TableNodes, &s.nodes.trees[byKey]) },
		func() error { return visit(v, TableJobs, &s.jobs.trees[byKey]) },
		func() error { return visit(v, TableJobVersions, &s.versions.trees[byKey]) },
		func() error { return visit(v, TableSubmissions, &s.submissions.trees[byKey]) },
		func() error { return visit(v, TableJobSummary, &s.summaries.trees[byKey]) },
		func() error { return visit(v, TableEvals, &s.evals.trees[byKey]) },
		func() error { return visit(v, TableDeployments, &s.deployments.trees[byKey]) },
		func() error { return visit(v, TableRequests, &s.requests.trees[byKey]) },
		func() error { return visit(v, TableScaling, &s.scaling.trees[byKey]) },
		func() error { return visitSome(v, TableLaunches, &s.launches.trees[byKey]) },
		func() error { return visitSome(v, TableQuotas, &s.quotas.trees[byKey]) },
		func() error { return visitAllocs(v, &s.allocs.trees[byKey]) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// visitSome passes over what came with a feature level and has no rows: the snapshot
// and the hash of such a state are those of servers that do not know the level.
func visitSome[T any, P interface {
	*T
	msgp.Marshaler
}](v visitor, name Table, t *tree.Tree[T]) error {
	if t.Size() == 0 {
		return nil
	}
	return visit[T, P](v, name, t)
}

// untouched tells whether a table that came with a feature level has never had rows.
func (s *Snapshot) untouched(t Table) bool {
	return (t == TableLaunches || t == TableQuotas) && s.TableIndex(t) == 0
}

func visitAllocs(v visitor, t *tree.Tree[model.Allocation]) error {
	if err := v.table(TableAllocs, t.Size()); err != nil {
		return err
	}
	for row := range t.All() {
		if err := v.alloc(row); err != nil {
			return err
		}
	}
	return nil
}

// hasher is the visitor that makes the state hash.
type hasher struct {
	sum    hash.Hash
	buf    []byte
	last   Hasher           // what a Hasher remembers
	rows   map[any][32]byte // digests of rows, for a Hasher
	shared map[any][32]byte // digests of values that many rows share
}

func (h *hasher) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	h.sum.Write(b[:])
}

func (h *hasher) text(s string) {
	h.number(uint64(len(s)))
	h.sum.Write([]byte(s))
}

func (h *hasher) table(t Table, rows int) error {
	h.text(string(t))
	h.number(uint64(rows))
	return nil
}

func (h *hasher) row(row msgp.Marshaler) error {
	h.write(row, func() [32]byte { return h.digest(row) })
	return nil
}

// write adds a row's digest, the remembered one if there is one.
func (h *hasher) write(row any, digest func() [32]byte) {
	d, ok := h.last.rows[row]
	if !ok {
		d = digest()
	}
	if h.rows != nil {
		h.rows[row] = d
	}
	h.sum.Write(d[:])
}

// digest is the digest of a value's encoding. One that has none cannot have
// come from a log; its error stands for it.
func (h *hasher) digest(m msgp.Marshaler) [32]byte {
	b, err := m.MarshalMsg(h.buf[:0])
	if err != nil {
		return sha256.Sum256([]byte(err.Error()))
	}
	h.buf = b
	return message.Digest(b)
}

func (h *hasher) alloc(a *model.Allocation) error {
	r := baseRecord(a)
	if a.Job != nil {
		r.JobValue = h.sharedDigest(a.Job, a.Job)
	}
	if a.AllocatedResources != nil {
		r.ResourcesValue = h.sharedDigest(a.AllocatedResources, a.AllocatedResources)
	}
	if a.Metrics != nil {
		r.MetricsValue = h.sharedDigest(a.Metrics, a.Metrics)
	}
	h.write(a, func() [32]byte { return h.digest(short{&r}) })
	return nil
}

func (h *hasher) sharedDigest(key any, m msgp.Marshaler) []byte {
	d, ok := h.shared[key]
	if !ok {
		if d, ok = h.last.shared[key]; !ok {
			d = h.digest(m)
		}
		h.shared[key] = d
	}
	return d[:]
}

// Digest is the sha256 of a msgpack message whatever the order in which its
// maps were written.
func Digest(b []byte) [32]byte { return message.Digest(b) }
