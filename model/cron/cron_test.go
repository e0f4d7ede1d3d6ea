package cron_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
)

func schedule(t testing.TB, zone string, specs ...string) *cron.Schedule {
	t.Helper()
	s, err := cron.Of(&model.PeriodicConfig{Specs: specs, TimeZone: zone})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ zone, specs, after, want string }{
		{"", "*/15 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"},
		{"", "*/15 * * * *", "2026-01-01T00:14:59.5Z", "2026-01-01T00:15:00Z"},
		{"UTC", "@hourly", "2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z"},
		{"UTC", "@midnight", "2026-01-01T00:59:59Z", "2026-01-02T00:00:00Z"},
		{"UTC", "*/5 * * * * * *", "2026-01-01T00:00:01Z", "2026-01-01T00:00:05Z"}, // seven fields: seconds
		{"UTC", "0 0 1 1 * 2030", "2026-01-01T00:00:01Z", "2030-01-01T00:00:00Z"},  // six: the year
		{"UTC", "0 0 29 2 *", "2026-01-01T00:00:01Z", "2028-02-29T00:00:00Z"},
		{"UTC", "0 0 L * *", "2026-02-01T00:00:01Z", "2026-02-28T00:00:00Z"},
		{"UTC", "0 0 * * 5#2", "2026-01-01T00:00:01Z", "2026-01-09T00:00:00Z"},
		{"UTC", "0 0 * * 6-7", "2026-01-03T00:00:01Z", "2026-01-04T00:00:00Z"},     // Sunday is 7
		{"UTC", "0 0 * * sat-sun", "2026-01-03T00:00:01Z", "2026-01-04T00:00:00Z"}, // and its name
		{"UTC", "0 0 * * 1-7/3", "2026-01-01T12:00:00Z", "2026-01-04T00:00:00Z"},   // 1, 4, 7
		{"Europe/Berlin", "30 8 * * *", "2026-01-01T00:00:00Z", "2026-01-01T07:30:00Z"},
		{"Europe/Berlin", "30 8 * * *", "2026-07-01T00:00:00Z", "2026-07-01T06:30:00Z"},
		{"UTC", "0 0 * * *|30 12 * * *", "2026-01-01T00:00:00Z", "2026-01-01T12:30:00Z"}, // the earlier of two

		// The clocks of Berlin go from 2:00 to 3:00 at 1:00 UTC.
		{"Europe/Berlin", "30 2 * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},   // passed over: the first instant after
		{"Europe/Berlin", "30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},   // and only once
		{"Europe/Berlin", "*/20 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"}, // three of them are one
		{"Europe/Berlin", "0 2,3 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		{"Europe/Berlin", "*/20 * * * *", "2026-03-29T00:40:00Z", "2026-03-29T01:00:00Z"}, // hours that go by
		{"Europe/Berlin", "*/20 * * * *", "2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z"},
		// And from 3:00 to 2:00 at 1:00 UTC.
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}, // comes twice, counts once
		{"Europe/Berlin", "30 2,3 * * *", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"},
		{"Europe/Berlin", "*/30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"}, // the hours that go by
		{"Europe/Berlin", "*/30 * * * *", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"},
		// Half an hour, and a change at midnight.
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"},
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", "0 0 * * *", "2018-02-17T12:00:00Z", "2018-02-18T03:00:00Z"},
	} {
		s := schedule(t, c.zone, strings.Split(c.specs, "|")...)
		if got := s.Next(at(t, c.after)).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %q after %s: %s, want %s", c.specs, c.zone, c.after, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "0 fields",
		"* * * *":                               "4 fields",
		"* * * * * * * *":                       "8 fields",
		"@reboot":                               "one field",
		"61 * * * *":                            "syntax error in minute field",
		"* 24 * * *":                            "hour",
		"0 0 0 * *":                             "day-of-month",
		"0 0 30 2 *":                            "never comes true",
		"0 0 31 4,6,9,11 *":                     "never comes true",
		"0 0 1 1 * 1999":                        "never comes true",
		"30-10 * * * *":                         "goes backwards",
		"0 0 * dec-jan *":                       "goes backwards",
		"0 0 * * fri-mon":                       "goes backwards",
		"0,, * * * *":                           "empty entry",
		"*/0 * * * *":                           "invalid interval",
		"0 0 * * 1-7/9":                         "no step",
		"0 0 * * mo":                            "day-of-week",
		strings.Repeat("0,", 600) + "0 * * * *": "longer than",
	} {
		if _, err := cron.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, zone := range []string{"Local", "Mars/Base", "../etc/passwd"} {
		if _, err := cron.Zone(zone); err == nil {
			t.Errorf("zone %q is taken", zone)
		}
	}
}

var (
	someSpecs = []string{"* * * * *", "*/7 * * * *", "30 2 * * *", "*/20 1-3 * * *", "0 0 1 * *", "15 */2 * * 1-7", "*/13 * * * * * *", "0 3 29 2 *", "59 23 L * *"}
	someZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia"}
)

// Slots are on whole seconds, come in order whatever instant they are asked for from,
// and the newest one is found without going through all.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(someZones).Draw(t, "zone")
		specs := rapid.SliceOfN(rapid.SampledFrom(someSpecs), 1, 3).Draw(t, "specs")
		s, err := cron.Of(&model.PeriodicConfig{Specs: specs, TimeZone: zone})
		if err != nil {
			t.Fatal(err)
		}
		after := time.Unix(rapid.Int64Range(1_400_000_000, 2_000_000_000).Draw(t, "after"), 0)
		until := after.Add(time.Duration(rapid.IntRange(0, 5*24*3600).Draw(t, "seconds")) * time.Second)
		slots := s.Slots(after, until, 1<<20)
		last := after
		for _, slot := range slots {
			if !slot.After(last) || slot.After(until) || slot.Nanosecond() != 0 {
				t.Fatalf("slot %v after %v, until %v", slot, last, until)
			}
			if got := s.Next(slot.Add(-time.Second)); !got.Equal(slot) {
				t.Fatalf("a second before slot %v the next one is %v", slot, got)
			}
			last = slot
		}
		want := time.Time{}
		if len(slots) > 0 {
			want = last
		}
		if got := s.Last(after, until); !got.Equal(want) {
			t.Fatalf("the last slot in (%v, %v] is %v, want %v", after, until, got, want)
		}
	})
}

// A time of day comes exactly once a day on the clock, whatever the clocks do.
func TestOnceADay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(someZones[:6]).Draw(t, "zone") // Apia once left out a day
		loc, _ := cron.Zone(zone)
		s, err := cron.Of(&model.PeriodicConfig{Spec: rapid.SampledFrom([]string{"30 2 * * *", "0 0 * * *", "45 1 * * *", "59 23 * * *"}).Draw(t, "spec"), TimeZone: zone})
		if err != nil {
			t.Fatal(err)
		}
		day := time.Unix(rapid.Int64Range(1_400_000_000, 2_000_000_000).Draw(t, "day"), 0).In(loc)
		noon := time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, loc)
		if n := len(s.Slots(noon, noon.AddDate(0, 0, 30), 100)); n != 30 {
			t.Fatalf("%d slots in the 30 days after %v", n, noon)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range append(someSpecs, "@daily", "0 0 30 2 *", "10-5 * * * *", "0 0 LW * 5L", "0 0 15W 1 0#5 2030/3") {
		f.Add(s, int64(1_700_000_000))
	}
	zone, _ := cron.Zone("Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := cron.Parse(text)
		if err != nil {
			return
		}
		after := time.Unix(unix%4_000_000_000, 0)
		for range 5 {
			next := s.Next(after, zone)
			if next.IsZero() {
				return
			}
			if !next.After(after) || next.Nanosecond() != 0 {
				t.Fatalf("%q: %v does not come after %v", text, next, after)
			}
			after = next
		}
	})
}
