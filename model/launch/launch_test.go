package launch_test

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
)

func encode() *model.Job {
	return &model.Job{
		ID: "encode", Name: "encode", Type: model.JobTypeBatch, Version: 4, Stable: true, Status: model.JobStatusRunning, SubmitTime: 7,
		Meta:             map[string]string{"user": "nobody", "team": "video"},
		ParameterizedJob: &model.ParameterizedJobConfig{Payload: launch.PayloadOptional, MetaRequired: []string{"user"}, MetaOptional: []string{"size"}},
	}
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", launch.MaxMetaBytes)
	for _, c := range []struct {
		name    string
		change  func(*model.Job)
		payload string
		meta    map[string]string
		want    string // "" = allowed
	}{
		{"allowed", nil, "p", map[string]string{"user": "x", "size": "1"}, ""},
		{"an empty value is one", nil, "", map[string]string{"user": ""}, ""},
		{"missing", nil, "", nil, `requires meta that the dispatch does not have: "user"`},
		{"unknown", nil, "", map[string]string{"user": "x", "b": "", "a": ""}, `does not allow this meta: "a", "b"; it allows size, user`},
		{"none allowed", func(j *model.Job) { j.ParameterizedJob = &model.ParameterizedJobConfig{} }, "", map[string]string{"a": ""}, "it allows none"},
		{"too much meta", nil, "", map[string]string{"user": long}, "at most 65536"},
		{"NUL", nil, "", map[string]string{"user": "a\x00"}, "contains NUL"},
		{"payload required", func(j *model.Job) { j.ParameterizedJob.Payload = launch.PayloadRequired }, "", map[string]string{"user": "x"}, "requires a payload"},
		{"payload forbidden", func(j *model.Job) { j.ParameterizedJob.Payload = launch.PayloadForbidden }, "p", map[string]string{"user": "x"}, "forbids a payload"},
		{"payload too long", nil, long, map[string]string{"user": "x"}, "at most 16384"},
		{"stopped", func(j *model.Job) { j.Stop = true }, "", map[string]string{"user": "x"}, "it is stopped"},
		{"a child", func(j *model.Job) { j.Dispatched = true }, "", map[string]string{"user": "x"}, "not parameterized"},
	} {
		j := encode()
		if c.change != nil {
			c.change(j)
		}
		err := launch.Check(j, []byte(c.payload), c.meta)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || model.CodeOf(err) != model.CodeInvalid) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestChildren(t *testing.T) {
	parent := encode()
	child := launch.Dispatched(parent, launch.DispatchID("encode", "big", 5, "abcdef01"), []byte("p"), map[string]string{"user": "jane"})
	if child.ID != "encode/dispatch-big-5-abcdef01" || child.Name != child.ID || child.ParentID != "encode" || !child.Dispatched || string(child.Payload) != "p" ||
		child.Meta["user"] != "jane" || child.Meta["team"] != "video" || child.Version != 0 || child.Stable || child.Status != "" || child.SubmitTime != 0 {
		t.Errorf("dispatched: %+v", child)
	}
	if launch.IsTemplate(child) || !launch.IsTemplate(parent) || parent.Meta["user"] != "nobody" {
		t.Error("a child launches nothing, and leaves its parent as it is")
	}
	cron := &model.Job{ID: "backup", Periodic: &model.PeriodicConfig{Spec: "@daily"}}
	slot := launch.Periodic(cron, launch.PeriodicID("backup", 86400))
	if slot.ID != "backup/periodic-86400" || slot.ParentID != "backup" || slot.Periodic != nil || slot.Dispatched || launch.IsTemplate(slot) || cron.Periodic == nil {
		t.Errorf("periodic: %+v", slot)
	}
	if id := launch.DispatchID("encode", "", 5, "abcdef01"); id != "encode/dispatch-5-abcdef01" {
		t.Error(id)
	}
	if launch.CheckUpdate(parent, encode()) != nil || launch.CheckUpdate(parent, cron) == nil || launch.CheckUpdate(slot, &model.Job{ID: slot.ID}) == nil {
		t.Error("a job stays of its kind")
	}
}
