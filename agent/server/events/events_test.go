package events

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/server/memlog"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/tenancy"
)

// subscribe opens a stream and returns what reads the next "Type Key" of it.
func subscribe(t *testing.T, log *memlog.Log, req *msg.EventStreamRequest) func() string {
	t.Helper()
	srv := rpc.NewServer(rpc.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	New(Config{Store: log.Store}).Register(srv)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	st, err := msg.EventStream.Open(ctx, srv.Caller())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if err := st.Send(req); err != nil {
		t.Fatal(err)
	}
	if first, err := st.Recv(); err != nil || len(first.JSON) != 0 {
		t.Fatalf("no heartbeat at once: %+v, %v", first, err)
	}
	var pending []string
	return func() string {
		t.Helper()
		for len(pending) == 0 {
			b, err := st.Recv()
			if err != nil {
				t.Fatal(err)
			}
			var batch struct {
				Index  uint64
				Events []struct {
					Topic, Type, Key, Namespace string
					Index                       uint64
					Payload                     map[string]json.RawMessage
				}
			}
			if err := json.Unmarshal(b.JSON, &batch); err != nil {
				t.Fatal(err)
			}
			for _, e := range batch.Events {
				if e.Index != batch.Index || len(e.Payload[e.Topic]) == 0 {
					t.Errorf("event of index %d in batch %d with payload %v", e.Index, batch.Index, e.Payload)
				}
				pending = append(pending, e.Type+" "+e.Key)
			}
		}
		next := pending[0]
		pending = pending[1:]
		return next
	}
}

func register(log *memlog.Log, ns, id string) {
	j := model.NewJob(model.JobTypeService)
	j.Namespace, j.ID, j.Name = ns, id, id
	log.Must(&fsm.RegisterJob{Job: j, Eval: &model.Evaluation{
		ID: "eval-" + id, Namespace: ns, JobID: id, Type: j.Type, Status: model.EvalPending,
	}})
}

func expect(t *testing.T, next func() string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(); got != w {
			t.Errorf("got %q, want %q", got, w)
		}
	}
}

func TestStream(t *testing.T) {
	log := memlog.New()
	log.Must(&fsm.UpsertNamespace{Namespace: &tenancy.Namespace{Name: "other"}})
	register(log, model.DefaultNamespace, "old")
	all := subscribe(t, log, &msg.EventStreamRequest{})
	newer := subscribe(t, log, &msg.EventStreamRequest{Index: log.Store.Snapshot().Index()})
	oneJob := subscribe(t, log, &msg.EventStreamRequest{Topics: map[string][]string{"Evaluation": {"web"}, "Job": {"web"}}})
	nodes := subscribe(t, log, &msg.EventStreamRequest{Topics: map[string][]string{"Node": {"*"}}})

	register(log, "other", "hidden") // of another namespace
	register(log, model.DefaultNamespace, "web")
	log.Must(&fsm.RegisterNode{Node: &model.Node{ID: "n1", SecretID: "hush", Status: model.NodeStatusReady}})
	log.Must(&fsm.NodeEligibility{NodeID: "n1", Eligibility: model.NodeIneligible})
	log.Must(&fsm.NodeStatus{Updates: []fsm.NodeStatusUpdate{{NodeID: "n1", Status: model.NodeStatusDown}}})
	log.Must(&fsm.DeregisterJob{Namespace: model.DefaultNamespace, ID: "web"})

	expect(t, all, "JobRegistered old", "EvaluationUpdated eval-old")
	for _, next := range []func() string{all, newer} {
		expect(t, next, "JobRegistered web", "EvaluationUpdated eval-web", "NodeRegistration n1", "NodeEligibility n1",
			"NodeEvent n1", "JobDeregistered web")
	}
	expect(t, oneJob, "JobRegistered web", "EvaluationUpdated eval-web", "JobDeregistered web")
	expect(t, nodes, "NodeRegistration n1", "NodeEligibility n1", "NodeEvent n1")
}

func TestAllocations(t *testing.T) {
	log := memlog.New()
	log.Must(&fsm.RegisterNode{Node: &model.Node{ID: "n1", Status: model.NodeStatusReady}})
	j := model.NewJob(model.JobTypeService)
	j.ID, j.Name = "web", "web"
	g := model.NewTaskGroup(j)
	g.Name = "g"
	j.TaskGroups = append(j.TaskGroups, g)
	log.Must(&fsm.RegisterJob{Job: j})
	next := subscribe(t, log, &msg.EventStreamRequest{
		Index: log.Store.Snapshot().Index(), Topics: map[string][]string{"Allocation": {"web"}},
	})
	log.Must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e", Namespace: j.Namespace, JobID: j.ID, Groups: []*model.PlanGroup{{
		TaskGroup: "g", Resources: &model.AllocatedResources{}, Placements: []*model.Placement{{ID: "a1", NodeID: "n1"}}}}}})
	log.Must(&fsm.UpdateAllocs{Updates: []*model.AllocUpdate{{ID: "a1", ClientStatus: model.ClientRunning}}})
	yes := true
	log.Must(&fsm.TransitionAllocs{Transitions: []fsm.AllocTransition{{ID: "a1", Transition: model.DesiredTransition{Migrate: &yes}}}})
	log.Must(&fsm.ApplyPlan{Plan: &model.Plan{EvalID: "e", Namespace: j.Namespace, JobID: j.ID, Stops: []*model.PlanStop{{ID: "a1"}}}})
	expect(t, next, "AllocationCreated a1", "AllocationUpdated a1", "AllocationUpdateDesiredStatus a1", "PlanResult a1")
}

func TestTooManyTopics(t *testing.T) {
	req := &msg.EventStreamRequest{Topics: map[string][]string{"Job": strings.Split(strings.Repeat("x,", maxTopics), ",")}}
	if _, err := newFilter(req); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("got %v", err)
	}
}
