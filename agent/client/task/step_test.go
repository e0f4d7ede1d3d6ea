package task

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

var epoch = time.Unix(1_700_000_000, 0)

func service(attempts int, mode string) Desired {
	return Desired{
		Start: true, RestartOnSuccess: true, KillTimeout: 5 * time.Second,
		Policy: model.RestartPolicy{Interval: time.Minute, Attempts: attempts, Delay: 4 * time.Second, Mode: mode},
	}
}

// run feeds observations one second apart and returns the last status and all messages.
func run(t *testing.T, s Status, d Desired, seen ...Observed) (Status, []string, Verb) {
	t.Helper()
	var words []string
	var verb Verb
	now := epoch
	for _, o := range seen {
		var a Action
		s, a = Step(s, d, o, now)
		verb = a.Verb
		for _, e := range a.Events {
			words = append(words, e.DisplayMessage)
		}
		now = now.Add(time.Second)
	}
	return s, words, verb
}

func exit(code int) Observed {
	return Observed{Kind: Exited, Exit: &plugins.ExitResult{ExitCode: code}}
}

func TestStep(t *testing.T) {
	started := Observed{Kind: Started}
	batch := service(0, model.RestartModeFail)
	batch.RestartOnSuccess = false
	oom := Observed{Kind: Exited, Exit: &plugins.ExitResult{ExitCode: 137, Signal: 9, OOMKilled: true}}
	stopped := service(2, model.RestartModeFail)
	stopped.Stop = true
	delayed := stopped
	delayed.ShutdownDelay = 2 * time.Second
	restart := service(2, model.RestartModeFail)
	restart.RestartNonce = 1
	up := Status{Phase: Running, Started: true}
	for _, tc := range []struct {
		name  string
		from  Status
		d     Desired
		seen  []Observed
		phase Phase
		fail  bool
		verb  Verb
		words string
	}{
		{"gate closed", Status{}, Desired{}, []Observed{{}}, Waiting, false, VerbNone, ""},
		{"gate opens", Status{}, service(2, "fail"), []Observed{{}}, Starting, false, VerbStart, ""},
		{"starts", Status{Phase: Starting}, service(2, "fail"), []Observed{started}, Running, false, VerbNone, "Task started by client"},
		{"batch ends well", up, batch, []Observed{exit(0)}, Dead, false, VerbNone, "Exit Code: 0"},
		{"batch fails", up, batch, []Observed{exit(7)}, Dead, true, VerbNone, "Exit Code: 7|Policy allows no restarts"},
		{"service ends and comes back", up, service(2, "fail"), []Observed{exit(0)}, Delaying, false, VerbNone, "Exit Code: 0|Task restarting in"},
		{"out of memory", up, batch, []Observed{oom}, Dead, true, VerbNone, `Exit Code: 137, Signal: 9, Exit Message: "OOM Killed"|Policy`},
		{"setup fails for good", Status{Phase: Starting}, service(2, "fail"),
			[]Observed{{Kind: SetupFailed, Err: "no room"}}, Dead, true, VerbNone, "no room|Error was unrecoverable"},
		{"driver fails for now", Status{Phase: Starting}, service(2, "fail"),
			[]Observed{{Kind: StartFailed, Err: "busy", Recoverable: true}}, Delaying, false, VerbNone, "busy|Task restarting in"},
		{"stop before start", Status{}, stopped, []Observed{{}}, Dead, false, VerbNone, ""},
		{"stop while starting", Status{Phase: Starting}, stopped, []Observed{{}}, Starting, false, VerbCancel, ""},
		{"stop overtaken by start", Status{Phase: Starting, StopSeen: true}, stopped, []Observed{started}, Killing, false, VerbKill,
			"Task started by client|Sent interrupt. Waiting 5s before force killing"},
		{"stop", up, stopped, []Observed{{}}, Killing, false, VerbKill, "Sent interrupt. Waiting 5s before force killing"},
		{"stopped", up, stopped, []Observed{{}, exit(0)}, Dead, false, VerbNone, "Sent interrupt. Waiting 5s before force killing|Exit Code: 0|Task successfully killed"},
		{"shutdown delay", up, delayed, []Observed{{}, {}}, Draining, false, VerbNone, ""},
		{"shutdown delay over", up, delayed, []Observed{{}, {}, {}}, Killing, false, VerbKill, "Sent interrupt"},
		{"ends in shutdown delay", up, delayed, []Observed{{}, exit(3)}, Dead, false, VerbNone, "Exit Code: 3"},
		{"restart asked for", up, restart, []Observed{{}, exit(143)}, Starting, false, VerbStart,
			"Task signaled to restart|Sent interrupt. Waiting 5s before force killing|Exit Code: 143"},
		{"restart while delaying", Status{Phase: Delaying, WakeAt: epoch.Add(time.Hour)}, restart, []Observed{{}}, Starting, false, VerbStart, ""},
		{"vanished comes back at once", up, batch, []Observed{{Kind: Vanished, Err: "gone"}}, Starting, false, VerbStart,
			`Exit Code: -1, Exit Message: "gone"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, words, verb := run(t, tc.from, tc.d, tc.seen...)
			if s.Phase != tc.phase || s.Failed != tc.fail || verb != tc.verb {
				t.Errorf("phase %d failed %v verb %d, want %d %v %d", s.Phase, s.Failed, verb, tc.phase, tc.fail, tc.verb)
			}
			want := strings.Split(tc.words, "|")
			if tc.words == "" {
				want = nil
			}
			if len(words) != len(want) {
				t.Fatalf("events %q, want %q", words, want)
			}
			for i := range want {
				if !strings.HasPrefix(words[i], want[i]) {
					t.Errorf("event %q, want %q", words[i], want[i])
				}
			}
		})
	}
}

// TestRevive: only a restart of all tasks wakes a task that has ended.
func TestRevive(t *testing.T) {
	d := service(2, "fail")
	d.RestartNonce = 1
	s, _ := Step(Status{Phase: Dead}, d, Observed{}, epoch)
	if s.Phase != Dead {
		t.Fatal("a dead task came back")
	}
	d.RestartNonce, d.Revive = 2, true
	s, a := Step(s, d, Observed{}, epoch)
	if s.Phase != Starting || a.Verb != VerbStart || s.Restarts != 1 {
		t.Fatalf("phase %d verb %d", s.Phase, a.Verb)
	}
}

// TestAttempts: exactly Attempts restarts in an interval, then failure, or a
// delay to the interval's end.
func TestAttempts(t *testing.T) {
	for _, mode := range []string{model.RestartModeFail, model.RestartModeDelay} {
		d, s, now, restarts := service(2, mode), Status{Phase: Running}, epoch, 0
		for s.Phase == Running {
			s, _ = Step(s, d, exit(1), now)
			if s.Phase != Delaying || s.WakeAt.Sub(now) > 5*time.Second {
				break
			}
			now = s.WakeAt
			s, _ = Step(s, d, Observed{}, now)
			s, _ = Step(s, d, Observed{Kind: Started}, now)
			restarts++
		}
		if restarts != 2 {
			t.Errorf("mode %s: %d restarts", mode, restarts)
		}
		if mode == model.RestartModeFail && (s.Phase != Dead || !s.Failed) {
			t.Errorf("mode fail: phase %d", s.Phase)
		}
		if mode == model.RestartModeDelay && (s.Phase != Delaying || !s.WakeAt.Equal(epoch.Add(time.Minute))) {
			t.Errorf("mode delay: phase %d until %v", s.Phase, s.WakeAt.Sub(epoch))
		}
	}
}

// world is a simulated shell and driver that Step is played against.
type world struct {
	t        *rapid.T
	s        Status
	d        Desired
	now      time.Time
	starting bool
	process  bool
	killed   bool
}

func (w *world) step(o Observed) {
	before := w.s
	s, a := Step(w.s, w.d, o, w.now)
	w.s = s
	switch a.Verb {
	case VerbStart:
		if w.starting || w.process {
			w.t.Fatalf("second start: %+v -> %+v", before, s)
		}
		if w.d.Stop {
			w.t.Fatalf("start of a task that is to stop")
		}
		w.starting = true
	case VerbKill:
		if !w.process {
			w.t.Fatalf("kill without a process: %+v", before)
		}
		w.killed = true
	case VerbCancel:
		if !w.starting {
			w.t.Fatalf("cancel without a start")
		}
	}
	if s.Phase == Dead && (w.process || w.starting) {
		w.t.Fatalf("dead with a process: %+v -> %+v", before, s)
	}
	if before.Phase == Dead && s.Phase != Dead && !w.d.Revive {
		w.t.Fatalf("came back from the dead")
	}
}

func (w *world) act(op int) {
	switch {
	case op == 0:
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(w.t, "sec")) * time.Second)
		w.step(Observed{})
	case op == 1 && w.starting:
		w.starting, w.process = false, true
		w.step(Observed{Kind: Started})
	case op == 2 && w.starting:
		w.starting = false
		w.step(Observed{Kind: StartFailed, Err: "x", Recoverable: rapid.Bool().Draw(w.t, "rec")})
	case op == 3 && w.process:
		w.process, w.killed = false, false
		w.step(exit(rapid.IntRange(0, 1).Draw(w.t, "code")))
	case op == 4:
		w.d.RestartNonce++
		w.step(Observed{})
	case op == 5 && w.process:
		w.process, w.killed = false, false
		w.step(Observed{Kind: Vanished, Err: "x"})
	}
}

// TestSafety plays any sequence of events: never two starts at a time, never a
// start after stop, never dead with a process. Liveness: once stopped, the
// task reaches Dead as soon as its process ends.
func TestSafety(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom([]string{"fail", "delay"}).Draw(t, "mode")
		w := &world{t: t, now: epoch, d: service(rapid.IntRange(0, 3).Draw(t, "attempts"), mode)}
		w.d.RestartOnSuccess = rapid.Bool().Draw(t, "service")
		w.d.ShutdownDelay = time.Duration(rapid.IntRange(0, 3).Draw(t, "drain")) * time.Second
		for _, op := range rapid.SliceOfN(rapid.IntRange(0, 5), 0, 40).Draw(t, "ops") {
			w.act(op)
		}
		w.d.Stop = true
		w.step(Observed{})
		for range 5 {
			w.act(rapid.IntRange(0, 1).Draw(t, "op"))
		}
		w.now = w.now.Add(time.Minute)
		w.step(Observed{})
		if w.starting {
			w.starting = false
			w.step(Observed{Kind: StartFailed, Err: "canceled"})
		}
		if w.process {
			if !w.killed {
				t.Fatalf("not killed: %+v", w.s)
			}
			w.process = false
			w.step(exit(0))
		}
		if w.s.Phase != Dead {
			t.Fatalf("not dead: %+v", w.s)
		}
	})
}

// TestRate: in no interval does a task restart more often than its policy says.
func TestRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.IntRange(0, 5).Draw(t, "attempts")
		d := service(attempts, rapid.SampledFrom([]string{"fail", "delay"}).Draw(t, "mode"))
		d.Seed = rapid.Uint64().Draw(t, "seed")
		s, now := Status{Phase: Running}, epoch
		var restarts []time.Time
		for range rapid.IntRange(1, 30).Draw(t, "ends") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "ran")) * time.Second)
			s, _ = Step(s, d, exit(1), now)
			if s.Phase == Dead {
				break
			}
			if wait := s.WakeAt.Sub(now); wait < d.Policy.Delay {
				t.Fatalf("restart after %v", wait)
			}
			now = s.WakeAt
			s, _ = Step(s, d, Observed{}, now)
			s, _ = Step(s, d, Observed{Kind: Started}, now)
			restarts = append(restarts, now)
		}
		// The policy's windows follow each other, so that any interval holds the
		// restarts of at most two of them (and one delayed restart).
		for i := range restarts {
			if j := i + 2*attempts + 2; j < len(restarts) && restarts[j].Sub(restarts[i]) < d.Policy.Interval {
				t.Fatalf("%d restarts within %v", j-i+1, d.Policy.Interval)
			}
		}
	})
}

// The first start is remembered over restarts, and an end for want of time is a failure
// that nothing follows.
func TestFirstStart(t *testing.T) {
	started := Observed{Kind: Started}
	s, _, _ := run(t, Status{Phase: Starting}, service(2, "fail"), started, exit(0), Observed{}, Observed{}, Observed{}, Observed{}, Observed{}, started)
	if s.Phase != Running || !s.FirstStart.Equal(epoch) || s.StartedAt.Equal(epoch) || !s.RanSince().Equal(epoch) {
		t.Errorf("%+v", s)
	}
	old := Status{Phase: Starting, Started: true, StartedAt: epoch.Add(-time.Hour)} // of an earlier version
	if s, _, _ = run(t, old, service(2, "fail"), started); !s.RanSince().Equal(epoch.Add(-time.Hour)) {
		t.Errorf("%+v", s)
	}
	over := service(2, "fail")
	over.Stop, over.Fails = true, true
	if s, _, _ = run(t, Status{Phase: Running, Started: true}, over, Observed{}, exit(0)); s.Phase != Dead || !s.Failed {
		t.Errorf("%+v", s)
	}
	if s, _, _ = run(t, Status{Phase: Running, Started: true}, over, exit(0)); s.Failed {
		t.Errorf("it had ended well before: %+v", s)
	}
}
