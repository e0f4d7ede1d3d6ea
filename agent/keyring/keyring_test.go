package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

// memory is a Store.
type memory struct {
	text string
	err  error
}

func (m *memory) Read(string) (string, error) { return m.text, nil }
func (m *memory) Write(_, text string) error {
	if m.err == nil {
		m.text = text
	}
	return m.err
}

func key(n byte) []byte { return bytes.Repeat([]byte{n}, KeyBytes) }

func open(t *testing.T, store Store, configured []byte) *Ring {
	t.Helper()
	r, err := Open(store, configured)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRotation: a key is installed, used, the old one removed; the last ring is
// what a restart finds, whatever the configuration says by then.
func TestRotation(t *testing.T) {
	store := &memory{}
	r := open(t, store, key(1))
	var applied [][]byte
	r.OnChange(func(keys [][]byte) error { applied = keys; return nil })
	if store.text != "" || r.Notice() != "" {
		t.Errorf("kept before any change: %q, notice %q", store.text, r.Notice())
	}
	for _, step := range []struct {
		op   Op
		key  byte
		want string
		code model.Code
	}{
		{Use, 2, "1", model.CodeConflict},
		{Install, 2, "1 2", ""},
		{Install, 2, "1 2", ""},
		{Remove, 1, "1 2", model.CodeConflict},
		{Use, 2, "2 1", ""},
		{Use, 2, "2 1", ""},
		{Remove, 3, "2 1", ""},
		{Remove, 1, "2", ""},
		{Remove, 2, "2", model.CodeConflict},
		{"paint", 2, "2", model.CodeInvalid},
	} {
		err := r.Change(step.op, key(step.key))
		if (step.code == "") != (err == nil) || err != nil && model.CodeOf(err) != step.code {
			t.Errorf("%s %d: %v", step.op, step.key, err)
		}
		if err != nil && strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(key(step.key))) {
			t.Errorf("the key is in %q", err)
		}
		if got := numbers(r.Keys()); got != step.want {
			t.Errorf("%s %d: ring %s, want %s", step.op, step.key, got, step.want)
		}
	}
	if numbers(applied) != "2" {
		t.Errorf("applied %s", numbers(applied))
	}
	for configured, notice := range map[byte]string{2: "", 1: "not encrypt of the configuration", 0: "although the configuration has no encrypt"} {
		var c []byte
		if configured != 0 {
			c = key(configured)
		}
		again := open(t, store, c)
		if numbers(again.Keys()) != "2" || !strings.Contains(again.Notice(), notice) || notice == "" && again.Notice() != "" {
			t.Errorf("after a restart with %d: %s, notice %q", configured, numbers(again.Keys()), again.Notice())
		}
	}
}

func numbers(keys [][]byte) string {
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprint(k[0]))
	}
	return strings.Join(out, " ")
}

// TestDiskRefuses: what could not be kept does not take effect.
func TestDiskRefuses(t *testing.T) {
	store := &memory{err: errors.New("disk full")}
	r := open(t, store, key(1))
	r.OnChange(func([][]byte) error { t.Error("it took effect"); return nil })
	if err := r.Change(Install, key(2)); err == nil || numbers(r.Keys()) != "1" {
		t.Errorf("%v, ring %s", err, numbers(r.Keys()))
	}
}

// TestBadRings: damaged files and what is no key are refused in words that give
// nothing away.
func TestBadRings(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(key(7))
	for name, text := range map[string]string{
		"not JSON":      secret,
		"newer":         `{"version":2,"keys":["` + secret + `"]}`,
		"empty":         `{"version":1,"keys":[]}`,
		"short":         `{"version":1,"keys":["` + secret[:8] + `"]}`,
		"no base64":     `{"version":1,"keys":["` + secret + `!"]}`,
		"too many keys": `{"version":1,"keys":[` + strings.Repeat(`"`+secret+`",`, MaxKeys) + `"` + secret + `"]}`,
	} {
		_, err := Open(&memory{text: text}, key(1))
		if err == nil || !strings.Contains(err.Error(), "remove it") || strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := open(t, &memory{}, nil)
	if err := r.Change(Install, key(1)); model.CodeOf(err) != model.CodeInvalid || len(r.Keys()) != 0 {
		t.Errorf("a cluster without encryption: %v", err)
	}
	if err := open(t, &memory{}, key(1)).Change(Install, []byte("short")); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("a short key: %v", err)
	}
}

// TestRingProperties: whatever is done, a ring has a primary, no key twice, at most
// MaxKeys, and what is kept is what is used.
func TestRingProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := &memory{}
		r, err := Open(store, key(1))
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			before := numbers(r.Keys())
			op := rapid.SampledFrom([]Op{Install, Use, Remove}).Draw(t, "op")
			k := key(rapid.Byte().Filter(func(b byte) bool { return b < 12 }).Draw(t, "key"))
			if err := r.Change(op, k); err != nil && numbers(r.Keys()) != before {
				t.Fatalf("%s failed and changed %s to %s", op, before, numbers(r.Keys()))
			}
			keys := r.Keys()
			seen := map[string]bool{}
			for _, x := range keys {
				seen[string(x)] = true
			}
			if len(keys) == 0 || len(keys) > MaxKeys || len(seen) != len(keys) {
				t.Fatalf("ring %s", numbers(keys))
			}
			if again, err := Open(store, key(1)); err != nil || numbers(again.Keys()) != numbers(keys) {
				t.Fatalf("kept %v, used %s: %v", again, numbers(keys), err)
			}
		}
	})
}
