package liveness

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/lease"
)

// scene drives liveness over a store, with a gossip that says what it is told.
type scene struct {
	l      *Liveness
	store  *state.Store
	fsm    *fsm.FSM
	sub    *state.Subscription
	index  uint64
	now    time.Time
	wake   time.Time // when the next step is due
	dead   map[string]bool
	steady []string // nodes that renew at every step
	// deposed: another server leads, and this one does not know it yet
	deposed bool
}

func (s *scene) Dead(id string) bool { return s.dead[id] }

// ReadIndex says whether this server leads.
func (s *scene) ReadIndex(context.Context) (uint64, error) {
	if s.deposed {
		return 0, model.Errorf(model.CodeNotLeader, "this server does not lead")
	}
	return s.index, nil
}

func newScene() *scene {
	s := &scene{store: state.New(), now: time.Unix(1_700_000_000, 0), dead: map[string]bool{}}
	s.index = s.store.Snapshot().Index()
	s.fsm = fsm.New(s.store)
	s.l = New(4*time.Second, s)
	s.reset()
	return s
}

func (s *scene) reset() {
	snap, sub := s.store.Subscribe(s.l.Reads()...)
	s.sub = sub
	s.l.Reset(snap)
}

func (s *scene) apply(bodies ...fsm.Body) {
	var cmds []fsm.Command
	for _, b := range bodies {
		c, err := fsm.NewCommand(b)
		if err != nil {
			panic(err)
		}
		cmds = append(cmds, c)
	}
	s.commit(cmds)
}

func (s *scene) commit(cmds []fsm.Command) {
	s.index++
	for _, o := range s.fsm.Apply(fsm.Entry{Index: s.index, Term: 1, Time: s.now.UnixNano(), Commands: cmds}) {
		if o.Err != nil {
			panic(o.Err)
		}
	}
	changes, err := s.sub.Poll()
	if err != nil {
		panic(err)
	}
	s.l.Observe(changes)
}

// place puts an instance of a job on a node.
func (s *scene) place(jobID, node string) {
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name = jobID, jobID
	g := model.NewTaskGroup(j)
	g.Name = "g"
	j.TaskGroups = append(j.TaskGroups, g)
	if s.store.Snapshot().Job(j.Namespace, j.ID) == nil {
		s.apply(&fsm.RegisterJob{Job: j})
	}
	s.apply(&fsm.ApplyPlan{Plan: &model.Plan{
		EvalID: "none", Namespace: j.Namespace, JobID: j.ID,
		Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{},
			Placements: []*model.Placement{{ID: fmt.Sprintf("a%d", s.index), NodeID: node}}}},
	}})
}

func (s *scene) step() string {
	cmds, wake := s.l.Step(s.now, s.store.Snapshot())
	s.wake = wake
	var out strings.Builder
	for _, c := range cmds {
		var u fsm.NodeStatus
		if _, err := u.UnmarshalMsg(c.Body); err != nil {
			panic(err)
		}
		for _, n := range u.Updates {
			fmt.Fprintf(&out, "%s %s: %s\n", n.NodeID, n.Status, n.Reason)
		}
		for _, e := range u.Evals {
			fmt.Fprintf(&out, "evaluate %s (%s)\n", e.JobID, e.TriggeredBy)
		}
	}
	if len(cmds) > 0 {
		s.commit(cmds)
	}
	if wake.IsZero() {
		return out.String() + "sleep\n"
	}
	return out.String() + fmt.Sprintf("wake in %s\n", wake.Sub(s.now))
}

// run lets time pass; steps happen when they are due. What they say on the way is
// returned, without the wake times of all but the last.
func (s *scene) run(d time.Duration) string {
	end, said := s.now.Add(d), ""
	for !s.wake.IsZero() && s.wake.Before(end) {
		s.now = s.wake
		s.l.Renew(s.now.Add(s.l.Lasts()), s.steady...)
		out := s.step()
		said += out[:strings.LastIndex(strings.TrimSuffix(out, "\n"), "\n")+1]
	}
	s.now = end
	s.l.Renew(s.now.Add(s.l.Lasts()), s.steady...)
	return said + s.step()
}

// many are the names from "n3" to "n" and to.
func many(from, to string) []string {
	var out []string
	a, err := strconv.Atoi(strings.TrimLeft(from, "n"))
	b := a
	if to != "" && err == nil {
		b, err = strconv.Atoi(to)
	}
	if err != nil {
		panic(err)
	}
	for ; a <= b; a++ {
		out = append(out, fmt.Sprintf("n%d", a))
	}
	return out
}

// nodes counts the nodes by status.
func (s *scene) nodes() string {
	count := map[string]int{}
	for n := range s.store.Snapshot().Nodes(state.Range{}) {
		count[n.Status]++
	}
	return strings.Trim(fmt.Sprint(count), "map[]") + "\n"
}

func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newScene()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var names []string
			for _, a := range d.CmdArgs {
				if from, to, ok := strings.Cut(a.Key, ".."); ok { // n3..7
					names = append(names, many(from, to)...)
				} else if len(a.Vals) == 0 {
					names = append(names, a.Key)
				}
			}
			switch d.Cmd {
			case "ready":
				for _, n := range names {
					s.apply(&fsm.RegisterNode{Node: &model.Node{ID: n, Name: n, Status: model.NodeStatusReady}})
				}
			case "mass-loss":
				cfg := *s.store.Snapshot().SchedulerConfig()
				d.MaybeScanArgs(t, "threshold", &cfg.MassLoss.Threshold)
				d.MaybeScanArgs(t, "rate", &cfg.MassLoss.Rate)
				s.apply(&fsm.SchedulerConfig{Config: &cfg})
			case "release":
				cfg := *s.store.Snapshot().SchedulerConfig()
				cfg.MassLoss.ReleasedAt = s.now.UnixNano()
				s.apply(&fsm.SchedulerConfig{Config: &cfg})
			case "nodes":
				return s.nodes()
			case "purge":
				s.apply(&fsm.DeregisterNodes{NodeIDs: names})
			case "place":
				s.place(names[0], names[1])
			case "renew":
				s.l.Renew(s.now.Add(s.l.Lasts()), names...)
			case "arrive": // so many nodes register
				n, err := strconv.Atoi(names[0])
				if err != nil {
					t.Fatal(err)
				}
				s.l.Arrived(s.now, n)
			case "gossip-dead":
				for _, n := range names {
					s.dead[n] = true
				}
			case "gossip-alive":
				for _, n := range names {
					delete(s.dead, n)
				}
			case "after": // renewing=(n1..3): those do, on the way
				for _, a := range d.CmdArgs {
					if a.Key == "renewing" {
						names = names[:1]
						for _, v := range a.Vals {
							from, to, _ := strings.Cut(v, "..")
							s.steady = append(s.steady, many(from, to)...)
						}
						defer func() { s.steady = nil }()
					}
				}
				w, err := time.ParseDuration(names[0])
				if err != nil {
					t.Fatal(err)
				}
				return s.run(w)
			case "stopped": // the process does not run for a while
				w, err := time.ParseDuration(names[0])
				if err != nil {
					t.Fatal(err)
				}
				s.now = s.now.Add(w)
				return s.step()
			case "step":
				return s.step()
			case "new-leader":
				s.sub.Close()
				s.reset()
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			return ""
		})
	})
}

// Renewals that arrive faster than they are looked at are refused, not piled up;
// nodes that are not ready are named.
func TestDesk(t *testing.T) {
	s := newScene()
	s.apply(&fsm.RegisterNode{Node: &model.Node{ID: "n1", Status: model.NodeStatusReady}})
	d := NewDesk(s.l, s.store, s, func() time.Time { return s.now })
	req := &msg.NodeRenewRequest{NodeIDs: []string{"n1", "n2"}}
	// A storm of registrations between two steps costs no renewal.
	for range 10_000 {
		d.Seen("n1")
		resp, err := d.renew(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(resp.Unknown, []string{"n2"}) {
			t.Fatalf("unknown: %v", resp.Unknown)
		}
	}
	d.Step(s.now, s.store.Snapshot())
	s.deposed = true
	if _, err := d.renew(context.Background(), req); model.CodeOf(err) != model.CodeNotLeader {
		t.Errorf("a deposed leader confirmed leases: %v", err)
	}
	s.deposed = false
	if _, err := d.renew(context.Background(), req); err != nil {
		t.Errorf("after a step: %v", err)
	}
	// What an earlier term left behind must not shorten the grace of the next.
	s.now = s.now.Add(time.Hour)
	d.Reset(s.store.Snapshot())
	if cmds, _ := d.Step(s.now, s.store.Snapshot()); len(cmds) > 0 {
		t.Error("an old renewal took a node down")
	}
}

// TestLeasesOfMany: what a renewal is told is what its lease lasts, also when there
// are fewer nodes later, and a new leader waits for what was told before.
func TestLeasesOfMany(t *testing.T) {
	const nodes = 5000
	s := newScene()
	cmds := make([]fsm.Body, nodes)
	for i := range cmds {
		cmds[i] = &fsm.RegisterNode{Node: &model.Node{ID: "n" + strconv.Itoa(i), Status: model.NodeStatusReady}}
	}
	s.apply(cmds...)
	d := NewDesk(s.l, s.store, s, func() time.Time { return s.now })
	look := func() int { cmds, _ := d.Step(s.now, s.store.Snapshot()); return len(cmds) }
	look() // the leases begin
	s.dead["n0"] = true
	s.now = s.now.Add(s.l.ttl)
	resp, err := d.renew(context.Background(), &msg.NodeRenewRequest{NodeIDs: []string{"n0"}})
	if err != nil || resp.TTL != 2*s.l.ttl {
		t.Fatalf("%+v, %v", resp, err)
	}
	s.apply(&fsm.DeregisterNodes{NodeIDs: slices.Collect(func(yield func(string) bool) {
		for i := 1; i < nodes && yield("n"+strconv.Itoa(i)); i++ {
		}
	})})
	look()
	if s.now = s.now.Add(2*s.l.ttl - time.Millisecond); look() != 0 {
		t.Error("taken down before what its node was told")
	}
	if s.now = s.now.Add(time.Second / 2); look() != 1 {
		t.Error("not taken down after it")
	}
}

// TestDeskReceivesMeanwhile: renewals and registrations come while changes of the
// nodes are noted; the race detector looks on.
func TestDeskReceivesMeanwhile(t *testing.T) {
	s := newScene()
	s.apply(&fsm.RegisterNode{Node: &model.Node{ID: "n1", Status: model.NodeStatusReady}})
	d := NewDesk(s.l, s.store, s, func() time.Time { return s.now })
	received := make(chan error)
	go func() {
		var err error
		for range 100 {
			d.Seen("n1")
			if _, e := d.renew(context.Background(), &msg.NodeRenewRequest{NodeIDs: []string{"n1"}}); e != nil {
				err = e
			}
		}
		received <- err
	}()
	for i := range 100 {
		id := "n" + strconv.Itoa(i)
		d.Observe([]state.Change{{Table: state.TableNodes, Key: id, After: &model.Node{ID: id, Status: model.NodeStatusReady}}})
	}
	if err := <-received; err != nil {
		t.Error(err)
	}
}

// TestNoConfirmationOnceGivenUp: between the decision to take a node down and its
// commit a renewal is not confirmed: the node would rely on it.
func TestNoConfirmationOnceGivenUp(t *testing.T) {
	s := newScene()
	s.apply(&fsm.RegisterNode{Node: &model.Node{ID: "n1", Status: model.NodeStatusReady}})
	d := NewDesk(s.l, s.store, s, func() time.Time { return s.now })
	d.Step(s.now, s.store.Snapshot())
	s.now = s.now.Add(s.l.ttl)
	s.dead["n1"] = true
	cmds, _ := d.Step(s.now, s.store.Snapshot())
	if len(cmds) != 1 {
		t.Fatal("the node is not given up")
	}
	req := &msg.NodeRenewRequest{NodeIDs: []string{"n1"}}
	if resp, err := d.renew(context.Background(), req); err != nil || !slices.Equal(resp.Unknown, req.NodeIDs) {
		t.Fatalf("confirmed while it is being taken down: %v, %v", resp, err)
	}
	// The proposal fails, and the node is heard again.
	s.dead["n1"] = false
	d.Step(s.now, s.store.Snapshot())
	if resp, err := d.renew(context.Background(), req); err != nil || len(resp.Unknown) > 0 {
		t.Fatalf("not confirmed though it was not taken down: %v, %v", resp, err)
	}
}

// TestBrakeProperties: whoever renews is never touched; while the brake is on no
// more are given up than the rate allows; when all are back nothing is held.
func TestBrakeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScene()
		size := rapid.IntRange(1, 30).Draw(t, "nodes")
		all := many("n1", strconv.Itoa(size))
		for _, id := range all {
			s.apply(&fsm.RegisterNode{Node: &model.Node{ID: id, Status: model.NodeStatusReady}})
		}
		s.step()
		steady := rapid.IntRange(0, size).Draw(t, "renew all the time")
		s.steady = all
		vanished := all[steady:]
		// They fall silent within two seconds of each other.
		for i := range vanished {
			s.run(time.Duration(rapid.IntRange(0, 2000/len(vanished)).Draw(t, "pause")) * time.Millisecond)
			s.steady = append(slices.Clone(all[:steady]), vanished[i+1:]...)
			s.dead[vanished[i]] = rapid.Bool().Draw(t, "gossip knows")
		}
		began, minutes := s.now, 0
		most := 0
		if !lease.Together(lease.BrakeSettings(model.MassLossConfig{}), len(vanished), size) {
			most = len(vanished)
		}
		for range rapid.IntRange(1, 10).Draw(t, "looks") {
			s.run(time.Duration(rapid.IntRange(0, 30).Draw(t, "seconds")) * time.Second)
			minutes = int(s.now.Sub(began)/time.Minute) + 1
			if rapid.Bool().Draw(t, "another leader") {
				s.sub.Close()
				s.reset()
				s.wake = s.now
			}
			downs := 0
			for n := range s.store.Snapshot().Nodes(state.Range{}) {
				if n.Status != model.NodeStatusReady && slices.Contains(all[:steady], n.ID) {
					t.Fatalf("%s renews and is %s: %s", n.ID, n.Status, n.StatusDescription)
				}
				if n.Status == model.NodeStatusDown {
					downs++
				}
			}
			if downs > most+minutes*lease.BrakeRate {
				t.Fatalf("%d of %d nodes given up in %d minutes", downs, len(vanished), minutes)
			}
		}
		for _, id := range vanished {
			delete(s.dead, id)
			s.apply(&fsm.RegisterNode{Node: &model.Node{ID: id, Status: model.NodeStatusReady}})
		}
		s.steady = all
		s.wake = s.now
		s.run(time.Minute)
		if got := s.nodes(); got != fmt.Sprintf("ready:%d\n", size) {
			t.Fatalf("all are back: %s", got)
		}
	})
}

// TestReturnBeforeRenewal: nodes that were held register again, and a step comes
// before the first of their renewals. Nobody is given up, the last one included,
// for whom the brake has just let go.
func TestReturnBeforeRenewal(t *testing.T) {
	s := newScene()
	nodes := []string{"n1", "n2", "n3"}
	register := func(id string) { s.apply(&fsm.RegisterNode{Node: &model.Node{ID: id, Status: model.NodeStatusReady}}) }
	for _, id := range nodes {
		register(id)
	}
	s.step()
	for _, id := range nodes {
		s.dead[id] = true
	}
	s.now = s.now.Add(s.l.ttl)
	if out := s.step(); strings.Count(out, model.NodeStatusDisconnected) != len(nodes) {
		t.Fatalf("not held:\n%s", out)
	}
	for _, id := range nodes {
		s.now = s.now.Add(time.Second / 4)
		register(id) // and gossip still thinks it dead
		if out := s.step(); strings.Contains(out, model.NodeStatusDown) || strings.Contains(out, id+" ") {
			t.Errorf("%s has registered again, and:\n%s", id, out)
		}
	}
}
