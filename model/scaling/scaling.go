// Package scaling is what is kept of scaling actions. It is part of the model: pure
// data, whose JSON is the public one.
package scaling

//go:generate go tool msgp -file scaling.go -o codec_gen.go -tests=false -io=false

// Event is one scaling action on a group: a change of its count, or only
// the word of a scaler that could not or need not act. Time in unix ns.
type Event struct {
	Count         *int64 // nil: the count was left as it is
	PreviousCount int64
	Error         bool
	Message       string
	Meta          RawJSON // an object, as it was sent; nil for none
	EvalID        *string // nil: no evaluation
	Time          uint64
	CreateIndex   uint64
}

// RawJSON is a JSON value that is kept byte for byte: numbers in the meta data
// of scalers are times in nanoseconds, which a float64 would round.
type RawJSON []byte

// MarshalJSON returns the value, null for none.
func (r RawJSON) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps the value; null is none.
func (r *RawJSON) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*r = nil
		return nil
	}
	*r = append((*r)[:0], b...)
	return nil
}
