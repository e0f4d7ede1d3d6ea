package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what an operation is.
type Kind uint8

// Kinds of operation.
const (
	Write  Kind = iota // unconditional
	CAS                // compare-and-set by index
	Read               // default mode
	Linear             // consistent mode
	Stale
)

// String is the kind in words.
func (k Kind) String() string {
	return [...]string{"write", "cas", "read", "read consistent", "read stale"}[k]
}

// Outcome is how an operation ended.
type Outcome uint8

// Outcomes.
const (
	OK       Outcome = iota
	Conflict         // a compare-and-set that was refused for its index
	Unknown          // no answer, or one that leaves open what happened
)

// String is the outcome in words.
func (o Outcome) String() string { return [...]string{"ok", "conflict", "unknown"}[o] }

// Op is one operation on a register, as its caller saw it.
type Op struct {
	Client int
	Kind   Kind
	Key    string
	// Value is what was written or read; 0 is a register that does not exist.
	Value int
	// Index is the register's index: of a write's answer, or as read.
	Index uint64
	// Expect is the index that a CAS asks for, 0 = does not exist.
	Expect  uint64
	Outcome Outcome
	// Call and Return are since the history's beginning.
	Call, Return time.Duration
	// Server answered (of a repeated one: the last); Life counts its processes, at
	// the call and at the return.
	Server             string
	Life, LifeAtTheEnd int
	// Attempts is how often a request with a token was sent.
	Attempts int
	Note     string // the error of an unknown outcome
}

// String is the operation as a line of a history.
func (o Op) String() string {
	s := fmt.Sprintf("%9.4f %9.4f client %2d %-15s %s", o.Call.Seconds(), o.Return.Seconds(), o.Client, o.Kind, o.Key)
	if o.Kind == CAS {
		s += fmt.Sprintf(" if index %d", o.Expect)
	}
	s += fmt.Sprintf(" value %d index %d %s, by %s", o.Value, o.Index, o.Outcome, o.Server)
	if o.Attempts > 1 {
		s += fmt.Sprintf(", %d attempts", o.Attempts)
	}
	if o.Note != "" {
		s += ": " + o.Note
	}
	return s
}

// History is what all callers saw.
type History struct {
	begin time.Time

	mu  sync.Mutex
	ops []Op
}

// NewHistory begins one.
func NewHistory() *History { return &History{begin: time.Now()} }

// Now is the history's time.
func (h *History) Now() time.Duration { return time.Since(h.begin) }

func (h *History) add(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Ops are the operations so far, by time of call.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := slices.Clone(h.ops)
	slices.SortStableFunc(ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	return ops
}

// text is the history of one key.
func text(ops []Op, key string) string {
	var b strings.Builder
	for _, o := range ops {
		if o.Key == key {
			b.WriteString(o.String() + "\n")
		}
	}
	return b.String()
}

// Gaps are the times without an accepted write: the longest ones first. A write
// counts when its answer is there.
func Gaps(ops []Op) []time.Duration {
	var at []time.Duration
	for _, o := range ops {
		if o.Kind <= CAS && o.Outcome != Unknown {
			at = append(at, o.Return)
		}
	}
	slices.Sort(at)
	var gaps []time.Duration
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, at[i]-at[i-1])
	}
	slices.SortFunc(gaps, func(a, b time.Duration) int { return cmp.Compare(b, a) })
	return gaps
}

// Failovers are the times from each of at to the answer of the first accepted
// write that was sent after it.
func Failovers(ops []Op, at []time.Duration) []time.Duration {
	var out []time.Duration
	for _, t := range at {
		first := time.Duration(-1)
		for _, o := range ops {
			if o.Kind <= CAS && o.Outcome != Unknown && o.Call >= t && (first < 0 || o.Return < first) {
				first = o.Return
			}
		}
		if first >= 0 {
			out = append(out, first-t)
		}
	}
	return out
}
