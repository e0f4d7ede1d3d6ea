package tasks

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{"SIGTERM": 15, "term": 15, "9": 9, " sigusr1 ": 10, "64": 64, "": 0, "SIGNOPE": 0, "65": 0, "-1": 0} {
		got, err := ParseSignal(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}

func TestExplain(t *testing.T) {
	limit := &plugins.Resources{MemoryMB: 64, MemoryMaxMB: 128}
	for _, tc := range []struct {
		name      string
		exit      shim.Exit
		oom, pids int64
		r         *plugins.Resources
		want      plugins.ExitResult
	}{
		{"well", shim.Exit{}, 1, 1, limit, plugins.ExitResult{}},
		{"badly", shim.Exit{Code: 3}, 0, 0, limit, plugins.ExitResult{ExitCode: 3}},
		{"memory_max", shim.Exit{Code: 137, Signal: 9}, 1, 0, limit, plugins.ExitResult{ExitCode: 137, Signal: 9, OOMKilled: true, Err: "out of memory: the task used its memory limit of 128 MB"}},
		{"memory", shim.Exit{Code: 1}, 1, 0, &plugins.Resources{MemoryMB: 64}, plugins.ExitResult{ExitCode: 1, OOMKilled: true, Err: "out of memory: the task used its memory limit of 64 MB"}},
		{"no limit", shim.Exit{Code: 137, Signal: 9}, 1, 0, nil, plugins.ExitResult{ExitCode: 137, Signal: 9, OOMKilled: true, Err: "out of memory: the kernel killed the task"}},
		{"pids", shim.Exit{Code: 2}, 0, 7, limit, plugins.ExitResult{ExitCode: 2, Err: "the task hit its limit on processes: 7 times the kernel refused it a new process or thread"}},
	} {
		if got := explain(tc.exit, tc.oom, tc.pids, tc.r); got != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	if got := explain(shim.Exit{Lost: true, Code: 137, Signal: 9}, 0, 0, nil); !strings.Contains(got.Err, "lost") {
		t.Errorf("%+v", got)
	}
	if got := explain(shim.Exit{Code: 159, Signal: 31}, 0, 0, nil); !strings.Contains(got.Err, "bad system call") {
		t.Errorf("%+v", got)
	}
}

// TestSurvived: a limit that a task met before it ended well is told beside its
// exit, which stays a good one.
func TestSurvived(t *testing.T) {
	limit := &plugins.Resources{MemoryMB: 64}
	for _, tc := range []struct {
		exit      shim.Exit
		oom, pids int64
		want      string
	}{
		{shim.Exit{}, 0, 0, ""},
		{shim.Exit{}, 0, 1, "the task hit its limit on processes: 1 time the kernel refused it a new process or thread"},
		{shim.Exit{}, 2, 0, "out of memory: the task ended well, but the kernel killed 2 of its processes at its memory limit of 64 MB"},
		{shim.Exit{Code: 1}, 2, 3, ""},
		{shim.Exit{Lost: true}, 2, 3, ""},
	} {
		if got := strings.Join(survived(tc.exit, tc.oom, tc.pids, limit), "|"); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	if got := survived(shim.Exit{}, 1, 1, nil); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

func TestUsers(t *testing.T) {
	u, err := LookupUser("root")
	if err != nil || u.UID != 0 || u.Home == "" {
		t.Errorf("%+v %v", u, err)
	}
	if u, err = LookupUser("54321:65000"); err != nil || u.UID != 54321 || u.GID != 65000 || u.Name != "" {
		t.Errorf("%+v %v", u, err)
	}
	for _, bad := range []string{"no-such-user", "root:no-such-group", ":", "99999999999"} {
		if _, err := LookupUser(bad); err == nil {
			t.Errorf("%q was found", bad)
		}
	}
	ranges, err := ParseIDRanges("0, 100-200,5")
	if err != nil || !ranges.Has(0) || !ranges.Has(150) || !ranges.Has(5) || ranges.Has(99) {
		t.Errorf("%v %v", ranges, err)
	}
	for _, bad := range []string{"x", "9-1", "1-", "-5"} {
		if _, err := ParseIDRanges(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if err := CheckUser(&User{Credential: shim.Credential{UID: 1, GID: 2, Groups: []uint32{150}}}, nil, ranges); err == nil {
		t.Error("a denied group was let through")
	}
}

func TestEnv(t *testing.T) {
	c := &plugins.TaskConfig{Env: map[string]string{"B": "2", "A": "1", "AWS_KEY": "x", "[": "y"}, DeviceEnv: map[string]string{"B": "3"}}
	if got := strings.Join(Env(c, "AWS_*", "["), " "); got != "A=1 B=3" {
		t.Error(got)
	}
}

func TestControlDirs(t *testing.T) {
	c := &plugins.TaskConfig{AllocDir: "/a", Name: "web"}
	seen := map[string]bool{}
	for _, id := range []string{"x/web/12345678", "plain", "x/web/", "x/web/..", "x/web/" + strings.Repeat("l", 300)} {
		c.ID = id
		dir := ControlDir(c)
		if filepath.Dir(dir) != "/a/web/private/shim" || seen[dir] {
			t.Errorf("%q: %s", id, dir)
		}
		seen[dir] = true
	}
	for _, bad := range []*plugins.TaskConfig{nil, {}, {ID: "x", Name: "../y", AllocDir: "/a"}, {ID: "x", Name: "..", AllocDir: "/a"}, {ID: "x", Name: "y", AllocDir: "a"}} {
		if CheckConfig(bad) == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	e := newEvents()
	c := &plugins.TaskConfig{ID: "x"}
	for range 2 * maxEvents {
		e.Emit(c, "early", nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ch := e.Subscribe(ctx)
	for range maxEvents {
		e.Emit(c, "late", nil)
	}
	if len(ch) != maxEvents {
		t.Errorf("%d kept", len(ch))
	}
	if ev := <-ch; ev.Message != "late" || ev.TaskID != "x" {
		t.Errorf("%+v", ev)
	}
	cancel()
	for range ch { // until it is closed
	}
}

// TestRecoverDamaged: no handle and no damaged record can harm.
func TestRecoverDamaged(t *testing.T) {
	s := NewSet("test", new(cgroup.Tree), nil)
	dir := t.TempDir()
	c := &plugins.TaskConfig{ID: "a/web/1", Name: "web", AllocID: "a", AllocDir: dir}
	run := ControlDir(c)
	if err := os.MkdirAll(run, 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(run, "status"), []byte("pid=1\nstart=0\n"), 0o644) // cut short
	for _, state := range []string{"", "{}", "garbage", `{"dir":"` + run + `"}`} {
		if err := s.RecoverTask(t.Context(), &plugins.TaskHandle{Config: c, DriverState: []byte(state)}); err == nil {
			t.Errorf("%q was recovered", state)
		}
	}
	// A record of another boot: the task is lost, and its numbers are not used.
	os.WriteFile(filepath.Join(run, "status"), []byte("pid=1\nstart=0\nshim=1\nshimstart=0\ntime=5\nboot=other\ncgroup=\n.\n"), 0o644)
	if err := s.RecoverTask(t.Context(), &plugins.TaskHandle{Config: c}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if e, err := s.WaitTask(ctx, c.ID); err != nil || !strings.Contains(e.Err, "lost") {
		t.Errorf("%+v %v", e, err)
	}
	if err := s.DestroyTask(ctx, c.ID, false); err != nil {
		t.Error(err)
	}
}
