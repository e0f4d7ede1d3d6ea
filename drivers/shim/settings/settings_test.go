package settings

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func encode(t *testing.T, v map[string]any) []byte {
	t.Helper()
	b, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRead(t *testing.T) {
	b := Parse(encode(t, map[string]any{
		"s": "text", "b": true, "i": 7, "f": 3.0, "d": "90s", "l": []any{"x", "y"},
		"m": map[string]any{"k": "v"}, "nil": nil, "in": map[string]any{"i": -1},
	}))
	if b.String("s") != "text" || !b.Bool("b") || b.Int("i") != 7 || b.Int("f") != 3 || b.Duration("d") != 90*time.Second {
		t.Error("scalars")
	}
	if !slices.Equal(b.Strings("l"), []string{"x", "y"}) || b.Map("m")["k"] != "v" || b.Block("in").Int("i") != -1 {
		t.Error("collections")
	}
	if b.String("absent") != "" || b.Bool("absent") || b.Strings("absent") != nil || b.Map("absent") != nil || b.Block("absent") != nil {
		t.Error("absent keys")
	}
	if err := b.Err(); err != nil {
		t.Error(err)
	}
	if err := Parse(nil).Err(); err != nil {
		t.Error(err)
	}
}

func TestWrong(t *testing.T) {
	b := Parse(encode(t, map[string]any{
		"s": 1, "b": "x", "i": "x", "f": 1.5, "d": "soon", "l": "x", "l2": []any{1},
		"m": 1, "m2": map[string]any{"k": 1}, "in": 1, "left": 1, "in2": map[string]any{"over": 2},
	}))
	b.String("s")
	b.Bool("b")
	b.Int("i")
	b.Int("f")
	b.Duration("d")
	b.Strings("l")
	b.Strings("l2")
	b.Map("m")
	b.Map("m2")
	b.Block("in")
	b.Block("in2")
	err := b.Err()
	for _, want := range []string{`"s" must`, `"b" must`, `"i" must`, `"f" must`, `"d" must`, `"l" must`, `"l2" must`,
		`"m" must`, `"m2" must`, `"in" must`, `unknown setting "left"`, `unknown setting "in2.over"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
	for _, bad := range [][]byte{{0xc1}, {0x93, 1}, {0x01}, []byte("hello")} {
		if Parse(bad).Err() == nil {
			t.Errorf("%x accepted", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x81, 0xa1, 'k', 0xa1, 'v'})
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		block := Parse(b)
		block.String("k")
		block.Strings("l")
		block.Map("m")
		_ = block.Err()
	})
}
