// Package settings reads the configuration blocks that the host sends to a
// driver: one msgpack map with every key of the driver's own schema.
//
// Contract: a Block is read key by key with the type the driver expects. Wrong
// types and keys that nobody read are one error at the end, so that no setting
// is ever ignored. An absent key and a nil value read as the zero value.
//
//	b := settings.Parse(msgpack)
//	c.Command = b.String("command")
//	c.Args = b.Strings("args")
//	err := b.Err()
package settings

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// Block is a configuration block that is being read.
type Block struct {
	name   string
	values map[string]any
	errs   []error
	inner  []*Block
}

// Parse decodes a block; no bytes at all are an empty one.
func Parse(b []byte) *Block {
	out := &Block{}
	if len(b) == 0 {
		return out
	}
	v, _, err := msgp.ReadIntfBytes(b)
	if err != nil {
		out.errs = append(out.errs, fmt.Errorf("configuration is not msgpack: %w", err))
		return out
	}
	switch v := v.(type) {
	case nil:
	case map[string]any:
		out.values = v
	default:
		out.errs = append(out.errs, fmt.Errorf("configuration is a %T instead of a map", v))
	}
	return out
}

// Err is what was wrong, including keys that have not been asked for.
func (b *Block) Err() error {
	errs := b.errs
	var left []string
	for k, v := range b.values {
		if v != nil {
			left = append(left, k)
		}
	}
	slices.Sort(left)
	for _, k := range left {
		errs = append(errs, fmt.Errorf("unknown setting %q", b.name+k))
	}
	for _, in := range b.inner {
		errs = append(errs, in.Err())
	}
	return errors.Join(errs...)
}

func (b *Block) take(key string) any {
	v := b.values[key]
	delete(b.values, key)
	return v
}

func (b *Block) wrong(key, want string, got any) {
	b.errs = append(b.errs, fmt.Errorf("setting %q must be %s, not %v", b.name+key, want, got))
}

// String reads a text.
func (b *Block) String(key string) string {
	switch v := b.take(key).(type) {
	case nil:
	case string:
		return v
	case []byte:
		return string(v)
	default:
		b.wrong(key, "a text", v)
	}
	return ""
}

// Bool reads a truth value.
func (b *Block) Bool(key string) bool {
	switch v := b.take(key).(type) {
	case nil:
	case bool:
		return v
	default:
		b.wrong(key, "true or false", v)
	}
	return false
}

// Int reads a whole number.
func (b *Block) Int(key string) int64 {
	switch v := b.take(key).(type) {
	case nil:
	case int64:
		return v
	case uint64:
		return int64(v)
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
		b.wrong(key, "a whole number", v)
	default:
		b.wrong(key, "a whole number", v)
	}
	return 0
}

// Duration reads a text such as "30s", or "" for none.
func (b *Block) Duration(key string) time.Duration {
	text := b.String(key)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		b.wrong(key, `a duration such as "30s"`, fmt.Sprintf("%q", text))
	}
	return d
}

// Strings reads a list of texts.
func (b *Block) Strings(key string) []string {
	v := b.take(key)
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		b.wrong(key, "a list of texts", v)
		return nil
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			b.wrong(key, "a list of texts", v)
			return nil
		}
		out = append(out, s)
	}
	return out
}

// Map reads texts by name.
func (b *Block) Map(key string) map[string]string {
	v := b.take(key)
	if v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		b.wrong(key, "a map of texts", v)
		return nil
	}
	out := make(map[string]string, len(m))
	for k, e := range m {
		s, ok := e.(string)
		if !ok {
			b.wrong(key, "a map of texts", v)
			return nil
		}
		out[k] = s
	}
	return out
}

// Block reads a nested block, nil when it is absent.
func (b *Block) Block(key string) *Block {
	v := b.take(key)
	if v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		b.wrong(key, "a block", v)
		return nil
	}
	in := &Block{name: b.name + key + ".", values: m}
	b.inner = append(b.inner, in)
	return in
}

// Encode is the host's side: the msgpack form of a block, for tests and for
// programs that embed a driver.
func Encode(values map[string]any) ([]byte, error) {
	return msgp.AppendIntf(nil, values)
}
