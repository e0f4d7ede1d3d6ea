package fsm_test

import (
	"strings"
	"testing"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/depends"
	"github.com/steppe-project/steppe/model/feature"
)

// dependent is a job whose group depends on all of another job; "" for none.
func dependent(id, on string) *model.Job {
	j := testJob(id, 1)
	if on != "" {
		j.TaskGroups[0].DependsOn = []*depends.Dependency{{Name: "other", Job: on}}
	}
	return j
}

// A cycle over several jobs is refused whichever way it would come about.
func TestDependencyCycles(t *testing.T) {
	m := newMachine(t)
	m.must(&fsm.FeatureLevel{Level: feature.Newest})
	refused := func(what string, c fsm.Body) {
		t.Helper()
		out := m.apply(c)[0]
		if model.CodeOf(out.Err) != model.CodeInvalid || !strings.Contains(out.Err.Error(), " → ") {
			t.Errorf("%s: %v", what, out.Err)
		}
	}
	m.must(&fsm.RegisterJob{Job: dependent("a", "b")}) // b is to come
	m.must(&fsm.RegisterJob{Job: dependent("b", "c")})
	refused("the last one closes it", &fsm.RegisterJob{Job: dependent("c", "a")})
	m.must(&fsm.RegisterJob{Job: dependent("c", "")})
	// Back to what was legal then.
	m.must(&fsm.RegisterJob{Job: dependent("b", "")})
	m.must(&fsm.RegisterJob{Job: dependent("c", "a")})
	refused("a version from before", &fsm.RevertJob{Namespace: "default", ID: "b", Version: 0})
	m.must(&fsm.DeregisterJob{Namespace: "default", ID: "a", Purge: true})
	m.must(&fsm.RevertJob{Namespace: "default", ID: "b", Version: 0})
	refused("it comes again", &fsm.RegisterJob{Job: dependent("a", "b")})
}

// Before its level, nothing of it is taken.
func TestDependenciesNeedTheirLevel(t *testing.T) {
	m := newMachine(t)
	m.must(&fsm.FeatureLevel{Level: feature.Dependencies - 1})
	if out := m.apply(&fsm.RegisterJob{Job: dependent("a", "b")})[0]; model.CodeOf(out.Err) != model.CodeConflict {
		t.Errorf("%v", out.Err)
	}
	before, err := dependent("a", "").MarshalMsg(nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(before), "DependsOn") {
		t.Error("a job without dependencies is written as older servers do not")
	}
	m.must(&fsm.RegisterJob{Job: dependent("a", "")}, &fsm.FeatureLevel{Level: feature.Dependencies}, &fsm.RegisterJob{Job: dependent("a", "b")})
	if r := m.restored(); r.snap().Hash() != m.snap().Hash() || len(r.snap().Job("default", "a").TaskGroups[0].DependsOn) != 1 {
		t.Error("a snapshot loses it")
	}
}
