package system

import (
	"bytes"
	"strings"
	"testing"
)

func TestEmptyEventsAreLeftOut(t *testing.T) {
	var out bytes.Buffer
	if err := lines(&out, strings.NewReader("{}\n{\"Index\":1}\n\n{}\n{\"Index\":2}")); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "{\"Index\":1}\n{\"Index\":2}\n" {
		t.Errorf("%q", got)
	}
}
