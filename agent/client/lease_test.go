package client

import (
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/client/db"
)

// TestLastConfirmed: the time of the last confirmation outlives the agent by the
// clock of the machine's start, and the machine's start by the calendar.
func TestLastConfirmed(t *testing.T) {
	up := func(d time.Duration) time.Time { return time.Unix(0, 0).Add(d) }
	day := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		record *db.LeaseRecord
		want   time.Duration // ago
	}{
		"none":                 {nil, 0},
		"the agent restarted":  {&db.LeaseRecord{Boot: "b", After: time.Hour - time.Minute, At: day.Add(time.Hour)}, time.Minute},
		"the machine did":      {&db.LeaseRecord{Boot: "a", After: 9 * time.Hour, At: day.Add(-time.Minute)}, time.Minute},
		"the calendar is back": {&db.LeaseRecord{Boot: "a", After: 9 * time.Hour, At: day.Add(time.Hour)}, 0},
	} {
		if ago := up(time.Hour).Sub(lastConfirmed(c.record, "b", up(time.Hour), day)); ago != c.want {
			t.Errorf("%s: %v ago, wanted %v", name, ago, c.want)
		}
	}
	if a := sinceBoot(); a.Unix() <= 0 || sinceBoot().Before(a) {
		t.Errorf("the machine started %v ago", a)
	}
}
