package consensus

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The cluster's time never goes back and never stands still, is never behind the
// log or the machine's clock, and ends up on the latter.
func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wall, elapsed, newest := time.Unix(1_700_000_000, 0), time.Duration(0), int64(0)
		c := &Clock{
			Wall: func() time.Time { return wall }, Elapsed: func() time.Duration { return elapsed },
			Newest: func() int64 { return newest },
		}
		last := c.Now()
		type look struct {
			says    time.Time
			elapsed time.Duration
		}
		looks := []look{{last, elapsed}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pass := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pass"))
			elapsed += pass
			wall = wall.Add(pass)
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				wall = wall.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "step")))
			case 1:
				newest = max(newest, last.UnixNano()+rapid.Int64Range(0, int64(time.Hour)).Draw(t, "entry"))
			}
			now := c.Now()
			switch {
			case now.Sub(last) < pass-pass/slewing-1:
				t.Fatalf("%s passed and the clock went on by %s", pass, now.Sub(last))
			case now.UnixNano() < newest || now.Before(wall):
				t.Fatalf("it is %s; the log is at %s, the machine at %s", now, time.Unix(0, newest), wall)
			}
			last = now
			if rapid.Bool().Draw(t, "applies") {
				c.Applied(last.UnixNano(), 1)
			}
			// Steady never takes for passed what has not.
			for _, l := range looks {
				longer := elapsed - l.elapsed + 2*leap
				if at := c.Steady().After(l.says, longer); !at.After(now) {
					t.Fatalf("%s after %s is %s, and it is %s: only %s passed", longer, l.says, at, now, elapsed-l.elapsed)
				}
			}
			looks = append(looks, look{now, elapsed})
		}
		if n := len(c.Steady().Jumps); n > maxJumps {
			t.Fatalf("%d jumps are remembered", n)
		}
		for range 2000 { // twelve weeks: enough for sixty hours
			elapsed += time.Hour
			wall = wall.Add(time.Hour)
			last = c.Now()
		}
		if !last.Equal(wall) {
			t.Fatalf("after weeks without steps it is off by %s", last.Sub(wall))
		}
	})
}

// Whoever leads, and whatever the clocks of the others said meanwhile, Steady never takes
// for passed what has not.
func TestClocksOfServers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const servers = 3
		var (
			elapsed time.Duration
			newest  int64
			leader  int
			term    uint64
			walls   [servers]time.Time
			clocks  [servers]*Clock
		)
		for i := range clocks {
			walls[i] = time.Unix(1_700_000_000, 0)
			clocks[i] = &Clock{
				Wall: func() time.Time { return walls[i] }, Elapsed: func() time.Duration { return elapsed },
				Newest: func() int64 { return newest }, Leads: func() bool { return leader == i },
			}
		}
		commit := func() time.Time {
			now := clocks[leader].Now()
			newest = max(newest, now.UnixNano())
			for _, c := range clocks {
				c.Applied(now.UnixNano(), term)
			}
			return now
		}
		type look struct {
			says    time.Time
			elapsed time.Duration
		}
		looks := []look{{commit(), elapsed}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pass := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pass"))
			elapsed += pass
			for i := range walls {
				walls[i] = walls[i].Add(pass)
			}
			some := rapid.IntRange(0, servers-1).Draw(t, "server")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				walls[some] = walls[some].Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "step")))
			case 1:
				leader, term = some, term+1
			case 2:
				clocks[some].Now() // nobody goes by it, if it does not lead
			default:
				looks = append(looks, look{commit(), elapsed})
			}
			now := clocks[leader].Now()
			for _, l := range looks {
				longer := elapsed - l.elapsed + 2*leap
				if at := clocks[leader].Steady().After(l.says, longer); !at.After(now) {
					t.Fatalf("%s after %s is %s, and it is %s: only %s passed", longer, l.says, at, now, elapsed-l.elapsed)
				}
			}
		}
	})
}

// A leader whose clock jumped, and that nobody followed, has no others wait for it.
func TestJumpThatNobodyFollowed(t *testing.T) {
	wall, elapsed, newest, leads := time.Unix(1_700_000_000, 0), time.Duration(0), int64(0), true
	c := &Clock{
		Wall: func() time.Time { return wall }, Elapsed: func() time.Duration { return elapsed },
		Newest: func() int64 { return newest }, Leads: func() bool { return leads },
	}
	began := c.Now()
	newest = began.UnixNano()
	c.Applied(newest, 1)
	wall = wall.Add(time.Hour)
	c.Now()
	leads, elapsed = false, time.Second
	newest += int64(time.Second)
	c.Applied(newest, 2)
	if got, want := c.Steady().After(began, time.Minute), began.Add(time.Minute+2*leap); got.After(want) {
		t.Errorf("a minute after %s is %s", began, got)
	}
	leads = true
	now := c.Now() // from here on the hour is the cluster's
	if got := c.Steady().After(began, time.Minute); got.Before(now.Add(time.Minute - 2*leap)) {
		t.Errorf("it leads at %s, and a minute after %s is %s", now, began, got)
	}
}
