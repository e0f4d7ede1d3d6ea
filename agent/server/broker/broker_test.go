package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

// scene drives a broker as the runner would, over a store.
type scene struct {
	b     *Broker
	store *state.Store
	fsm   *fsm.FSM
	sub   *state.Subscription
	index uint64
	now   time.Time
	out   []*model.Evaluation // delivered, as delivered
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newScene() *scene {
	s := &scene{b: New(), store: state.New(), now: start}
	s.index = s.store.Snapshot().Index()
	s.fsm = fsm.New(s.store)
	s.reset()
	return s
}

func (s *scene) reset() {
	snap, sub := s.store.Subscribe(s.b.Reads()...)
	s.sub = sub
	s.b.Reset(snap)
}

// apply commits commands and shows the broker what changed.
func (s *scene) apply(cmds ...fsm.Command) {
	if len(cmds) == 0 {
		return
	}
	s.index++
	for i, o := range s.fsm.Apply(fsm.Entry{Index: s.index, Term: 1, Time: s.now.UnixNano(), Commands: cmds}) {
		if o.Err != nil {
			panic(fmt.Sprintf("command %d: %v", cmds[i].Kind, o.Err))
		}
	}
	s.observe()
}

func (s *scene) observe() {
	changes, err := s.sub.Poll()
	if err != nil {
		panic(err)
	}
	s.b.Observe(changes)
}

func must(body fsm.Body) fsm.Command {
	c, err := fsm.NewCommand(body)
	if err != nil {
		panic(err)
	}
	return c
}

// step steps and commits, and returns what was decided.
func (s *scene) step() string {
	cmds, wake := s.b.Step(s.now, s.store.Snapshot())
	s.apply(cmds...)
	var out strings.Builder
	for _, c := range cmds {
		var u fsm.UpsertEvals
		if _, err := u.UnmarshalMsg(c.Body); err != nil {
			panic(err)
		}
		for _, e := range u.Evals {
			fmt.Fprintf(&out, "%s %s", name(e.ID), e.Status)
			if e.Attempts > 0 {
				fmt.Fprintf(&out, " attempts=%d", e.Attempts)
			}
			if e.StatusDescription != "" {
				fmt.Fprintf(&out, ": %s", e.StatusDescription)
			}
			out.WriteByte('\n')
		}
	}
	if !wake.IsZero() {
		fmt.Fprintf(&out, "wake in %s\n", wake.Sub(s.now))
	}
	return out.String()
}

// name shortens generated ids, which scenarios need not know.
func name(id string) string {
	if len(id) == 36 {
		return "(follow-up)"
	}
	return id
}

func (s *scene) deliver(room int) string {
	got := s.b.Deliver(s.now, room)
	s.out = append(s.out, got...)
	names := make([]string, 0, len(got))
	for _, e := range got {
		names = append(names, name(e.ID))
	}
	if len(names) == 0 {
		return "nothing\n"
	}
	return strings.Join(names, " ") + "\n"
}

func arg[T any](d *datadriven.TestData, key string, v *T) bool {
	if !d.HasArg(key) {
		return false
	}
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) == 1 {
			if _, err := fmt.Sscan(a.Vals[0], v); err != nil {
				panic(err)
			}
		}
	}
	return true
}

func duration(d *datadriven.TestData, key string) time.Duration {
	var text string
	if !arg(d, key, &text) {
		return 0
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return v
}

// evals reads lines "id job [key=value ...]".
func (s *scene) evals(d *datadriven.TestData) fsm.Command {
	up := &fsm.UpsertEvals{}
	for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		fields := strings.Fields(line)
		e := &model.Evaluation{
			ID: fields[0], JobID: fields[1], Namespace: model.DefaultNamespace, Type: model.JobTypeService,
			Priority: model.DefaultPriority, Status: model.EvalPending,
		}
		if old := s.store.Snapshot().Eval(e.ID); old != nil {
			c := *old
			e = &c
		}
		for _, f := range fields[2:] {
			key, value, _ := strings.Cut(f, "=")
			setEval(e, key, value, s.now)
		}
		up.Evals = append(up.Evals, e)
	}
	return must(up)
}

func setEval(e *model.Evaluation, key, value string, now time.Time) {
	switch key {
	case "prio":
		fmt.Sscan(value, &e.Priority)
	case "status":
		e.Status = value
	case "attempts":
		fmt.Sscan(value, &e.Attempts)
	case "seen":
		fmt.Sscan(value, &e.SnapshotIndex)
	case "waits", "lacks":
		fail(e, value, key == "waits")
	case "escaped":
		e.EscapedComputedClass = true
	case "wait":
		w, err := time.ParseDuration(value)
		if err != nil {
			panic(err)
		}
		e.WaitUntil = now.Add(w)
	case "fit", "unfit":
		if e.ClassEligibility == nil {
			e.ClassEligibility = map[string]bool{}
		}
		for _, class := range strings.Split(value, ",") {
			e.ClassEligibility[class] = key == "fit"
		}
	default:
		panic("unknown key " + key)
	}
}

// fail notes that a group of an evaluation waits for a dependency, or that no node was
// found for it.
func fail(e *model.Evaluation, group string, waits bool) {
	failed := map[string]*model.AllocationMetric{group: {}}
	for g, m := range e.FailedTGAllocs {
		c := *m
		failed[g] = &c
	}
	e.FailedTGAllocs = failed
	if waits {
		failed[group].Waits = []string{"waits until group g0 is completed: 1 of 2"}
	} else {
		failed[group].NodePool = model.DefaultNodePool
	}
}

func (s *scene) node(d *datadriven.TestData) fsm.Command {
	n := &model.Node{Status: model.NodeStatusReady, SchedulingEligibility: model.NodeEligible}
	arg(d, "id", &n.ID)
	arg(d, "class", &n.ComputedClass)
	arg(d, "status", &n.Status)
	return must(&fsm.RegisterNode{Node: n})
}

// ended places an allocation on a node and ends it.
func (s *scene) ended(d *datadriven.TestData) string {
	id := s.placed(d)
	s.apply(must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: id, ClientStatus: model.ClientComplete}}}))
	return fmt.Sprintf("index %d\n", s.index)
}

// placed places an allocation on a node.
func (s *scene) placed(d *datadriven.TestData) (id string) {
	var node, job string
	arg(d, "node", &node)
	arg(d, "job", &job)
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name = job, job
	arg(d, "prio", &j.Priority)
	g := model.NewTaskGroup(j)
	g.Name = "g"
	j.TaskGroups = append(j.TaskGroups, g)
	s.apply(must(&fsm.RegisterJob{Job: j}))
	version := s.store.Snapshot().Job(j.Namespace, j.ID).Version
	id = fmt.Sprintf("alloc-%d", s.index)
	s.apply(must(&fsm.ApplyPlan{Plan: &model.Plan{
		EvalID: "none", Namespace: j.Namespace, JobID: j.ID, JobVersion: version,
		Groups: []*model.PlanGroup{{TaskGroup: "g", Resources: &model.AllocatedResources{},
			Placements: []*model.Placement{{ID: id, NodeID: node}}}},
	}}))
	return id
}

func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newScene()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "evals":
				s.apply(s.evals(d))
				return fmt.Sprintf("index %d\n", s.index)
			case "node":
				s.apply(s.node(d))
				return fmt.Sprintf("index %d\n", s.index)
			case "node-down":
				var id string
				arg(d, "id", &id)
				s.apply(must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: id, Status: model.NodeStatusDown}}}))
				return fmt.Sprintf("index %d\n", s.index)
			case "placed":
				s.placed(d)
				return fmt.Sprintf("index %d\n", s.index)
			case "priority": // a new version of the job, that places nothing
				j := *s.store.Snapshot().Job(model.DefaultNamespace, d.CmdArgs[0].Key)
				arg(d, "prio", &j.Priority)
				s.apply(must(&fsm.RegisterJob{Job: &j}))
				return fmt.Sprintf("index %d\n", s.index)
			case "feature": // and everybody may preempt
				s.apply(must(&fsm.FeatureLevel{Level: feature.Newest}))
				s.apply(must(&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{PreemptionConfig: model.PreemptionConfig{ServiceSchedulerEnabled: true}}}))
				return ""
			case "ended":
				return s.ended(d)
			case "pause", "unpause":
				s.apply(must(&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{PauseEvalBroker: d.Cmd == "pause"}}))
				return ""
			case "step":
				s.now = s.now.Add(duration(d, "after"))
				return s.step()
			case "deliver":
				room := 1
				arg(d, "room", &room)
				return s.deliver(room)
			case "counts":
				return fmt.Sprintf("%+v\n", s.b.Counts())
			case "new-leader":
				s.sub.Close()
				s.reset()
				return ""
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}
