package host

import (
	"errors"
	"math/big"

	"github.com/tinylib/msgp/msgp"
	"github.com/zclconf/go-cty/cty"
)

// errUnknownValue says that a configuration was not fully evaluated, which the
// decoder rules out before.
var errUnknownValue = errors.New("configuration has a value that is not known")

// appendMsgpack encodes v after b in its own concrete type: objects and maps as
// maps (of every key, nil for null), lists, sets and tuples as arrays, whole
// numbers as integers where 64 bits hold them and as floats else.
func appendMsgpack(b []byte, v cty.Value) ([]byte, error) {
	if !v.IsKnown() {
		return nil, errUnknownValue
	}
	if v.IsNull() {
		return msgp.AppendNil(b), nil
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return msgp.AppendString(b, v.AsString()), nil
	case t == cty.Bool:
		return msgp.AppendBool(b, v.True()), nil
	case t == cty.Number:
		return appendNumber(b, v.AsBigFloat()), nil
	case t.IsMapType() || t.IsObjectType():
		return appendMap(b, v)
	}
	b = msgp.AppendArrayHeader(b, uint32(v.LengthInt()))
	for _, element := range v.Elements() {
		var err error
		if b, err = appendMsgpack(b, element); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendMap writes the keys in order, so that equal values have equal bytes.
func appendMap(b []byte, v cty.Value) ([]byte, error) {
	b = msgp.AppendMapHeader(b, uint32(v.LengthInt()))
	for key, element := range v.Elements() {
		b = msgp.AppendString(b, key.AsString())
		var err error
		if b, err = appendMsgpack(b, element); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendNumber(b []byte, n *big.Float) []byte {
	if n.IsInt() {
		if i, accuracy := n.Int64(); accuracy == big.Exact {
			return msgp.AppendInt64(b, i)
		}
		if u, accuracy := n.Uint64(); accuracy == big.Exact {
			return msgp.AppendUint64(b, u)
		}
	}
	f, _ := n.Float64()
	return msgp.AppendFloat64(b, f)
}
