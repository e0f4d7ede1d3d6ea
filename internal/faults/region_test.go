package faults

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// world is two regions of one site: east has two servers and a client, west three
// and a client.
type world struct {
	*Site
	t            *testing.T
	east, west   []*Agent // servers
	eastC, westC *Agent
}

// regionPatience is for what gossip between regions takes: it waits longer than
// gossip in a region before it gives a member up.
const regionPatience = 2 * Patience

func newWorld(t *testing.T) *world {
	s := NewSite(t, Namespaces)
	w := &world{Site: s, t: t}
	region := func(name string, servers int) (out []*Agent, client *Agent) {
		for i := range servers {
			join := ""
			if i > 0 {
				join = fmt.Sprintf(" retry_join = [%q]\n", out[0].Addr)
			}
			out = append(out, s.Agent(fmt.Sprintf("%s%d", name[:1], i+1),
				fmt.Sprintf("region = %q\nserver {\n enabled = true\n bootstrap_expect = %d\n%s}\n", name, servers, join)))
		}
		return out, s.Agent("c"+name[:1], fmt.Sprintf("region = %q\n", name)+clientOf(out[0]))
	}
	w.east, w.eastC = region("east", 2)
	w.west, w.westC = region("west", 3)
	for _, a := range w.all() {
		a.Start()
	}
	for _, a := range []*Agent{w.east[0], w.west[0]} {
		s.Await("the region of "+a.Name+" is complete", 2*Patience, func() error { return a.Nodes(1) })
	}
	return w
}

func (w *world) servers() []*Agent { return append(slices.Clone(w.east), w.west...) }
func (w *world) all() []*Agent     { return append(w.servers(), w.eastC, w.westC) }

// federated checks that an agent knows both regions with all of their servers alive.
func (w *world) federated(a *Agent) error {
	regions, err := a.API.Cluster().Regions(short())
	if err != nil || strings.Join(regions, " ") != "east west" {
		return fmt.Errorf("%s knows regions %v: %v", a.Name, regions, err)
	}
	members, err := a.API.Cluster().Members(short())
	if err != nil {
		return err
	}
	alive := 0
	for _, m := range members {
		if m.Tags["role"] == "nomad" && m.Status == "alive" {
			alive++
		}
	}
	if alive != len(w.servers()) {
		return fmt.Errorf("%s sees %d of %d servers alive", a.Name, alive, len(w.servers()))
	}
	return nil
}

// TestRegions is the story of two regions: one join federates them, a job is run
// and read from the other region, the server between them dies, the line between
// them is cut and mended.
func TestRegions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.federate()
	w.runThere()
	w.readThere()
	w.killGateway()
	w.cutLine()
	w.changeKey()
	for _, a := range []*Agent{w.east[0], w.west[0]} {
		a.Stop("local-" + a.Name)
	}
	w.west[0].AwaitGone("remote")
}

// federate joins one server to one of the other region, at the wrong port first.
func (w *world) federate() {
	t := w.t
	out, err := w.east[0].CLI("server", "join", w.west[1].Addr)
	if err == nil || !strings.Contains(out, `region "west"`) || !strings.Contains(out, "server join -wan") {
		t.Errorf("a join of another region's agent: %v: %s", err, out)
	}
	if out, err := w.eastC.CLI("server", "join", "-wan", w.west[1].Addr); err == nil || !strings.Contains(out, "it is no server") {
		t.Errorf("a client federates: %v: %s", err, out)
	}
	if _, err := w.east[0].API.WithRegion("west").Cluster().Leader(short()); err == nil || err.Error() != "No path to region" {
		t.Errorf("before regions are federated: %v", err)
	}
	began := time.Now()
	if out, err := w.east[0].CLI("server", "join", "-wan", w.west[1].Addr); err != nil {
		t.Fatalf("server join -wan: %v: %s", err, out)
	}
	for _, a := range w.all() {
		w.Await(a.Name+" knows both regions", regionPatience, func() error { return w.federated(a) })
	}
	t.Logf("one join federated %d servers and 2 clients in %v", len(w.servers()), time.Since(began).Round(time.Millisecond))
	if out, err := w.eastC.CLI("server", "members"); err != nil || strings.Count(out, "west") < 3 || strings.Count(out, "true")+strings.Count(out, "yes") < 2 {
		t.Errorf("server members: %v\n%s", err, out)
	}
}

const remoteFile = `job "remote" {
  region = "west"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo here is west; exec sleep 100000"]
      }
      env {
        %s = %q
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
`

// runThere runs a job of the west from the east, through a client agent.
func (w *world) runThere() {
	t := w.t
	file := filepath.Join(w.Dir(), "remote.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, remoteFile, Mark, w.Tag()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := w.eastC.CLI("job", "run", file); err != nil {
		t.Fatalf("job run: %v: %s", err, out)
	}
	if nodes := w.west[2].AwaitRunning("remote", 1); nodes[w.westC.Name] != 1 {
		t.Errorf("it runs on %v", nodes)
	}
	if jobs, _, err := w.east[0].API.Jobs().List(short(), nil); err != nil || len(jobs) != 0 {
		t.Errorf("the east has %d jobs: %v", len(jobs), err)
	}
	job := w.Script("astray", model.JobTypeService, "raw_exec", 1, Forever)
	job.Region = "west"
	_, err := w.east[0].API.WithRegion("east").Jobs().Register(short(), job, nil)
	if err == nil || !strings.Contains(err.Error(), `the job is for region "west", and this is "east"`) {
		t.Errorf("a job of another region than the request's: %v", err)
	}
	if _, err := w.east[0].API.WithRegion("mars").Jobs().Register(short(), job, nil); err == nil || err.Error() != "No path to region" {
		t.Errorf("an unknown region: %v", err)
	}
}

// readThere reads the west from the east: logs, a blocking query, events, a
// snapshot.
func (w *world) readThere() {
	t := w.t
	allocs, err := w.west[0].Allocs("remote")
	if err != nil || len(allocs) != 1 {
		t.Fatalf("allocations %v: %v", allocs, err)
	}
	for _, a := range []*Agent{w.east[1], w.eastC} {
		far := a.API.WithRegion("west")
		w.Await("the log is read through "+a.Name, Patience, func() error {
			return reads(far.Allocations().Logs(short(), allocs[0].ID, api.Logs{Task: "t"}))("here is west\n")
		})
		if out, err := a.CLI("alloc", "logs", "-region", "west", allocs[0].ID); err != nil || !strings.Contains(out, "here is west") {
			t.Errorf("alloc logs through %s: %v: %s", a.Name, err, out)
		}
		_, meta, err := far.Jobs().List(short(), nil)
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() {
			_, now, err := far.Jobs().List(short(), &api.Query{Index: meta.Index, Wait: Patience})
			if err == nil && now.Index <= meta.Index {
				err = fmt.Errorf("index %d after %d", now.Index, meta.Index)
			}
			woken <- err
		}()
		w.west[1].Register(w.nothing("wakes-" + a.Name))
		if err := <-woken; err != nil {
			t.Errorf("a blocking query through %s: %v", a.Name, err)
		}
		if err := startsWith(far.Cluster().Events(short(), 0))("{"); err != nil {
			t.Errorf("events through %s: %v", a.Name, err)
		}
		if err := startsWith(far.Cluster().SaveSnapshot(short(), false))(""); err != nil {
			t.Errorf("a snapshot through %s: %v", a.Name, err)
		}
	}
}

// nothing is a job without instances.
func (w *world) nothing(id string) *model.Job {
	return w.Script(id, model.JobTypeService, "raw_exec", 0, Forever)
}

// reads reads a stream whole and compares it.
func reads(r io.ReadCloser, err error) func(want string) error {
	return func(want string) error {
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil || string(b) != want {
			return fmt.Errorf("%q, wanted %q: %v", b, want, err)
		}
		return nil
	}
}

// startsWith reads the beginning of a stream.
func startsWith(r io.ReadCloser, err error) func(want string) error {
	return func(want string) error {
		if err != nil {
			return err
		}
		defer r.Close()
		b := make([]byte, max(len(want), 16))
		n, err := io.ReadAtLeast(r, b, max(len(want), 1))
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			return fmt.Errorf("%q, wanted %q: %v", b[:n], want, err)
		}
		return nil
	}
}

// killGateway kills each server of the west in turn while the east writes there:
// every write is done, once.
func (w *world) killGateway() {
	t := w.t
	far := w.east[0].API.WithRegion("west").Jobs()
	n, worst := 0, time.Duration(0)
	write := func() {
		t.Helper()
		n++
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		began := time.Now()
		id := fmt.Sprintf("write-%d", n)
		out, err := far.Register(ctx, w.nothing(id), nil)
		if err != nil {
			t.Errorf("write %d: %v", n, err)
			return
		}
		worst = max(worst, time.Since(began))
		if job, _, err := far.Get(ctx, id, nil); err != nil || job.Version != 0 || job.JobModifyIndex != out.JobModifyIndex {
			t.Errorf("write %d was done more than once, or not: version %d: %v", n, job.Version, err)
		}
	}
	for _, victim := range w.west {
		for range 5 {
			write()
		}
		victim.Signal(syscall.SIGKILL)
		for range 10 {
			write()
		}
		victim.Start()
		w.Await(victim.Name+" is back", regionPatience, func() error {
			_, _, err := victim.API.Jobs().Get(short(), fmt.Sprintf("write-%d", n), staleRead)
			return err
		})
	}
	t.Logf("%d writes to the other region while its servers were killed in turn: slowest %v", n, worst.Round(time.Millisecond))
}

// cutLine cuts regions off each other: each works on, and when the line is mended
// they find each other.
func (w *world) cutLine() {
	t := w.t
	if err := w.CanFilter(w.east[0]); err != nil {
		t.Logf("packets cannot be dropped here, the line stays: %v", err)
		return
	}
	before := w.Tasks()
	eastern, western := append(slices.Clone(w.east), w.eastC), append(slices.Clone(w.west), w.westC)
	for _, a := range eastern {
		w.Drop(a, western...)
	}
	for _, a := range western {
		w.Drop(a, eastern...)
	}
	for _, a := range []*Agent{w.east[0], w.west[0]} {
		began := time.Now()
		a.Register(w.Script("local-"+a.Name, model.JobTypeService, "raw_exec", 1, Forever))
		a.AwaitRunning("local-"+a.Name, 1)
		t.Logf("line cut: a job of the own region runs after %v", time.Since(began).Round(time.Millisecond))
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), regionPatience)
	defer cancel()
	_, _, err := w.east[0].API.WithRegion("west").Jobs().List(ctx, nil)
	if err == nil || !strings.Contains(err.Error(), `no server of region "west" can be reached`) {
		t.Errorf("a request over the cut line: %v", err)
	}
	t.Logf("line cut: a request is refused after %v", time.Since(began).Round(time.Millisecond))
	took := w.Await("the loss is known", regionPatience, func() error {
		members, err := w.east[1].API.Cluster().Members(short())
		for _, m := range members {
			if m.Tags["region"] == "west" && m.Status == "alive" {
				err = fmt.Errorf("%s is alive", m.Name)
			}
		}
		return err
	})
	t.Logf("line cut: all servers of the other region are known to have failed after %v more", took.Round(time.Millisecond))
	if regions, err := w.east[1].API.Cluster().Regions(short()); err != nil || len(regions) != 2 {
		t.Errorf("regions while the line is cut: %v %v", regions, err)
	}
	for _, a := range w.all() {
		w.Clear(a)
	}
	began = time.Now()
	for _, a := range w.servers() {
		w.Await(a.Name+" knows both regions again", regionPatience, func() error { return w.federated(a) })
	}
	t.Logf("line mended: all servers know each other after %v", time.Since(began).Round(time.Millisecond))
	if _, _, err := w.east[0].API.WithRegion("west").Jobs().Get(short(), "remote", nil); err != nil {
		t.Errorf("a request over the mended line: %v", err)
	}
	now := w.Tasks()
	for task, pid := range before {
		if now[task] != pid {
			t.Errorf("task %s was process %d and is %d", task, pid, now[task])
		}
	}
}

// changeKey changes the key of both regions from one of them.
func (w *world) changeKey() {
	t := w.t
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	b := base64.StdEncoding.EncodeToString(raw)
	for _, step := range [][]string{{"install", b, "Installed on 7 agents"}, {"use", b, "Used by 7 agents"}, {"remove", w.Key(), "Removed from 7 agents"}} {
		if out, err := w.eastC.CLI("operator", "gossip", "keyring", step[0], step[1]); err != nil || !strings.Contains(out, step[2]) {
			t.Errorf("%s: %v: %s", step[0], err, out)
		}
	}
	for _, a := range w.servers() {
		if err := w.federated(a); err != nil {
			t.Errorf("after the key was changed: %v", err)
		}
	}
	gone := w.west[2]
	gone.Signal(syscall.SIGKILL)
	gone.Start()
	w.Await("a server that restarts with the new key is back in the other region", regionPatience, func() error {
		return errors.Join(w.federated(w.east[1]), w.federated(gone))
	})
	if _, _, err := w.east[0].API.WithRegion("west").Jobs().Get(short(), "remote", nil); err != nil {
		t.Errorf("a request to the other region with the new key: %v", err)
	}
}
