package base

import (
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/agext/levenshtein"
	"github.com/dustin/go-humanize"
)

// Clean makes a text from elsewhere safe for a terminal: control characters show
// as their escapes.
func Clean(s string) string {
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			if r < 0x100 {
				fmt.Fprintf(&b, "\\x%02x", r)
			} else {
				fmt.Fprintf(&b, "\\u%04x", r)
			}
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isControl: also what changes the direction of a line, and other characters
// that show nothing.
func isControl(r rune) bool { return !unicode.IsPrint(r) }

// ShortID is the first 8 characters, or the whole id when verbose.
func ShortID(id string, verbose bool) string {
	if verbose || len(id) <= 8 {
		return id
	}
	return id[:8]
}

// Ago says how long ago unix nanoseconds were.
func Ago(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return Age(time.Since(time.Unix(0, ns))) + " ago"
}

// Age is a duration as people say it: two units at most.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Time is a time in the local zone, - when it is not set.
func Time(t time.Time) string {
	if t.IsZero() || t.UnixNano() == 0 {
		return "-"
	}
	return t.Local().Format("2006-01-02T15:04:05Z07:00")
}

// maxDistance is how many letters a typo may differ by.
const maxDistance = 2

// Closest returns the candidate nearest to word, or "" when none is near.
func Closest(word string, candidates []string) string {
	best, dist := "", maxDistance+1
	for _, c := range candidates {
		if d := levenshtein.Distance(word, c, nil); d < dist && d < len(c) {
			best, dist = c, d
		}
	}
	return best
}

// Dash is "-" for an empty text.
func Dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// YesNo is true or false as text.
func YesNo(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// Bytes is a size in units.
func Bytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// Keys are a map's keys in order.
func Keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
