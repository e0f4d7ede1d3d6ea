package ident

import (
	"regexp"
	"testing"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestFrom(t *testing.T) {
	a := From("a", "b")
	if !uuid4.MatchString(a) {
		t.Errorf("%q is no version 4 UUID", a)
	}
	if a != From("a", "b") {
		t.Error("equal parts gave different ids")
	}
	if a == From("ab") || a == From("a", "b", "") || a == From("b", "a") {
		t.Error("different parts gave equal ids")
	}
}

func TestNew(t *testing.T) {
	if a, b := New(), New(); a == b || !uuid4.MatchString(a) {
		t.Errorf("%q and %q are not two random ids", a, b)
	}
}
