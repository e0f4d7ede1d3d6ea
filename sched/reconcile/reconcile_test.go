package reconcile

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/model"
)

func testJob() *model.Job {
	return &model.Job{
		ID: "j", Name: "j", Type: model.JobTypeService, Priority: 50, Meta: map[string]string{"a": "b"},
		TaskGroups: []*model.TaskGroup{{
			Name: "g", Count: 1, Meta: map[string]string{},
			Tasks: []*model.Task{{Name: "t", Driver: "exec", Config: map[string]any{"command": "x", "args": []any{"1", int64(2)}}, Resources: &model.Resources{CPU: 100}}},
		}},
	}
}

// TestFencePolicy: the servers count on a node to stop what was cut off with it no
// sooner than the node knows.
func TestFencePolicy(t *testing.T) {
	job := func(after time.Duration) *model.Job {
		return &model.Job{TaskGroups: []*model.TaskGroup{{Name: "g", StopAfterClientDisconnect: after}}}
	}
	for _, tc := range []struct {
		from, to time.Duration
		want     bool
	}{{0, time.Minute, true}, {time.Minute, 30 * time.Second, true}, {30 * time.Second, time.Minute, false}, {time.Minute, 0, false}, {0, 0, false}} {
		if got := Changed(job(tc.from), job(tc.to), "g"); got != tc.want {
			t.Errorf("from %v to %v: replaced %v, want %v", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestChanged(t *testing.T) {
	task := func(j *model.Job) *model.Task { return j.TaskGroups[0].Tasks[0] }
	for name, tc := range map[string]struct {
		change func(j *model.Job)
		want   bool
	}{
		"nothing":             {func(j *model.Job) {}, false},
		"count":               {func(j *model.Job) { j.TaskGroups[0].Count = 9 }, false},
		"priority":            {func(j *model.Job) { j.Priority = 9 }, false},
		"datacenters":         {func(j *model.Job) { j.Datacenters = []string{"x"} }, false},
		"job constraint":      {func(j *model.Job) { j.Constraints = []*model.Constraint{{Operand: "distinct_hosts"}} }, false},
		"group constraint":    {func(j *model.Job) { j.TaskGroups[0].Constraints = []*model.Constraint{{}} }, false},
		"task constraint":     {func(j *model.Job) { task(j).Constraints = []*model.Constraint{{}} }, false},
		"service":             {func(j *model.Job) { j.TaskGroups[0].Services = []*model.Service{{Name: "s"}} }, false},
		"task service":        {func(j *model.Job) { task(j).Services = []*model.Service{{Name: "s"}} }, false},
		"update":              {func(j *model.Job) { j.TaskGroups[0].Update = &model.UpdateStrategy{MaxParallel: 2} }, false},
		"restart":             {func(j *model.Job) { task(j).RestartPolicy = &model.RestartPolicy{Attempts: 2} }, false},
		"reschedule":          {func(j *model.Job) { j.TaskGroups[0].ReschedulePolicy = &model.ReschedulePolicy{} }, false},
		"kill timeout":        {func(j *model.Job) { task(j).KillTimeout = time.Second }, false},
		"empty for absent":    {func(j *model.Job) { task(j).Env, j.TaskGroups[0].Meta = map[string]string{}, nil }, false},
		"number types":        {func(j *model.Job) { task(j).Config["args"] = []any{"1", float64(2)} }, false},
		"job meta":            {func(j *model.Job) { j.Meta = map[string]string{"a": "c"} }, true},
		"group meta":          {func(j *model.Job) { j.TaskGroups[0].Meta = map[string]string{"x": "y"} }, true},
		"task meta":           {func(j *model.Job) { task(j).Meta = map[string]string{"x": "y"} }, true},
		"config":              {func(j *model.Job) { task(j).Config = map[string]any{"command": "y"} }, true},
		"config value":        {func(j *model.Job) { task(j).Config["args"] = []any{"1", "2"} }, true},
		"env":                 {func(j *model.Job) { task(j).Env = map[string]string{"x": "y"} }, true},
		"cpu":                 {func(j *model.Job) { task(j).Resources = &model.Resources{CPU: 101} }, true},
		"driver":              {func(j *model.Job) { task(j).Driver = "raw_exec" }, true},
		"user":                {func(j *model.Job) { task(j).User = "root" }, true},
		"logs":                {func(j *model.Job) { task(j).LogConfig = &model.LogConfig{MaxFiles: 1} }, true},
		"artifact":            {func(j *model.Job) { task(j).Artifacts = []*model.TaskArtifact{{}} }, true},
		"template":            {func(j *model.Job) { task(j).Templates = []*model.Template{{}} }, true},
		"network":             {func(j *model.Job) { j.TaskGroups[0].Networks = []*model.NetworkResource{{}} }, true},
		"disk":                {func(j *model.Job) { j.TaskGroups[0].EphemeralDisk = &model.EphemeralDisk{SizeMB: 1} }, true},
		"volume":              {func(j *model.Job) { j.TaskGroups[0].Volumes = map[string]*model.VolumeRequest{"v": {}} }, true},
		"another task":        {func(j *model.Job) { j.TaskGroups[0].Tasks = append(j.TaskGroups[0].Tasks, &model.Task{}) }, true},
		"renamed task":        {func(j *model.Job) { task(j).Name = "u" }, true},
		"no such group":       {func(j *model.Job) { j.TaskGroups[0].Name = "h" }, true},
		"type":                {func(j *model.Job) { j.Type = model.JobTypeBatch }, true},
		"payload":             {func(j *model.Job) { j.Payload = []byte("x") }, true},
		"lifecycle":           {func(j *model.Job) { task(j).Lifecycle = &model.TaskLifecycle{Hook: "prestart"} }, true},
		"kill signal":         {func(j *model.Job) { task(j).KillSignal = "SIGINT" }, true},
		"leader":              {func(j *model.Job) { task(j).Leader = true }, true},
		"status is no change": {func(j *model.Job) { j.Status, j.Version, j.ModifyIndex = "dead", 9, 9 }, false},
	} {
		next := testJob()
		tc.change(next)
		if got := Changed(testJob(), next, "g"); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
		if got := Changed(next, testJob(), "g"); got != tc.want {
			t.Errorf("%s, backwards: %t, want %t", name, got, tc.want)
		}
	}
	if !Changed(nil, testJob(), "g") {
		t.Error("an unknown version is another one")
	}
}

func TestDelays(t *testing.T) {
	const second = time.Second
	for _, tc := range []struct {
		function string
		want     []time.Duration
	}{
		{model.DelayConstant, []time.Duration{5, 5, 5, 5}},
		{"", []time.Duration{5, 5, 5}},
		{model.DelayExponential, []time.Duration{5, 10, 20, 40, 60, 60}},
		{model.DelayFibonacci, []time.Duration{5, 5, 10, 15, 25, 40, 60, 60}},
	} {
		p := &model.ReschedulePolicy{Unlimited: true, Delay: 5 * second, MaxDelay: 60 * second, DelayFunction: tc.function}
		now := time.Unix(1000, 0)
		a := &model.Allocation{ID: "a", CreateTime: now.UnixNano(), ModifyTime: now.UnixNano()}
		r := &run{in: Input{Now: now, Eval: &model.Evaluation{}}}
		for i, want := range tc.want {
			if got := nextDelay(a, p, now); got != want*second {
				t.Errorf("%s, attempt %d: %s, want %s", tc.function, i, got, want*second)
			}
			tracker, avoid := r.track(a, p)
			if len(tracker.Events) > MaxRescheduleEvents || len(avoid) != len(tracker.Events) {
				t.Errorf("%d events, %d nodes to avoid", len(tracker.Events), len(avoid))
			}
			a = &model.Allocation{ID: "b", CreateTime: now.UnixNano(), ModifyTime: now.UnixNano(), RescheduleTracker: tracker}
		}
		// One that ran longer than the longest delay begins anew.
		if got := nextDelay(a, p, now.Add(2*time.Minute)); got != 5*second {
			t.Errorf("%s after a long run: %s", tc.function, got)
		}
	}
}

// TestDelaysAreBounded: no policy and no history gives a delay beyond the limit
// or below the first.
func TestDelaysAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &model.ReschedulePolicy{
			Unlimited:     true,
			Delay:         time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "delay")),
			MaxDelay:      time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "max")),
			DelayFunction: rapid.SampledFrom([]string{"exponential", "fibonacci"}).Draw(t, "function"),
		}
		now := time.Unix(1_000_000, 0)
		a := &model.Allocation{CreateTime: now.UnixNano(), ModifyTime: now.UnixNano()}
		r := &run{in: Input{Now: now, Eval: &model.Evaluation{}}}
		limit := p.MaxDelay
		if limit == 0 {
			limit = maxDelay
		}
		for range 100 {
			d := nextDelay(a, p, now)
			if d < 0 || d > limit || d < min(p.Delay, limit) {
				t.Fatalf("delay %s, first %s, limit %s", d, p.Delay, limit)
			}
			a.RescheduleTracker, _ = r.track(a, p)
		}
	})
}

func TestStartedAt(t *testing.T) {
	since := time.Unix(100, 0)
	g := &model.TaskGroup{Tasks: []*model.Task{
		{Name: "main"},
		{Name: "init", Lifecycle: &model.TaskLifecycle{Hook: model.HookPrestart}},
		{Name: "side", Lifecycle: &model.TaskLifecycle{Hook: model.HookPrestart, Sidecar: true}},
		{Name: "after", Lifecycle: &model.TaskLifecycle{Hook: model.HookPoststart}},
		{Name: "end", Lifecycle: &model.TaskLifecycle{Hook: model.HookPoststop}},
	}}
	states := func() map[string]*model.TaskState {
		return map[string]*model.TaskState{
			"main": {State: model.TaskRunning, StartedAt: since}, "init": {State: model.TaskDead},
			"side": {State: model.TaskRunning, StartedAt: since.Add(-time.Second)}, "end": {State: model.TaskPending},
		}
	}
	reported := since.Add(time.Minute).UnixNano()
	a := &model.Allocation{ClientStatus: model.ClientRunning, TaskStates: states(), ModifyTime: reported}
	if at, ok := StartedAt(a, g); !ok || !at.Equal(since) {
		t.Errorf("%s, %t", at, ok)
	}
	a.TaskStates["main"].StartedAt = since.Add(time.Hour) // by a clock that is ahead
	if at, ok := StartedAt(a, g); !ok || at.UnixNano() != reported {
		t.Errorf("by a clock that is ahead: %s, %t", at, ok)
	}
	a.TaskStates["main"] = &model.TaskState{State: model.TaskDead, StartedAt: since}
	if at, ok := StartedAt(a, g); !ok || !at.Equal(since.Add(-time.Second)) {
		t.Errorf("a main task that has done its work: %s, %t", at, ok)
	}
	for name, change := range map[string]func(a *model.Allocation){
		"pending":      func(a *model.Allocation) { a.ClientStatus = model.ClientPending },
		"main pending": func(a *model.Allocation) { a.TaskStates["main"].State = model.TaskPending },
		"no main":      func(a *model.Allocation) { delete(a.TaskStates, "main") },
		"side dead":    func(a *model.Allocation) { a.TaskStates["side"].State = model.TaskDead },
		"init failed":  func(a *model.Allocation) { a.TaskStates["init"].Failed = true },
	} {
		a := &model.Allocation{ClientStatus: model.ClientRunning, TaskStates: states()}
		change(a)
		if _, ok := StartedAt(a, g); ok {
			t.Errorf("%s counts as started", name)
		}
	}
}

// TestNames: whatever exists, what is kept and placed has the names 0..count-1,
// each once, and nothing that goes on is forgotten.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		job := testJob()
		job.TaskGroups[0].Count = rapid.IntRange(0, 5).Draw(t, "count")
		job.TaskGroups[0].ReschedulePolicy = &model.ReschedulePolicy{Unlimited: true, Delay: 0}
		var allocs []*model.Allocation
		for i := range rapid.IntRange(0, 8).Draw(t, "allocs") {
			allocs = append(allocs, &model.Allocation{
				ID: string(rune('a' + i)), JobID: "j", Job: job, TaskGroup: rapid.SampledFrom([]string{"g", "old"}).Draw(t, "group"),
				Name:          model.AllocName("j", "g", rapid.IntRange(0, 7).Draw(t, "index")),
				NodeID:        rapid.SampledFrom([]string{"up", "down", "gone"}).Draw(t, "node"),
				DesiredStatus: rapid.SampledFrom([]string{model.DesiredRun, model.DesiredRun, model.DesiredStop}).Draw(t, "desired"),
				ClientStatus:  rapid.SampledFrom([]string{model.ClientPending, model.ClientRunning, model.ClientFailed, model.ClientComplete, model.ClientLost}).Draw(t, "client"),
				CreateIndex:   uint64(i),
			})
		}
		out := Job(Input{
			Job: job, Allocs: allocs, Now: time.Unix(1000, 0), Eval: &model.Evaluation{},
			Node: func(id string) *model.Node {
				return map[string]*model.Node{"up": {Status: model.NodeStatusReady}, "down": {Status: model.NodeStatusDown}}[id]
			},
			InPlace: func(*model.Allocation, *model.TaskGroup) bool { return true },
		})
		stopped := map[string]bool{}
		for _, s := range out.Stops {
			if stopped[s.Alloc.ID] {
				t.Fatalf("%s is stopped twice", s.Alloc.ID)
			}
			stopped[s.Alloc.ID] = true
			if (s.ClientStatus == model.ClientLost) != (s.Alloc.NodeID != "up") {
				t.Fatalf("%s on %s is marked %q", s.Alloc.ID, s.Alloc.NodeID, s.ClientStatus)
			}
		}
		names := map[int]int{}
		for _, p := range out.Groups[0].Places {
			names[p.Index]++
		}
		for _, a := range allocs {
			if a.Terminal() {
				continue
			}
			if a.NodeID == "up" && !stopped[a.ID] {
				names[a.Index()]++
			} else if !stopped[a.ID] {
				t.Fatalf("%s is lost and not given up", a.ID)
			}
		}
		for i := range job.TaskGroups[0].Count {
			if names[i] != 1 {
				t.Fatalf("name %d is there %d times", i, names[i])
			}
			delete(names, i)
		}
		if len(names) > 0 {
			t.Fatalf("unwanted names %v", names)
		}
	})
}
