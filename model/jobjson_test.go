package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Absent and null keep the default of where they stand; what is written wins,
// zeros included.
func TestDecodeOverDefaults(t *testing.T) {
	j, warnings, err := DecodeJob([]byte(`{
		"TaskGroups": [
			{"Name": "plain", "Update": null, "RestartPolicy": null, "Tasks": [{"Name": "t"}]},
			{"Name": "own", "Count": 0, "Update": {"Canary": 2}, "RestartPolicy": {"Attempts": 0}, "EphemeralDisk": {"Sticky": true},
			 "Scaling": {"Min": 3, "Max": 5},
			 "Tasks": [{"Name": "t", "RestartPolicy": {"Delay": 1}, "KillTimeout": 0, "Resources": {"Cores": 2},
			            "LogConfig": {"Enabled": false}, "Artifacts": [{"GetterSource": "http://x/y.zip", "GetterMode": "file"}],
			            "Templates": [{"ChangeMode": "signal"}], "Vault": {"Policies": []}}],
			 "Services": [{"CheckRestart": {"Limit": 3}, "Checks": [{}, {"CheckRestart": {"Grace": "5s"}}]}]}
		],
		"Update": {"MaxParallel": 5},
		"ID": "a", "Type": "batch", "priority": 0
	}`))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if j.Type != JobTypeBatch || j.Priority != 0 || j.Region != DefaultRegion {
		t.Errorf("%+v", j)
	}
	plain, own := j.TaskGroups[0], j.TaskGroups[1]
	if plain.Count != 1 || plain.Update.MaxParallel != 5 || plain.Update.Stagger != 30*time.Second ||
		plain.RestartPolicy.Attempts != 3 || plain.ReschedulePolicy.Attempts != 1 || plain.EphemeralDisk.SizeMB != 300 {
		t.Errorf("%s", mustJSON(t, plain))
	}
	if pt := plain.Tasks[0]; pt.KillTimeout != 5*time.Second || pt.Resources.CPU != 100 || pt.RestartPolicy.Attempts != 3 {
		t.Errorf("%s", mustJSON(t, pt))
	}
	if own.Count != 0 || own.Update.MaxParallel != 5 || own.Update.Canary != 2 || own.RestartPolicy.Attempts != 0 ||
		own.RestartPolicy.Interval != 24*time.Hour || own.EphemeralDisk.SizeMB != 300 || own.Scaling.Min != 3 || !own.Scaling.Enabled {
		t.Errorf("%s", mustJSON(t, own))
	}
	task := own.Tasks[0]
	if task.RestartPolicy.Attempts != 0 || task.RestartPolicy.Delay != 1 || task.KillTimeout != 0 || task.Resources.CPU != 0 ||
		!task.LogConfig.Disabled || task.LogConfig.MaxFiles != 10 || task.Artifacts[0].RelativeDest != "local/y.zip" ||
		task.Templates[0].ChangeSignal != "SIGHUP" || task.Templates[0].Uid != -1 || !task.Vault.Env {
		t.Errorf("%s", mustJSON(t, task))
	}
	checks := own.Services[0].Checks
	if checks[0].CheckRestart.Limit != 3 || checks[1].CheckRestart.Limit != 3 || checks[1].CheckRestart.Grace != 5*time.Second {
		t.Errorf("%s", mustJSON(t, checks))
	}
}

func TestDecodeCountFromScaling(t *testing.T) {
	j, _, err := DecodeJob([]byte(`{"TaskGroups": [{"Scaling": {"Min": 3}}, {"Count": 4, "Scaling": {"Max": 9}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if j.TaskGroups[0].Count != 3 || j.TaskGroups[1].Scaling.Min != 4 {
		t.Errorf("%s", mustJSON(t, j.TaskGroups))
	}
}

func TestDecodeFaults(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{``, "ends too early"},
		{`{`, "ends too early"},
		{`null`, "a job must be an object, not null"},
		{`[]`, "a job must be an object, not a list"},
		{`{} {}`, "more after the job's end"},
		{`{"ID": 3}`, "Job.ID: must be a string, not the number 3 (line 1, column 8)"},
		{"{\n \"Priority\": \"x\"}", `Job.Priority: must be a whole number, not the string "x" (line 2, column 14)`},
		{`{"Priority": 1.5}`, "must be a whole number"},
		{`{"Priority": 1e400}`, "must be a whole number"},
		{`{"Priority": 99999999999999999999999}`, "must be a whole number"},
		{`{"Version": -1}`, "out of range (0 to 18446744073709551615)"},
		{`{"Version": 18446744073709551615}`, ""},
		{`{"Affinities": [{"Weight": 200}]}`, "Job.Affinities[0].Weight: 200 is out of range"},
		{`{"TaskGroups": [null]}`, "Job.TaskGroups[0]: must not be null"},
		{`{"TaskGroups": {}}`, "Job.TaskGroups: must be a list, not an object"},
		{`{"Meta": {"a": 1}}`, "Job.Meta.a: must be a string"},
		{`{"Payload": "%"}`, "must be base64"},
		{`{"Payload": "aGk="}`, ""},
		{`{"TaskGroups": [{"Volumes": {"a": null}}]}`, "must not be null"},
		{`{"TaskGroups": [{"ShutdownDelay": "soon"}]}`, "must be a duration"},
		{`{"TaskGroups": [{"ShutdownDelay": "10s"}]}`, ""},
		{`{"TaskGroups": [{"Tasks": [{"Config": {"a": 1e999}}]}]}`, "too large"},
		{`{"TaskGroups": [{"Tasks": [{"Config": {"a": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}}]}]}`, "nests deeper than 100"},
		{`{"Type": 3, "Name": true, "Meta": []}`, "Job.Meta: must be an object, not a list"},
		{strings.Repeat(" ", MaxJobBytes+1), "at most"},
	} {
		_, _, err := DecodeJob([]byte(c.src))
		switch {
		case err == nil && c.want != "":
			t.Errorf("%.80s is accepted", c.src)
		case err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want) || CodeOf(err) != CodeInvalid):
			t.Errorf("%.80s: %v, want %q", c.src, err, c.want)
		}
	}
}

func TestDecodeWarnings(t *testing.T) {
	_, warnings, err := DecodeJob([]byte(`{"Foo": 1, "Bar": null, "Empty": {}, "TaskGroups": [{"Tasks": [{"Bar": "x"}]}]}`))
	want := []string{"unknown field Job.Foo is ignored", "unknown field Job.TaskGroups[0].Tasks[0].Bar is ignored"}
	if err != nil || !reflect.DeepEqual(warnings, want) {
		t.Errorf("%v %q", err, warnings)
	}
}

func TestUnmarshalWithin(t *testing.T) {
	var reply struct{ Job *Job }
	if err := json.Unmarshal([]byte(`{"Job": {"ID": "a"}}`), &reply); err != nil || reply.Job.Priority != 50 {
		t.Fatal(err, reply.Job)
	}
	reply.Job = nil
	if err := json.Unmarshal([]byte(`{"Job": null}`), &reply); err != nil || reply.Job != nil {
		t.Fatal(err, reply.Job)
	}
}

// FuzzDecodeJob: no JSON makes the decoder panic, and what it accepts is the
// same after canonicalizing and another round.
func FuzzDecodeJob(f *testing.F) {
	seeds, err := filepath.Glob("testdata/jobs/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(mustJSON(f, minimal())))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, _, err := DecodeJob(data)
		if err != nil {
			return
		}
		j.Canonicalize()
		Validate(j)
		Unsupported(j)
		again := mustJSON(t, j)
		if len(again) > MaxJobBytes {
			return
		}
		back, _, err := DecodeJob([]byte(again))
		if err != nil {
			t.Fatal(err)
		}
		back.Canonicalize()
		if third := mustJSON(t, back); third != again {
			t.Fatalf("before %s\nafter  %s", again, third)
		}
		packed, err := j.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		var unpacked Job
		if _, err := unpacked.UnmarshalMsg(packed); err != nil {
			t.Fatal(err)
		}
	})
}
