package periodic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/cron"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/launch"
)

// stage has a log whose clock the test moves.
type stage struct {
	*memlog.Log
	t    rapid.TB
	now  time.Time
	c    *Launcher
	sub  *state.Subscription
	wake time.Time
}

func newStage(t rapid.TB) *stage {
	s := &stage{Log: memlog.New(), t: t, now: time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC), c: New()}
	s.Now = func() time.Time { return s.now }
	s.Must(&fsm.FeatureLevel{Level: feature.Launches})
	s.lead()
	return s
}

// lead begins a new term.
func (s *stage) lead() {
	if s.sub != nil {
		s.sub.Close()
	}
	snap, sub := s.Store.Subscribe(s.c.Reads()...)
	s.sub = sub
	s.c.Reset(snap)
}

func (s *stage) register(id string, change func(*model.PeriodicConfig)) {
	job := model.NewJob(model.JobTypeBatch)
	job.ID, job.Name = id, id
	job.Periodic = &model.PeriodicConfig{Enabled: true, Spec: "*/10 * * * *", TimeZone: "UTC", CatchUp: launch.CatchUpLast}
	if change != nil {
		change(job.Periodic)
	}
	s.Must(&fsm.RegisterJob{Job: job})
}

// decide steps once and returns the commands.
func (s *stage) decide() []fsm.Command {
	changes, err := s.sub.Poll()
	if err != nil {
		s.t.Fatal(err)
	}
	s.c.Observe(changes)
	var cmds []fsm.Command
	cmds, s.wake = s.c.Step(s.now, s.Store.Snapshot())
	return cmds
}

// step decides and proposes until there is nothing to do; it returns what was launched.
func (s *stage) step() []string {
	before := s.children()
	for range 100 {
		cmds := s.decide()
		if len(cmds) == 0 {
			var out []string
			for _, id := range s.children() {
				if !slices.Contains(before, id) {
					out = append(out, id)
				}
			}
			return out
		}
		outcomes, err := s.Propose(context.Background(), cmds...)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, o := range outcomes {
			if o.Err != nil {
				s.t.Fatal(o.Err)
			}
		}
	}
	s.t.Fatal("it never ends")
	return nil
}

func (s *stage) children() []string {
	var out []string
	for j := range s.Store.Snapshot().Jobs(state.Range{}) {
		if j.ParentID != "" {
			out = append(out, j.ID)
		}
	}
	return out
}

// end has a child end.
func (s *stage) end(id string) {
	for e := range s.Store.Snapshot().EvalsByJob(model.DefaultNamespace, id) {
		done := *e
		done.Status = model.EvalComplete
		s.Must(&fsm.UpsertEvals{Evals: []*model.Evaluation{&done}})
	}
}

// at moves the clock to a time of the day and steps.
func (s *stage) at(clock string) string {
	at, err := time.Parse("2006-01-02T15:04:05", s.now.Format("2006-01-02T")+clock)
	if err != nil {
		s.t.Fatal(err)
	}
	s.now = at
	var out []string
	for _, id := range s.step() {
		parent, slot, _ := strings.Cut(id, "/periodic-")
		var unix int64
		_, _ = fmt.Sscan(slot, &unix)
		out = append(out, parent+"@"+time.Unix(unix, 0).UTC().Format("15:04:05"))
	}
	return strings.Join(out, " ")
}

func (s *stage) expect(clock, want string) {
	s.t.Helper()
	if got := s.at(clock); got != want {
		s.t.Errorf("at %s: launched %q, want %q", clock, got, want)
	}
}

func TestLaunches(t *testing.T) {
	s := newStage(t)
	s.expect("00:00:30", "")
	if !s.wake.IsZero() {
		t.Error("it wakes for nothing")
	}
	s.register("a", nil)
	s.expect("00:09:55", "")
	if got := s.wake.Format("15:04:05"); got != "00:10:00" {
		t.Errorf("it wakes at %s", got)
	}
	s.expect("00:10:00", "a@00:10:00")
	s.expect("00:10:00", "")
	s.lead()
	s.expect("00:10:01", "")
	s.expect("00:20:59", "a@00:20:00") // late, and launched all the same
	s.lead()
	s.expect("01:05:00", "a@01:00:00") // missed three, the last is made up for
	s.expect("01:10:00", "a@01:10:00")

	// A new schedule, a stopped and a disabled job count from the change on.
	s.register("a", func(c *model.PeriodicConfig) { c.Spec = "5 * * * *" })
	s.expect("01:20:00", "")
	s.expect("02:05:00", "a@02:05:00")
	s.Must(&fsm.DeregisterJob{Namespace: model.DefaultNamespace, ID: "a"})
	s.expect("03:05:00", "")
	s.register("a", func(c *model.PeriodicConfig) { c.Spec = "5 * * * *" })
	s.expect("03:30:00", "")
	s.register("a", func(c *model.PeriodicConfig) { c.Spec, c.Enabled = "5 * * * *", false })
	s.expect("04:05:00", "")
	s.register("a", func(c *model.PeriodicConfig) { c.Spec = "5 * * * *" })
	s.expect("04:06:00", "")
	s.expect("05:05:00", "a@05:05:00")
	s.Must(&fsm.DeregisterJob{Namespace: model.DefaultNamespace, ID: "a", Purge: true})
	s.expect("06:05:00", "")
	if len(s.c.jobs) > 0 {
		t.Error("a purged job is remembered")
	}
}

func TestPolicies(t *testing.T) {
	s := newStage(t)
	s.register("skip", func(c *model.PeriodicConfig) { c.CatchUp = launch.CatchUpSkip })
	s.register("last", nil)
	s.register("alone", func(c *model.PeriodicConfig) { c.ProhibitOverlap = true })
	s.expect("00:11:01", "alone@00:10:00 last@00:10:00") // 61 seconds late is missed
	s.expect("00:20:00", "last@00:20:00 skip@00:20:00")  // alone still runs
	s.end("alone/periodic-" + fmt.Sprint(time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC).Unix()))
	s.expect("00:25:00", "")
	s.expect("00:30:00", "alone@00:30:00 last@00:30:00 skip@00:30:00")
	row := s.Store.Snapshot().Launches(model.DefaultNamespace, "alone")
	if row.Skipped != 1 {
		t.Errorf("skipped %d", row.Skipped)
	}
}

// What was not observed yet is not decided on: a slot of the old schedule would pass for
// one of the new.
func TestUnobservedChange(t *testing.T) {
	s := newStage(t)
	s.register("a", nil)
	s.expect("00:05:00", "")
	s.now = s.now.Add(5 * time.Minute)
	s.register("a", func(c *model.PeriodicConfig) { c.Spec = "59 23 * * *" })
	s.now = s.now.Add(10 * time.Minute)
	if cmds, _ := s.c.Step(s.now, s.Store.Snapshot()); len(cmds) > 0 {
		t.Errorf("%d commands", len(cmds))
	}
	s.expect("00:30:00", "")
	s.expect("23:59:00", "a@23:59:00")
}

// Every second's job after half a minute without a leader has all of its launches.
func TestEverySecond(t *testing.T) {
	s := newStage(t)
	s.register("tick", func(c *model.PeriodicConfig) { c.Spec = "* * * * * * *" })
	s.now = s.now.Add(31 * time.Second)
	s.lead()
	if got := s.step(); len(got) != 31 {
		t.Errorf("%d launches", len(got))
	}
	s.now = s.now.Add(48 * time.Hour) // and after two days those of the last minute
	if got := s.step(); len(got) != 60 {
		t.Errorf("%d launches", len(got))
	}
}

// Safety: no slot is launched twice, before its time, before its job was there, or out of
// the schedule, whatever leaders, clocks and lost proposals do. Liveness: when somebody
// leads, whatever is due within Grace is launched.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStage(t)
		began := s.now
		specs := map[string]string{"a": "*/7 * * * * * *", "b": "* * * * *", "c": "*/3 * * * *"}
		policy := rapid.SampledFrom([]string{launch.CatchUpLast, launch.CatchUpSkip}).Draw(t, "policy")
		for id, spec := range specs {
			s.register(id, func(c *model.PeriodicConfig) { c.Spec, c.CatchUp = spec, policy })
		}
		var pending [][]fsm.Command
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.IntRange(1, 90_000).Draw(t, "ms")) * time.Millisecond)
			},
			"jump":   func(t *rapid.T) { s.now = s.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "s")) * time.Second) },
			"elect":  func(*rapid.T) { s.lead() },
			"decide": func(*rapid.T) { pending = append(pending, s.decide()) },
			"deliver": func(t *rapid.T) { // late, in any order, more than once
				if len(pending) == 0 {
					return
				}
				if cmds := rapid.SampledFrom(pending).Draw(t, "cmds"); len(cmds) > 0 {
					if _, err := s.Propose(context.Background(), cmds...); err != nil {
						t.Fatal(err)
					}
				}
			},
			"work": func(t *rapid.T) {
				s.step()
				for id, spec := range specs {
					sched, _ := cron.Of(&model.PeriodicConfig{Spec: spec, TimeZone: "UTC"})
					from := s.now.Add(-time.Second)
					if from.Before(began) {
						from = began
					}
					for _, slot := range sched.Slots(from, s.now, 10) {
						if row := s.Store.Snapshot().Launches(model.DefaultNamespace, id); row.Slot < slot.Unix() {
							t.Fatalf("%s is not launched at %v", id, slot)
						}
					}
				}
			},
			"": func(t *rapid.T) {
				for j := range s.Store.Snapshot().Jobs(state.Range{}) {
					if j.ParentID == "" {
						continue
					}
					var unix int64
					_, _ = fmt.Sscan(strings.TrimPrefix(j.ID, j.ParentID+"/periodic-"), &unix)
					slot := time.Unix(unix, 0)
					sched, _ := cron.Of(&model.PeriodicConfig{Spec: specs[j.ParentID], TimeZone: "UTC"})
					if j.Version != 0 || !slot.After(began) || slot.After(s.now) || !sched.Next(slot.Add(-time.Second)).Equal(slot) {
						t.Fatalf("%s v%d at %v", j.ID, j.Version, s.now)
					}
				}
			},
		})
	})
}
