package consensus

import (
	"io"
	"log/slog"
	"time"

	"github.com/steppe-project/steppe/model"
)

const (
	// MaxCommandBytes bounds one command's body: a plan of a hundred thousand
	// placements or a job with large templates is far below.
	MaxCommandBytes = 32 << 20
	// MaxEntryBytes is when a log entry takes no further commands: large enough
	// that the disk's latency is shared by hundreds of commands, small enough
	// that one entry replicates in milliseconds. One larger command is an entry
	// of its own.
	MaxEntryBytes = 512 << 10
	// MaxEntryCommands bounds the commands of one entry, and so the outcomes that
	// wait for one commit.
	MaxEntryCommands = 4096
	// maxQueueBytes and maxQueueCommands bound what waits to be proposed; further
	// proposals are refused as unavailable. Sixteen full entries per direction of
	// trouble is about a second's work of a slow disk.
	maxQueueBytes    = 64 << 20
	maxQueueCommands = 64 << 10
	// maxEntriesInFlight is how many entries are given to raft at a time: one
	// being written here and one on its way at the followers. More would only
	// make entries smaller.
	maxEntriesInFlight = 2
	// worthwhile is how much must wait for an entry that goes out beside another.
	// Less of it gains more by sharing the next entry, and so its fsync and its
	// messages, than by being earlier.
	worthwhile = 128 << 10

	// maxAppendEntries bounds the entries in one message to a follower.
	maxAppendEntries = 64
	// logCacheEntries are kept in memory for followers that are nearly current.
	logCacheEntries = 512
	// retainSnapshots is how many snapshots stay on disk: the newest, and the one
	// before in case it is damaged.
	retainSnapshots = 2
	// transportTimeout bounds one message to another server; snapshots get a
	// multiple by size.
	transportTimeout = 5 * time.Second
	// transportConns is how many idle connections per server are kept.
	transportConns = 3
	// barrierTimeout bounds catching up as a new leader.
	barrierTimeout = 2 * time.Minute
	// membershipTimeout bounds waiting for a change of the server set to start.
	membershipTimeout = 10 * time.Second
	// restoreTimeout bounds replacing the state by an operator's snapshot.
	restoreTimeout = 10 * time.Minute
)

// Timing is raft's clockwork. The zero value means the defaults.
type Timing struct {
	// Heartbeat is how long a follower waits without word from the leader before
	// it calls an election (up to twice as long, at random). Default 400 ms: with
	// pre-votes a leader is replaced only when both others miss it, after one to
	// two of these; and a follower that misses it alone disturbs nobody.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes. Default 400 ms.
	Election time.Duration
	// Lease is how long a leader may go without word from a majority before it
	// steps down; at most Heartbeat. Default 400 ms.
	Lease time.Duration
	// Commit is how long a follower may go without learning the commit index
	// when nothing else is sent. Default 50 ms.
	Commit time.Duration
	// SnapshotInterval is how often the need for a snapshot is checked (up to
	// twice as long, at random). Default 5 s: looking costs nothing.
	SnapshotInterval time.Duration
	// SnapshotEntries is how many entries since the last snapshot call for the
	// next, more when the state is large (entriesFor). Default 8192.
	SnapshotEntries uint64
	// TrailingEntries is how many entries stay in the log after a snapshot, for
	// followers that are a little behind. Default 10240.
	TrailingEntries uint64
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&t.Heartbeat, 400*time.Millisecond)
	set(&t.Election, 400*time.Millisecond)
	set(&t.Lease, 400*time.Millisecond)
	set(&t.Commit, 50*time.Millisecond)
	set(&t.SnapshotInterval, 5*time.Second)
	if t.SnapshotEntries == 0 {
		t.SnapshotEntries = 8192
	}
	if t.TrailingEntries == 0 {
		t.TrailingEntries = 10240
	}
	return t
}

// Config is what a Host needs.
type Config struct {
	// ID is this server's id for its whole life; Addr its rpc address as the
	// others reach it (host:port).
	ID   string
	Addr string
	// Dir is the folder of log and snapshots. Empty keeps everything in memory:
	// for tests and for agents whose state may end with them.
	Dir string
	// Streams carries raft's connections. Nil is for a server that will never
	// have others.
	Streams StreamLayer
	// AddrOf, when set, gives the present address of a server by id, "" when
	// unknown: servers that came back elsewhere are found before the
	// configuration knows.
	AddrOf func(id string) string
	// Reserve is how many bytes of the disk are kept free for when it is full; see
	// space.Config. 0 = the default.
	Reserve int64
	// SegmentBytes is the size of a file of the log; see segments.Options. 0 = the
	// default.
	SegmentBytes int
	// Machine is the state machine; it must be empty.
	Machine Machine
	// CheckState, when set, tries to load a state before an operator's snapshot
	// replaces the cluster's with it: loading must not fail half way then.
	CheckState func(r io.Reader) error
	// Timing may be left zero.
	Timing Timing
	// Now stamps entries; nil means time.Now.
	Now func() time.Time
	// Logger gets raft's words and the host's own.
	Logger *slog.Logger
}

func (c *Config) validate() error {
	switch {
	case c.ID == "":
		return model.Errorf(model.CodeInvalid, "a server needs an id")
	case c.Addr == "":
		return model.Errorf(model.CodeInvalid, "a server needs an rpc address to advertise")
	case c.Machine == nil || c.Logger == nil:
		return model.Errorf(model.CodeInternal, "consensus: machine and logger are required")
	}
	return nil
}
