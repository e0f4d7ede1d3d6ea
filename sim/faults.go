package sim

import (
	"slices"
	"time"

	"github.com/steppe-project/steppe/sim/harm"
)

// fault is a kind of harm: see harm.Fault.
type fault struct {
	name     string
	weight   int
	min, max time.Duration
	start    func(w *world) (undo func())
}

// faults are all kinds of harm.
var faults = []fault{
	{"server crash", 6, 100 * time.Millisecond, 20 * time.Second, func(w *world) func() { return crashServer(w, w.pickServer()) }},
	{"leader crash", 6, 100 * time.Millisecond, 20 * time.Second, func(w *world) func() { return crashServer(w, w.ledger.leader) }},
	{"all servers gone", 1, time.Second, 30 * time.Second, crashAll},
	{"server paused", 4, 200 * time.Millisecond, 15 * time.Second, func(w *world) func() { return pauseServer(w, w.pickServer()) }},
	{"leader paused", 4, 200 * time.Millisecond, 15 * time.Second, func(w *world) func() { return pauseServer(w, w.ledger.leader) }},
	{"leadership moves", 4, 0, 0, func(w *world) func() {
		if l := w.ledger.leader; l != nil && l.running() {
			l.depose("leadership was transferred")
			w.ledger.lostSince = w.Now
			w.ledger.electAt, w.ledger.leader = w.Now, nil
		}
		return nil
	}},
	{"servers cut apart", 5, 200 * time.Millisecond, 15 * time.Second, func(w *world) func() {
		a, b := w.pickServer().name, w.pickServer().name
		return w.CutAll([][2]string{{a, b}, {b, a}})
	}},
	{"one way between servers", 4, 200 * time.Millisecond, 15 * time.Second, func(w *world) func() {
		return w.CutAll([][2]string{{w.pickServer().name, w.pickServer().name}})
	}},
	{"server isolated", 4, 200 * time.Millisecond, 20 * time.Second, func(w *world) func() { return isolate(w, w.pickServer().name, false) }},
	{"node isolated", 6, 500 * time.Millisecond, 40 * time.Second, func(w *world) func() { return isolate(w, w.pickNode().name, false) }},
	{"many nodes vanish", 3, time.Second, 40 * time.Second, func(w *world) func() {
		var undo []func()
		for _, i := range w.Rand.Perm(len(w.nodes))[:max(1, len(w.nodes)*2/3)] {
			undo = append(undo, isolate(w, w.nodes[i].name, false))
		}
		return func() {
			for _, u := range undo {
				u()
			}
		}
	}},
	{"node heard, but deaf", 4, 500 * time.Millisecond, 30 * time.Second, func(w *world) func() { return isolate(w, w.pickNode().name, true) }},
	{"node cut from one server", 5, 500 * time.Millisecond, 30 * time.Second, func(w *world) func() {
		a, b := w.pickNode().name, w.pickServer().name
		return w.CutAll([][2]string{{a, b}, {b, a}})
	}},
	{"calls lost", 4, time.Second, 15 * time.Second, func(w *world) func() { w.Net.Loss += 0.2; return func() { w.Net.Loss -= 0.2 } }},
	{"calls arrive twice", 4, time.Second, 15 * time.Second, func(w *world) func() { w.Net.Twice += 0.2; return func() { w.Net.Twice -= 0.2 } }},
	{"network slow", 4, time.Second, 15 * time.Second, func(w *world) func() {
		w.Net.Slow += 300 * time.Millisecond
		return func() { w.Net.Slow -= 300 * time.Millisecond }
	}},
	{"node slow to hear", 3, time.Second, 15 * time.Second, func(w *world) func() {
		n := w.pickNode()
		n.slow += 500 * time.Millisecond
		return func() { n.slow -= 500 * time.Millisecond }
	}},
	{"session broken", 5, 0, 0, func(w *world) func() {
		if ss := w.pickNode().session; ss != nil {
			ss.hangUp()
		}
		return nil
	}},
	{"agent killed", 8, 10 * time.Millisecond, 6 * time.Second, func(w *world) func() { return killAgent(w.pickNode(), false) }},
	{"agent killed, state lost", 3, 10 * time.Millisecond, 6 * time.Second, func(w *world) func() { return killAgent(w.pickNode(), true) }},
	{"agent paused", 3, 200 * time.Millisecond, 20 * time.Second, func(w *world) func() {
		n := w.pickNode()
		if n.life == nil || n.life.Paused() {
			return nil
		}
		l := n.life
		l.Pause()
		return func() {
			n.steady = w.Now
			l.Resume()
		}
	}},
	{"machine rebooted", 4, 100 * time.Millisecond, 40 * time.Second, rebootMachine},
	{"driver sick", 5, time.Second, 15 * time.Second, func(w *world) func() {
		n := w.pickNode()
		n.sick += 0.5
		return func() { n.sick -= 0.5 }
	}},
	{"task crashed", 8, 0, 0, crashTask},
	{"clock stepped", 3, time.Second, 30 * time.Second, func(w *world) func() {
		s, by := w.pickServer(), w.Between(-time.Hour, time.Hour)
		w.stepped = true
		s.Skew += by
		return func() { s.Skew -= by }
	}},
	{"clock drifts", 3, time.Second, 30 * time.Second, func(w *world) func() {
		s := w.pickServer()
		s.Drift(0.01)
		return func() { s.Drift(-0.01) }
	}},
	{"log disk full", 3, 500 * time.Millisecond, 10 * time.Second, func(w *world) func() {
		if s := w.ledger.leader; s != nil {
			s.diskFull = true
			return func() { s.diskFull = false }
		}
		return nil
	}},
	{"plans lost", 3, time.Second, 10 * time.Second, func(w *world) func() {
		w.checks.loseplans += 0.2
		return func() { w.checks.loseplans -= 0.2 }
	}},
	{"snapshot taken", 6, 0, 0, func(w *world) func() {
		if s := w.pickServer(); s.running() {
			s.snapshot()
		}
		return nil
	}},
	{"snapshot installed", 3, 0, 0, func(w *world) func() {
		s := w.pickServer()
		if from := w.ledger.newest(s); s.running() && s != w.ledger.leader && from != nil && from.applied > s.applied {
			s.install(from)
		}
		return nil
	}},
}

// FaultNames lists the kinds of faults.
func FaultNames() []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.name)
	}
	return out
}

func (w *world) pickServer() *server { return w.servers[w.Rand.IntN(len(w.servers))] }
func (w *world) pickNode() *node     { return w.nodes[w.Rand.IntN(len(w.nodes))] }

// kinds are the faults that may happen to a run.
func (w *world) kinds() []harm.Fault {
	var out []harm.Fault
	for _, f := range faults {
		if w.cfg.Faults == nil || slices.Contains(w.cfg.Faults, f.name) {
			out = append(out, harm.Fault{Name: f.name, Weight: f.weight, Min: f.min, Max: f.max, Start: func() func() { return f.start(w) }})
		}
	}
	return out
}

// settle begins when the faults are over.
func (w *world) settle() {
	w.Tracef("CALM")
	w.calm = true
	w.settleDown()
}

// isolate cuts a place from all others; deaf leaves what it says intact.
func isolate(w *world, place string, deaf bool) func() {
	var others []string
	for _, s := range w.servers {
		others = append(others, s.name)
	}
	for _, n := range w.nodes {
		others = append(others, n.name)
	}
	var links [][2]string
	for _, o := range others {
		if o == place {
			continue
		}
		links = append(links, [2]string{o, place})
		if !deaf {
			links = append(links, [2]string{place, o})
		}
	}
	return w.CutAll(links)
}

func crashServer(w *world, s *server) func() {
	if s == nil || s.life == nil {
		return nil
	}
	if w.Chance(0.5) && s.running() {
		s.snapshot()
	}
	s.crash()
	return func() {
		if s.life == nil {
			s.start()
		}
	}
}

func crashAll(w *world) func() {
	for _, s := range w.servers {
		if s.life != nil {
			s.crash()
		}
	}
	return func() {
		for _, s := range w.servers {
			if s.life == nil {
				s.start()
			}
		}
	}
}

func pauseServer(w *world, s *server) func() {
	if s == nil || !s.running() {
		return nil
	}
	l := s.life
	l.Pause()
	w.Tracef("%s stops", s.name)
	if s.lead != nil {
		s.lead.life.Pause()
	}
	return func() {
		if l.Over() {
			return
		}
		w.Tracef("%s goes on", s.name)
		l.Resume()
		if s.lead != nil {
			s.lead.life.Resume()
		}
	}
}

func killAgent(n *node, lose bool) func() {
	if n.life == nil {
		return nil
	}
	if lose {
		n.forget()
	}
	n.killAgent()
	if lose {
		n.disk = n.newDisk()
	}
	return func() {
		if n.life == nil {
			n.startAgent()
		}
	}
}

func rebootMachine(w *world) func() {
	n := w.pickNode()
	n.reboot()
	return func() {
		if n.life == nil {
			n.startAgent()
		}
	}
}

func crashTask(w *world) func() {
	n := w.pickNode()
	for _, id := range sortedKeys(n.procs) {
		if p := n.procs[id]; !p.ended && w.Chance(0.5) {
			w.Tracef("%s: %s crashes", n.name, id)
			w.checks.excuse(p.alloc)
			n.exit(p, 1)
			return nil
		}
	}
	return nil
}
