package admit

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
)

func template(change func(*model.Job)) *model.Job {
	j := web()
	j.Type, j.Update, j.TaskGroups[0].Update, j.TaskGroups[0].Migrate = model.JobTypeBatch, nil, nil, nil
	change(j)
	return j
}

func daily(j *model.Job) {
	j.ID, j.Periodic = "daily", &model.PeriodicConfig{Enabled: true, Spec: "@daily"}
}
func param(j *model.Job) { j.ID, j.ParameterizedJob = "param", &model.ParameterizedJobConfig{} }

// Before the servers have agreed to it, such jobs are refused with what to do about it.
func TestLaunchesNeedTheirLevel(t *testing.T) {
	s := newStage()
	for name, call := range map[string]func() error{
		"register": func() error {
			_, err := msg.JobRegister.Call(t.Context(), s.call, &msg.JobRegisterRequest{Job: template(daily)})
			return err
		},
		"dispatch": func() error {
			_, err := msg.JobDispatch.Call(t.Context(), s.call, &msg.JobDispatchRequest{JobID: "param"})
			return err
		},
		"force": func() error {
			_, err := msg.JobForce.Call(t.Context(), s.call, &msg.JobForceRequest{JobID: "daily"})
			return err
		},
	} {
		if err := call(); model.CodeOf(err) != model.CodeConflict || !strings.Contains(err.Error(), "feature level 4") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Entries()); n > 0 {
		t.Errorf("%d entries", n)
	}
}

func TestLaunch(t *testing.T) {
	s := newStage()
	s.Must(&fsm.FeatureLevel{Level: feature.Launches})
	for _, j := range []*model.Job{template(daily), template(param)} {
		if r := s.register(t, &msg.JobRegisterRequest{Job: j}); r.EvalID != "" {
			t.Errorf("%s: evaluation %s", j.ID, r.EvalID)
		}
	}
	dispatch := &msg.JobDispatchRequest{JobID: "param", Payload: []byte("p"), IDPrefix: "x", Token: "t", Priority: 70}
	got, err := msg.JobDispatch.Call(t.Context(), s.call, dispatch)
	if err != nil {
		t.Fatal(err)
	}
	snap := s.Store.Snapshot()
	child, eval := snap.Job(model.DefaultNamespace, got.JobID), snap.Eval(got.EvalID)
	if child == nil || !strings.HasPrefix(child.ID, "param/dispatch-x-") || child.Priority != 70 || string(child.Payload) != "p" {
		t.Errorf("child %+v", child)
	}
	if eval == nil || eval.JobID != child.ID || eval.Priority != 70 || eval.Type != model.JobTypeBatch || eval.TriggeredBy != model.TriggerJobRegister || eval.JobModifyIndex != child.JobModifyIndex {
		t.Errorf("evaluation %+v", eval)
	}
	if again, err := msg.JobDispatch.Call(t.Context(), s.call, dispatch); err != nil || again.JobID != got.JobID || again.EvalID != "" {
		t.Errorf("again: %+v, %v", again, err)
	}
	force := &msg.JobForceRequest{JobID: "daily", WriteOptions: msg.WriteOptions{RequestID: "once"}}
	first, err := msg.JobForce.Call(t.Context(), s.call, force)
	if err != nil || !strings.HasPrefix(first.JobID, "daily/periodic-") {
		t.Fatal(first, err)
	}
	if second, err := msg.JobForce.Call(t.Context(), s.call, force); err != nil || second.JobID != first.JobID {
		t.Errorf("a repeated request: %+v, %v", second, err)
	}
}

func TestRefusedLaunches(t *testing.T) {
	s := newStage()
	s.Must(&fsm.FeatureLevel{Level: feature.Launches})
	s.register(t, &msg.JobRegisterRequest{Job: template(daily)})
	s.register(t, &msg.JobRegisterRequest{Job: template(param)})
	for name, c := range map[string]struct {
		req  msg.JobDispatchRequest
		code model.Code
	}{
		"payload":    {msg.JobDispatchRequest{JobID: "param", Payload: make([]byte, 16<<10+1)}, model.CodeInvalid},
		"token":      {msg.JobDispatchRequest{JobID: "param", Token: strings.Repeat("t", 257)}, model.CodeInvalid},
		"prefix":     {msg.JobDispatchRequest{JobID: "param", IDPrefix: "a b"}, model.CodeInvalid},
		"priority":   {msg.JobDispatchRequest{JobID: "param", Priority: 101}, model.CodeInvalid},
		"meta":       {msg.JobDispatchRequest{JobID: "param", Meta: map[string]string{"a": "b"}}, model.CodeInvalid},
		"periodic":   {msg.JobDispatchRequest{JobID: "daily"}, model.CodeInvalid},
		"none":       {msg.JobDispatchRequest{JobID: "none"}, model.CodeNotFound},
		"namespaces": {msg.JobDispatchRequest{JobID: "param", WriteOptions: msg.WriteOptions{Namespace: "other"}}, model.CodeNotFound},
	} {
		if _, err := msg.JobDispatch.Call(t.Context(), s.call, &c.req); model.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := msg.JobForce.Call(t.Context(), s.call, &msg.JobForceRequest{JobID: "param"}); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("force: %v", err)
	}
	for name, change := range map[string]func(*model.Job){
		"a child":      func(j *model.Job) { j.ParentID = "param" },
		"dispatched":   func(j *model.Job) { j.Dispatched = true },
		"past":         func(j *model.Job) { j.Periodic = &model.PeriodicConfig{Spec: "0 0 1 1 * 2001"} },
		"another kind": func(j *model.Job) { j.ID = "daily" },
	} {
		if _, err := msg.JobRegister.Call(t.Context(), s.call, &msg.JobRegisterRequest{Job: template(change)}); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Must(&fsm.SchedulerConfig{Config: &model.SchedulerConfiguration{RejectJobRegistration: true}})
	if _, err := msg.JobDispatch.Call(t.Context(), s.call, &msg.JobDispatchRequest{JobID: "param"}); model.CodeOf(err) != model.CodeDenied {
		t.Errorf("registration is disabled: %v", err)
	}
}
