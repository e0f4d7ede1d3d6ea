// Package compat holds an independent client against Steppe: the MPL-2.0 Go
// client of the API, unmodified. It is a module of its own, so that nothing of it
// is ever part of the binary.
package compat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

const patience = 60 * time.Second

var address string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the binary, starts one dev agent for all tests and ends it.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "steppe-compat")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "steppe")
	build := exec.Command("go", "build", "-tags=seccomp,netgo,osusergo,runc_nocriu", "-o", bin, ".")
	build.Dir = ".."
	build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	ports := freePorts(3)
	conf := filepath.Join(dir, "ports.hcl")
	text := fmt.Sprintf("ports {\n http = %d\n rpc = %d\n serf = %d\n}\n", ports[0], ports[1], ports[2])
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	agent := exec.Command(bin, "agent", "-dev", "-config", conf)
	agent.Stdout, agent.Stderr = log, log
	if err := agent.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	address = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	code := 1
	if waitReady() {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "the agent did not become ready")
	}
	_ = agent.Process.Signal(syscall.SIGINT)
	_ = agent.Wait()
	if code != 0 {
		if text, err := os.ReadFile(log.Name()); err == nil {
			fmt.Fprintf(os.Stderr, "--- agent log\n%s", tail(text, 8000))
		}
	}
	return code
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

func freePorts(n int) []int {
	var out []int
	var held []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		held = append(held, l)
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range held {
		_ = l.Close()
	}
	return out
}

func waitReady() bool {
	c, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		return false
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		nodes, _, err := c.Nodes().List(nil)
		if err == nil && len(nodes) == 1 && nodes[0].Status == "ready" && nodes[0].Drivers["raw_exec"] != nil && nodes[0].Drivers["raw_exec"].Healthy {
			return true
		}
	}
	return false
}

func client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ptr[T any](v T) *T { return &v }

// sleeper is a service job whose tasks print a line and then sleep.
func sleeper(id string, count int) *api.Job {
	job := api.NewServiceJob(id, id, "global", 50)
	job.Datacenters = []string{"*"}
	task := api.NewTask("main", "raw_exec").
		SetConfig("command", "/bin/sh").
		SetConfig("args", []string{"-c", "echo line of " + id + "; exec sleep 600"}).
		Require(&api.Resources{CPU: ptr(20), MemoryMB: ptr(16)})
	task.KillTimeout = ptr(time.Second)
	return job.AddTaskGroup(api.NewTaskGroup("g", count).AddTask(task))
}

func purge(t *testing.T, c *api.Client, id string) {
	t.Cleanup(func() {
		if _, _, err := c.Jobs().Deregister(id, true, nil); err != nil {
			t.Errorf("purge %s: %v", id, err)
		}
	})
}

func until(t *testing.T, what string, ok func() (bool, error)) {
	t.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		done, err := ok()
		if done {
			return
		}
		last = err
	}
	t.Fatalf("%s: not within %v (last error: %v)", what, patience, last)
}

func runningAllocs(c *api.Client, id string) ([]*api.AllocationListStub, error) {
	all, _, err := c.Jobs().Allocations(id, false, nil)
	var out []*api.AllocationListStub
	for _, a := range all {
		if a.ClientStatus == "running" && a.DesiredStatus == "run" {
			out = append(out, a)
		}
	}
	return out, err
}

func register(t *testing.T, c *api.Client, job *api.Job, want int) []*api.AllocationListStub {
	t.Helper()
	resp, _, err := c.Jobs().Register(job, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.EvalID == "" || resp.JobModifyIndex == 0 {
		t.Fatalf("register answered %+v", resp)
	}
	purge(t, c, *job.ID)
	var allocs []*api.AllocationListStub
	until(t, "running", func() (bool, error) {
		var err error
		allocs, err = runningAllocs(c, *job.ID)
		return len(allocs) == want, err
	})
	return allocs
}

func TestRegisterReadScaleStop(t *testing.T) {
	c := client(t)
	register(t, c, sleeper("life", 1), 1)

	job, _, err := c.Jobs().Info("life", nil)
	if err != nil || *job.Status != "running" || *job.TaskGroups[0].Count != 1 || job.TaskGroups[0].Tasks[0].Config["command"] != "/bin/sh" {
		t.Fatalf("info: %v %+v", err, job)
	}
	if _, _, err := c.Jobs().Scale("life", "g", ptr(3), "more", false, nil, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "scaled", func() (bool, error) {
		a, err := runningAllocs(c, "life")
		return len(a) == 3, err
	})
	scalingEvents(t, c)
	versions, _, _, err := c.Jobs().Versions("life", false, nil)
	if err != nil || len(versions) != 2 || *versions[0].Version != 1 {
		t.Fatalf("versions: %v %d", err, len(versions))
	}
	summary, _, err := c.Jobs().Summary("life", nil)
	if err != nil || summary.Summary["g"].Running != 3 {
		t.Fatalf("summary: %v %+v", err, summary)
	}
	evals, _, err := c.Jobs().Evaluations("life", nil)
	if err != nil || len(evals) < 2 {
		t.Fatalf("evaluations: %v %d", err, len(evals))
	}
	if _, _, err := c.Jobs().Deregister("life", false, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "stopped", func() (bool, error) {
		a, err := runningAllocs(c, "life")
		if err != nil || len(a) > 0 {
			return false, err
		}
		job, _, err := c.Jobs().Info("life", nil)
		return err == nil && *job.Stop && *job.Status == "dead", err
	})
}

// scalingEvents does what a scaler does: look, say that it cannot, and wait for
// what happens next.
func scalingEvents(t *testing.T, c *api.Client) {
	t.Helper()
	status, meta, err := c.Jobs().ScaleStatus("life", nil)
	if err != nil || status.TaskGroups["g"].Desired != 3 || len(status.TaskGroups["g"].Events) != 1 {
		t.Fatalf("scale status: %v %+v", err, status)
	}
	if e := status.TaskGroups["g"].Events[0]; *e.Count != 3 || e.PreviousCount != 1 || e.Message != "more" || e.EvalID == nil || e.Time == 0 {
		t.Fatalf("event: %+v", e)
	}
	if _, _, err := c.Jobs().Scale("life", "g", nil, "no metrics", true, map[string]any{"at": 1, "why": []string{"a"}}, nil); err != nil {
		t.Fatal(err)
	}
	status, _, err = c.Jobs().ScaleStatus("life", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
	if err != nil || len(status.TaskGroups["g"].Events) != 2 {
		t.Fatalf("scale status: %v %+v", err, status)
	}
	e := status.TaskGroups["g"].Events[0]
	if e.Count != nil || !e.Error || e.PreviousCount != 3 || e.EvalID != nil || e.Message != "no metrics" || e.Meta["at"] != 1.0 {
		t.Fatalf("event: %+v", e)
	}
}

func TestEnforceIndexAndErrors(t *testing.T) {
	c := client(t)
	job := sleeper("indexed", 1)
	if _, _, err := c.Jobs().EnforceRegister(job, 77, nil); err == nil || !strings.Contains(err.Error(), api.RegisterEnforceIndexErrPrefix) {
		t.Fatalf("wrong index: %v", err)
	}
	if _, _, err := c.Jobs().EnforceRegister(job, 0, nil); err != nil {
		t.Fatal(err)
	}
	purge(t, c, "indexed")
	if _, _, err := c.Jobs().EnforceRegister(job, 0, nil); err == nil || !strings.Contains(err.Error(), api.RegisterEnforceIndexErrPrefix) {
		t.Fatalf("second register with index 0: %v", err)
	}
	_, _, err := c.Jobs().Info("no-such-job", nil)
	var unexpected api.UnexpectedResponseError
	if !errors.As(err, &unexpected) || unexpected.StatusCode() != 404 || !strings.Contains(unexpected.Body(), "job not found") {
		t.Fatalf("unknown job: %v", err)
	}
	broken := api.NewServiceJob("broken", "broken", "global", 50)
	broken.Datacenters = []string{"*"}
	_, _, err = c.Jobs().Register(broken, nil)
	if !errors.As(err, &unexpected) || unexpected.StatusCode() != 500 || !strings.Contains(unexpected.Body(), "Missing job task groups") {
		t.Fatalf("job without groups: %v", err)
	}
	if _, _, err := c.Nodes().Info("short", nil); err == nil || !strings.Contains(err.Error(), "UUID must be 36 characters") {
		t.Fatalf("malformed node id: %v", err)
	}
}

func TestValidateAndParse(t *testing.T) {
	c := client(t)
	job, err := c.Jobs().ParseHCL(`job "p" { 
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/true" }
    }
  }
}`, true)
	if err != nil || *job.ID != "p" || *job.TaskGroups[0].Count != 1 {
		t.Fatalf("parse: %v", err)
	}
	valid, _, err := c.Jobs().Validate(job, nil)
	if err != nil || valid.Error != "" {
		t.Fatalf("validate: %v %+v", err, valid)
	}
	job.TaskGroups[0].Count = ptr(-1)
	valid, _, err = c.Jobs().Validate(job, nil)
	if err != nil || len(valid.ValidationErrors) == 0 {
		t.Fatalf("a count of -1 passed: %v %+v", err, valid)
	}
}

func TestBlockingQueryWakes(t *testing.T) {
	c := client(t)
	_, meta, err := c.Jobs().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	woke := make(chan error, 1)
	go func() {
		jobs, m, err := c.Jobs().List(&api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: patience})
		switch {
		case err != nil:
		case m.LastIndex <= meta.LastIndex:
			err = fmt.Errorf("woke at index %d, waited above %d", m.LastIndex, meta.LastIndex)
		case len(jobs) == 0:
			err = errors.New("woke without the new job")
		}
		woke <- err
	}()
	register(t, c, sleeper("waker", 1), 1)
	select {
	case err := <-woke:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("a blocking query did not wake")
	}
	// Nothing changes: it waits as long as it was told.
	_, meta, err = c.Namespaces().List(nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, _, err := c.Namespaces().List(&api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Second}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < time.Second {
		t.Fatalf("a blocking query with nothing new returned after %v", took)
	}
}

func TestPagesAndFilters(t *testing.T) {
	c := client(t)
	for i := range 5 {
		register(t, c, sleeper(fmt.Sprintf("page-%d", i), 0), 0)
	}
	var got []string
	token := ""
	for {
		jobs, meta, err := c.Jobs().List(&api.QueryOptions{Prefix: "page-", PerPage: 2, NextToken: token})
		if err != nil || len(jobs) > 2 {
			t.Fatalf("page: %v, %d jobs", err, len(jobs))
		}
		for _, j := range jobs {
			got = append(got, j.ID)
		}
		if token = meta.NextToken; token == "" {
			break
		}
	}
	if strings.Join(got, " ") != "page-0 page-1 page-2 page-3 page-4" {
		t.Fatalf("pages gave %v", got)
	}
	jobs, _, err := c.Jobs().List(&api.QueryOptions{Filter: `ID == "page-3"`})
	if err != nil || len(jobs) != 1 || jobs[0].ID != "page-3" {
		t.Fatalf("filter: %v %v", err, jobs)
	}
	if _, _, err := c.Jobs().List(&api.QueryOptions{Filter: `Foo == "x"`}); err == nil || !strings.Contains(err.Error(), "failed to read result page") {
		t.Fatalf("bad filter: %v", err)
	}
	jobs, _, err = c.Jobs().List(&api.QueryOptions{Prefix: "page-", Reverse: true, PerPage: 1})
	if err != nil || len(jobs) != 1 || jobs[0].ID != "page-4" {
		t.Fatalf("reverse: %v %v", err, jobs)
	}
}

func TestLogsFilesStatsSignalRestart(t *testing.T) {
	c := client(t)
	stub := register(t, c, sleeper("talker", 1), 1)[0]
	alloc, _, err := c.Allocations().Info(stub.ID, nil)
	if err != nil || alloc.Job == nil || alloc.TaskStates["main"].State != "running" {
		t.Fatalf("allocation: %v %+v", err, alloc)
	}
	cancel := make(chan struct{})
	frames, errs := c.AllocFS().Logs(alloc, true, "main", "stdout", "start", 0, cancel, nil)
	var text strings.Builder
	deadline := time.After(patience)
	for !strings.Contains(text.String(), "line of talker\n") {
		select {
		case f, ok := <-frames:
			if !ok {
				t.Fatalf("the log ended with %q", text.String())
			}
			text.Write(f.Data)
		case err := <-errs:
			t.Fatal(err)
		case <-deadline:
			t.Fatalf("no log line; got %q", text.String())
		}
	}
	close(cancel)

	files, _, err := c.AllocFS().List(alloc, "/", nil)
	if err != nil || len(files) < 2 {
		t.Fatalf("ls: %v %v", err, files)
	}
	r, err := c.AllocFS().Cat(alloc, "alloc/logs/main.stdout.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	_ = r.Close()
	if err != nil || string(body) != "line of talker\n" {
		t.Fatalf("cat: %v %q", err, body)
	}
	if _, _, err := c.AllocFS().Stat(alloc, "../../../etc/passwd", nil); err == nil {
		t.Fatal("a path out of the allocation was read")
	}
	stats, err := c.Allocations().Stats(alloc, nil)
	if err != nil || stats.Tasks["main"] == nil {
		t.Fatalf("stats: %v %+v", err, stats)
	}
	if err := c.Allocations().Restart(alloc, "", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "restarted", func() (bool, error) {
		a, _, err := c.Allocations().Info(alloc.ID, nil)
		return err == nil && a.TaskStates["main"].State == "running" && a.TaskStates["main"].Restarts == 1, err
	})
	if err := c.Allocations().Signal(alloc, nil, "main", "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	until(t, "killed by the signal", func() (bool, error) {
		a, _, err := c.Allocations().Info(alloc.ID, nil)
		if err != nil {
			return false, err
		}
		for _, e := range a.TaskStates["main"].Events {
			if e.Type == "Terminated" && strings.Contains(e.DisplayMessage, "Signal: 9") {
				return true, nil
			}
		}
		return false, nil
	})
}

func TestStopOfAnAllocationPlacesAnother(t *testing.T) {
	c := client(t)
	stub := register(t, c, sleeper("replaced", 1), 1)[0]
	alloc, _, err := c.Allocations().Info(stub.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Allocations().Stop(alloc, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "another runs", func() (bool, error) {
		a, err := runningAllocs(c, "replaced")
		return len(a) == 1 && a[0].ID != stub.ID, err
	})
}

func TestEventStream(t *testing.T) {
	c := client(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := c.EventStream().Stream(ctx, map[api.Topic][]string{api.TopicJob: {"streamed"}, api.TopicAllocation: {"streamed"}}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	register(t, c, sleeper("streamed", 1), 1)
	var jobSeen, runningSeen bool
	for batch := range stream {
		if batch.Err != nil {
			t.Fatal(batch.Err)
		}
		for _, e := range batch.Events {
			switch e.Topic {
			case api.TopicJob:
				job, err := e.Job()
				if err != nil || *job.ID != "streamed" {
					t.Fatalf("job event: %v %+v", err, job)
				}
				jobSeen = true
			case api.TopicAllocation:
				a, err := e.Allocation()
				if err != nil || a.JobID != "streamed" {
					t.Fatalf("allocation event: %v %+v", err, a)
				}
				runningSeen = runningSeen || a.ClientStatus == "running"
			default:
				t.Fatalf("an event of topic %s was not asked for", e.Topic)
			}
		}
		if jobSeen && runningSeen {
			return
		}
	}
	t.Fatalf("the stream ended: job %v, running %v", jobSeen, runningSeen)
}

func TestNodesOperatorAndStatus(t *testing.T) {
	c := client(t)
	nodes, _, err := c.Nodes().List(nil)
	if err != nil || len(nodes) != 1 {
		t.Fatalf("nodes: %v", err)
	}
	id := nodes[0].ID
	node, _, err := c.Nodes().Info(id, nil)
	if err != nil || node.Attributes["kernel.name"] != "linux" || node.NodeResources.Memory.MemoryMB == 0 {
		t.Fatalf("node: %v %+v", err, node)
	}
	if _, err := c.Nodes().ToggleEligibility(id, false, nil); err != nil {
		t.Fatal(err)
	}
	if node, _, _ = c.Nodes().Info(id, nil); node.SchedulingEligibility != "ineligible" {
		t.Fatal("the node is still eligible")
	}
	if _, err := c.Nodes().ToggleEligibility(id, true, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Nodes().Stats(id, nil); err != nil {
		t.Fatal(err)
	}
	leader, err := c.Status().Leader()
	if err != nil || leader == "" {
		t.Fatalf("leader: %q %v", leader, err)
	}
	if regions, err := c.Regions().List(); err != nil || len(regions) != 1 || regions[0] != "global" {
		t.Fatalf("regions: %v %v", regions, err)
	}
	raft, err := c.Operator().RaftGetConfiguration(nil)
	if err != nil || len(raft.Servers) != 1 || !raft.Servers[0].Leader {
		t.Fatalf("raft: %v %+v", err, raft)
	}
	conf, _, err := c.Operator().SchedulerGetConfiguration(nil)
	if err != nil || conf.SchedulerConfig.SchedulerAlgorithm != "binpack" {
		t.Fatalf("scheduler: %v %+v", err, conf)
	}
	conf.SchedulerConfig.SchedulerAlgorithm = "spread"
	set, _, err := c.Operator().SchedulerCASConfiguration(conf.SchedulerConfig, nil)
	if err != nil || !set.Updated {
		t.Fatalf("set scheduler: %v %+v", err, set)
	}
	if set, _, err = c.Operator().SchedulerCASConfiguration(conf.SchedulerConfig, nil); err != nil || set.Updated {
		t.Fatalf("a stale check-and-set was done: %v %+v", err, set)
	}
	members, err := c.Agent().Members()
	if err != nil || len(members.Members) != 1 || members.Members[0].Tags["role"] != "nomad" {
		t.Fatalf("members: %v %+v", err, members)
	}
	self, err := c.Agent().Self()
	if err != nil || self.Member.Name == "" || self.Config["Region"] != "global" {
		t.Fatalf("self: %v %+v", err, self)
	}
	health, err := c.Agent().Health()
	if err != nil || !health.Server.Ok || !health.Client.Ok {
		t.Fatalf("health: %v %+v", err, health)
	}
	found, _, err := c.Search().PrefixSearch(id[:6], "nodes", nil)
	if err != nil || len(found.Matches["nodes"]) != 1 {
		t.Fatalf("search: %v %+v", err, found)
	}
	snap, err := c.Operator().Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, snap)
	_ = snap.Close()
	if err != nil || n < 100 {
		t.Fatalf("snapshot: %d bytes, %v", n, err)
	}
	if err := c.System().GarbageCollect(); err != nil {
		t.Fatal(err)
	}
	metrics, err := c.Operator().Metrics(&api.QueryOptions{Params: map[string]string{"format": "prometheus"}})
	if err != nil || !strings.Contains(string(metrics), "nomad_") {
		t.Fatalf("metrics: %v", err)
	}
}

func TestJWKS(t *testing.T) {
	resp, err := http.Get(address + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := bufio.NewReader(resp.Body).ReadString(0)
	if !errors.Is(err, io.EOF) || !strings.Contains(body, `"kty":"OKP"`) || strings.Contains(body, `"d"`) {
		t.Fatalf("jwks: %v %s", err, body)
	}
}

// A plan of the client names what would change, and the index to register with.
func TestPlan(t *testing.T) {
	c := client(t)
	job := sleeper("compat-plan", 1)
	first, _, err := c.Jobs().Plan(job, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.JobModifyIndex != 0 || first.Diff == nil || first.Diff.Type != "Added" || first.Annotations.DesiredTGUpdates["g"].Place != 1 {
		t.Fatalf("a new job: %+v", first)
	}
	if _, _, err := c.Jobs().EnforceRegister(job, first.JobModifyIndex, nil); err != nil {
		t.Fatal(err)
	}
	purge(t, c, "compat-plan")
	until(t, "running", func() (bool, error) {
		a, err := runningAllocs(c, "compat-plan")
		return len(a) == 1, err
	})
	job.TaskGroups[0].Count = ptr(2)
	next, _, err := c.Jobs().Plan(job, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if next.JobModifyIndex == 0 || next.Diff.Type != "Edited" || next.Diff.TaskGroups[0].Updates["create"] != 1 {
		t.Fatalf("a change: %+v", next)
	}
	if _, _, err := c.Jobs().EnforceRegister(job, next.JobModifyIndex, nil); err != nil {
		t.Fatal(err)
	}
	if _, diffs, _, err := c.Jobs().Versions("compat-plan", true, nil); err != nil || len(diffs) != 1 || diffs[0].Type != "Edited" {
		t.Errorf("versions: %+v, %v", diffs, err)
	}
}
