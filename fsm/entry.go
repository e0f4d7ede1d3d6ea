package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/steppe-project/steppe/model"
)

// Kind numbers a command family member; the numbers are part of the log format
// and never reused.
type Kind uint16

// The kinds. Families have a block of ten.
const (
	KindRegisterNode    Kind = 1
	KindNodeStatus      Kind = 2
	KindNodeEligibility Kind = 3
	KindDeregisterNodes Kind = 4
	KindNodeEvents      Kind = 5
	KindNodeDrain       Kind = 6

	KindRegisterJob   Kind = 10
	KindDeregisterJob Kind = 11
	KindScaleJob      Kind = 12
	KindJobStability  Kind = 13
	KindDispatchJob   Kind = 14
	KindLaunchJob     Kind = 15
	KindRevertJob     Kind = 16
	KindTagVersion    Kind = 17

	KindUpsertEvals Kind = 20
	KindDeleteEvals Kind = 21

	KindApplyPlan Kind = 30

	KindUpdateAllocs     Kind = 40
	KindTransitionAllocs Kind = 41

	KindSchedulerConfig  Kind = 50
	KindAutopilotConfig  Kind = 51
	KindClusterMetadata  Kind = 52
	KindSigningKey       Kind = 53
	KindDeleteSigningKey Kind = 54
	KindFeatureLevel     Kind = 55

	KindUpsertNodePool  Kind = 60
	KindDeleteNodePool  Kind = 61
	KindUpsertNamespace Kind = 62
	KindDeleteNamespace Kind = 63
	KindUpsertQuota     Kind = 64
	KindDeleteQuota     Kind = 65

	KindCollect Kind = 70

	KindDeploymentStatus  Kind = 80
	KindPromoteDeployment Kind = 81
	KindAllocHealth       Kind = 82
)

// Command is one decision, encoded. Body is the msgpack form of the command
// struct that Kind names. RequestID, when set, makes the command idempotent:
// a second one with the same id gets the first one's outcome.
type Command struct {
	Kind      Kind
	RequestID string
	Body      []byte

	// Apart, when set, keeps the command out of entries that have another one with
	// the same Apart. It is not part of the entry.
	Apart string
}

// alone is a command of something with a check-index. Commands of an entry share
// its index: two writes of a job in one entry would both be answered with it, and
// who then asks for that index could not tell which of them it means.
type alone interface{ apart() string }

func (c *RegisterJob) apart() string {
	if c.Job == nil {
		return "" // it will be refused
	}
	return "job " + c.Job.Namespace + " " + c.Job.ID
}
func (c *DeregisterJob) apart() string   { return "job " + c.Namespace + " " + c.ID }
func (c *RevertJob) apart() string       { return "job " + c.Namespace + " " + c.ID }
func (c *ScaleJob) apart() string        { return "job " + c.Namespace + " " + c.ID }
func (c *SchedulerConfig) apart() string { return "scheduler" }
func (c *AutopilotConfig) apart() string { return "autopilot" }
func (c *FeatureLevel) apart() string    { return "feature" }

// Body is a command's content: one of this package's command structs.
type Body interface {
	msgp.Marshaler
	Kind() Kind
}

// NewCommand encodes a command. It fails when a value in it has no msgpack form.
func NewCommand(body Body) (Command, error) {
	b, err := body.MarshalMsg(nil)
	if err != nil {
		return Command{}, model.Errorf(model.CodeInvalid, "command %d cannot be encoded: %w", body.Kind(), err)
	}
	c := Command{Kind: body.Kind(), Body: b}
	if a, ok := body.(alone); ok {
		c.Apart = a.apart()
	}
	return c, nil
}

// Entry is one replicated log entry: many commands that share one commit and
// one transaction each. Time (unix nanoseconds) was stamped by the leader
// before proposing.
type Entry struct {
	Index    uint64
	Term     uint64
	Time     int64
	Commands []Command
}

// Outcome answers one command: the index it was applied at and either a value
// of the command's documented result type or an error.
type Outcome struct {
	Index uint64
	Value any
	Err   error
}

// FatalError is the error of an entry or snapshot that this server cannot
// apply, most likely because a newer version wrote it. Going on without it
// would make the server's state differ from the others', so the host of the
// state machine must stop the server, with the message.
type FatalError struct{ Reason string }

// Error returns the reason.
func (e *FatalError) Error() string { return e.Reason }

// Fatal tells whether err is or wraps a FatalError.
func Fatal(err error) bool {
	var f *FatalError
	return errors.As(err, &f)
}

// entryFormat is the first byte of an encoded entry. A reader refuses higher
// ones. What follows in format 1: time (8 bytes, big endian), number of
// commands, and for each command kind, length and bytes of the request id,
// length and bytes of the body (numbers as uvarint).
const entryFormat = 1

// Limits of an entry: what exceeds them was not written by a server.
const (
	// MaxEntryBytes bounds an encoded entry. A plan of 1,000 placements takes
	// about 200 KB; a job with a maximal template a few MB.
	MaxEntryBytes = 64 << 20
	// MaxEntryCommands bounds the commands in one entry; group commit fills
	// bytes long before.
	MaxEntryCommands = 1 << 16
	// MaxRequestIDBytes bounds a request id: they are kept.
	MaxRequestIDBytes = 128
)

// EncodeEntry writes the entry that carries commands, stamped with time (unix
// nanoseconds). It fails when a limit is exceeded.
func EncodeEntry(time int64, commands []Command) ([]byte, error) {
	if len(commands) == 0 || len(commands) > MaxEntryCommands {
		return nil, model.Errorf(model.CodeInvalid, "an entry has 1 to %d commands, not %d", MaxEntryCommands, len(commands))
	}
	size := 1 + 8 + binary.MaxVarintLen64
	for i := range commands {
		size += 3*binary.MaxVarintLen64 + len(commands[i].RequestID) + len(commands[i].Body)
		if len(commands[i].RequestID) > MaxRequestIDBytes {
			return nil, model.Errorf(model.CodeInvalid, "a request id has at most %d bytes", MaxRequestIDBytes)
		}
	}
	if size > MaxEntryBytes {
		return nil, model.Errorf(model.CodeInvalid, "an entry has at most %d bytes, not %d", MaxEntryBytes, size)
	}
	b := make([]byte, 0, size)
	b = append(b, entryFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(time))
	b = binary.AppendUvarint(b, uint64(len(commands)))
	for i := range commands {
		c := &commands[i]
		b = binary.AppendUvarint(b, uint64(c.Kind))
		b = binary.AppendUvarint(b, uint64(len(c.RequestID)))
		b = append(b, c.RequestID...)
		b = binary.AppendUvarint(b, uint64(len(c.Body)))
		b = append(b, c.Body...)
	}
	return b, nil
}

// DecodeEntry reads an encoded entry. The commands' bodies are parts of data,
// which must not change afterwards. A FatalError tells that a newer version
// wrote it; any other error that it is damaged.
func DecodeEntry(index, term uint64, data []byte) (Entry, error) {
	if len(data) == 0 || len(data) > MaxEntryBytes {
		return Entry{}, fmt.Errorf("log entry %d has %d bytes, not 1 to %d", index, len(data), MaxEntryBytes)
	}
	if data[0] > entryFormat {
		return Entry{}, &FatalError{fmt.Sprintf("log entry %d was written by a newer version of steppe (entry format %d; this version reads up to %d): upgrade this server", index, data[0], entryFormat)}
	}
	r := entryReader{data: data[1:]}
	e := Entry{Index: index, Term: term, Time: r.int64()}
	count := r.uvarint(MaxEntryCommands)
	for i := uint64(0); i < count && !r.bad; i++ {
		e.Commands = append(e.Commands, Command{
			Kind:      Kind(r.uvarint(1<<16 - 1)),
			RequestID: string(r.bytes(MaxRequestIDBytes)),
			Body:      r.bytes(MaxEntryBytes),
		})
	}
	if r.bad || data[0] == 0 || len(r.data) > 0 || count == 0 {
		return Entry{}, fmt.Errorf("log entry %d is damaged", index)
	}
	return e, nil
}

// entryReader reads the parts of an entry; bad is sticky.
type entryReader struct {
	data []byte
	bad  bool
}

func (r *entryReader) int64() int64 {
	if len(r.data) < 8 {
		r.bad = true
		return 0
	}
	v := binary.BigEndian.Uint64(r.data)
	r.data = r.data[8:]
	return int64(v)
}

func (r *entryReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *entryReader) bytes(limit uint64) []byte {
	n := r.uvarint(limit)
	if r.bad || n > uint64(len(r.data)) {
		r.bad = true
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}
