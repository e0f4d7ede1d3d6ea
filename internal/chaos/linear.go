package chaos

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit bounds the search for an order of one register's operations. A
// search that does not end in time is reported, not counted as a failure.
const checkLimit = 20 * time.Second

// cell is the state of the model: the value, 0 = does not exist, and the
// highest index at which it is known to have been written.
type cell struct {
	value int
	index uint64
}

// step is an operation with what the history as a whole tells of it.
type step struct {
	Op
	expect int    // CAS: the value that has the index Expect
	known  uint64 // the index of the value written, 0 when nobody ever saw it
	hidden bool   // a conflict that a write which nobody saw may have made
}

// noValue is the value of an index that no value of the history has.
const noValue = -1

// registers is a register with check-index. The index of a value is learnt from all
// operations that saw it, so that the model needs no unknowns: a value whose index
// nobody saw cannot be asked for by index.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(step).Key
			parts[key] = append(parts[key], o)
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return cell{} },
	Step: func(state, input, _ any) (bool, any) { return apply(state.(cell), input.(step)) },
	DescribeOperation: func(input, _ any) string {
		s := input.(step)
		return s.String()
	},
	DescribeState: func(state any) string {
		r := state.(cell)
		return fmt.Sprintf("value %d, index %d", r.value, r.index)
	},
}

func apply(r cell, s step) (bool, any) {
	switch s.Kind {
	case Write:
		return write(r, s)
	case CAS:
		switch {
		case s.Outcome == Conflict:
			return s.hidden || r.value != s.expect, r
		case r.value == s.expect:
			return write(r, s)
		default:
			return s.Outcome == Unknown, r // it was refused, and nobody was told
		}
	case Read, Linear:
		return r.value == s.Value, r
	case Stale:
	}
	return true, r
}

// write writes, if the log's order allows it.
func write(r cell, s step) (bool, any) {
	if s.known != 0 && s.known <= r.index {
		return false, r
	}
	return true, cell{s.Value, max(r.index, s.known)}
}

// indexes maps the values of one register to their indexes, and complains about
// values with two, which were written twice, and about indexes with two values.
func indexes(ops []Op) (byValue map[int]uint64, byIndex map[uint64]int, err error) {
	byValue, byIndex = map[int]uint64{}, map[uint64]int{0: 0}
	var errs []error
	for _, o := range ops {
		if o.Value == 0 || o.Outcome != OK || o.Index == 0 {
			continue
		}
		if old, ok := byValue[o.Value]; ok && old != o.Index {
			errs = append(errs, fmt.Errorf("%s: value %d was written twice, at index %d and %d", o.Key, o.Value, old, o.Index))
		}
		if old, ok := byIndex[o.Index]; ok && old != o.Value {
			errs = append(errs, fmt.Errorf("%s: index %d has values %d and %d", o.Key, o.Index, old, o.Value))
		}
		byValue[o.Value], byIndex[o.Index] = o.Index, o.Value
	}
	return byValue, byIndex, errors.Join(errs...)
}

// steps makes porcupine's operations of those of one key. What is unknown returns
// at the end of time. A write of unknown outcome whose value nobody saw is left
// out, because many of them make the search long: it can matter only to a
// compare-and-set that was refused, which is then always explained.
func steps(ops []Op) ([]porcupine.Operation, error) {
	byValue, byIndex, err := indexes(ops)
	hidden := time.Duration(math.MaxInt64) // when the first of them was called
	for _, o := range ops {
		if o.Kind <= CAS && o.Outcome == Unknown && byValue[o.Value] == 0 {
			hidden = min(hidden, o.Call)
		}
	}
	var out []porcupine.Operation
	for i, o := range ops {
		s := step{Op: o, known: byValue[o.Value], hidden: o.Return > hidden}
		if o.Kind == Stale || o.Outcome == Unknown && (o.Kind > CAS || s.known == 0) {
			continue
		}
		if o.Kind == CAS {
			var ok bool
			if s.expect, ok = byIndex[o.Expect]; !ok {
				s.expect = noValue
			}
		}
		end, id := int64(o.Return), o.Client
		if o.Outcome == Unknown {
			// A caller that goes on is another one.
			end, id = math.MaxInt64, callers+i
		}
		out = append(out, porcupine.Operation{ClientId: id, Input: s, Output: nil, Call: int64(o.Call), Return: end})
	}
	return out, err
}

// Violation is a history that nothing explains.
type Violation struct {
	Key  string
	Err  error
	Info porcupine.LinearizationInfo
}

// CheckLinear looks for an order of the operations of every key. undecided counts
// the keys for which the search took too long.
func CheckLinear(ops []Op) (bad []Violation, keys, undecided int) {
	byKey := map[string][]Op{}
	for _, o := range ops {
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	for key, mine := range byKey {
		history, err := steps(mine)
		result, info := porcupine.CheckOperationsVerbose(registers, history, checkLimit)
		switch {
		case result == porcupine.Unknown:
			undecided++
		case result == porcupine.Illegal:
			err = errors.Join(err, errors.New("no order of the operations explains what was seen"))
		}
		if err != nil {
			bad = append(bad, Violation{key, err, info})
		}
	}
	return bad, len(byKey), undecided
}

// CheckStale checks that stale reads of a server never go back while its process
// lives.
func CheckStale(ops []Op) error {
	type place struct {
		server, key string
		life        int
	}
	byPlace := map[place][]Op{}
	var errs []error
	for _, o := range ops {
		if o.Kind != Stale || o.Outcome != OK || o.Life != o.LifeAtTheEnd {
			continue
		}
		p := place{o.Server, o.Key, o.Life}
		for _, before := range byPlace[p] {
			if before.Return < o.Call && before.Index > o.Index {
				errs = append(errs, fmt.Errorf("a stale read went back:\n%v\n%v", before, o))
			}
		}
		byPlace[p] = append(byPlace[p], o)
	}
	return errors.Join(errs...)
}
