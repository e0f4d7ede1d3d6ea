package base

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 0: "0ms", 999 * time.Millisecond: "999ms", time.Second: "1s", 59 * time.Second: "59s",
		61 * time.Second: "1m1s", time.Hour: "1h0m", 25 * time.Hour: "1d1h", 100 * 24 * time.Hour: "100d0h",
	} {
		if got := Age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if Ago(0) != "-" || Time(time.Time{}) != "-" || Time(time.Unix(0, 0)) != "-" {
		t.Error("what never was has no time")
	}
}

func TestClosest(t *testing.T) {
	names := []string{"run", "status", "stop", "job run", "job status"}
	for word, want := range map[string]string{
		"rnu": "run", "stauts": "status", "stopp": "stop", "job rn": "job run", "xyzzy": "", "": "", "s": "",
	} {
		if got := Closest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestCleanLeavesNoControlCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		got := Clean(s)
		if strings.ContainsFunc(got, isControl) {
			t.Fatalf("%q", got)
		}
		if !strings.ContainsFunc(s, isControl) && got != s {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestShortID(t *testing.T) {
	id := "0123456789abcdef"
	if ShortID(id, false) != "01234567" || ShortID(id, true) != id || ShortID("abc", false) != "abc" {
		t.Error("short ids have 8 characters")
	}
}
