package fsm

import (
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/fsm/state/message"
	"github.com/steppe-project/steppe/model"
)

// MaxRequests bounds the remembered outcomes of commands with a request id:
// far more than a client retries within, at about 200 bytes each.
const MaxRequests = 8192

// remember keeps the outcome of a command and drops the oldest beyond the limit.
func (x *tx) remember(c *Command, out Outcome) {
	r, err := requestOf(c.Kind, out)
	if err != nil {
		return // results of this package always encode
	}
	r.ID = c.RequestID
	_ = x.Do(func() error { // a function that cannot fail
		x.Put(r)
		for old := range x.Requests() {
			if x.Count(state.TableRequests) > MaxRequests {
				x.Delete(old)
			}
			break
		}
		return nil
	})
}

// replay is the outcome that r remembers.
func replay(r *state.Request, k Kind) Outcome {
	if Kind(r.Kind) != k {
		return Outcome{Index: r.Index, Err: model.Errorf(model.CodeConflict, "request id %q was used by another command", r.ID)}
	}
	return outcomeOf(r)
}

// EncodeOutcome writes the outcome of a command of that kind for another
// server, DecodeOutcome reads it: an error keeps its code and message.
func EncodeOutcome(k Kind, out Outcome) ([]byte, error) {
	r, err := requestOf(k, out)
	if err != nil {
		return nil, err
	}
	return r.MarshalMsg(nil)
}

// DecodeOutcome reads what EncodeOutcome wrote.
func DecodeOutcome(data []byte) (Outcome, error) {
	var r state.Request
	if err := message.Check(data); err != nil {
		return Outcome{}, model.Errorf(model.CodeInternal, "outcome cannot be decoded: %w", err)
	}
	if _, err := r.UnmarshalMsg(data); err != nil {
		return Outcome{}, model.Errorf(model.CodeInternal, "outcome cannot be decoded: %w", err)
	}
	return outcomeOf(&r), nil
}

func requestOf(k Kind, out Outcome) (*state.Request, error) {
	r := &state.Request{Index: out.Index, Kind: uint16(k)}
	if out.Err != nil {
		r.Code, r.Message = model.CodeOf(out.Err), out.Err.Error()
		return r, nil
	}
	value, ok := out.Value.(result)
	if !ok {
		return r, nil
	}
	b, err := value.MarshalMsg(nil)
	r.Value = message.Canonical(b) // equal on all servers
	return r, err
}

func outcomeOf(r *state.Request) Outcome {
	out := Outcome{Index: r.Index}
	if r.Code != "" {
		out.Err = model.Errorf(r.Code, "%s", r.Message)
		return out
	}
	make := kinds[Kind(r.Kind)].result
	if make == nil || len(r.Value) == 0 {
		return out
	}
	value := make()
	if _, err := value.UnmarshalMsg(r.Value); err != nil {
		out.Err = model.Errorf(model.CodeInternal, "remembered outcome cannot be decoded: %w", err)
		return out
	}
	out.Value = value
	return out
}
