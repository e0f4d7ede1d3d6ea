package rawexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/plugins"
)

const patience = 30 * time.Second

// trees are the control group trees that the tests run on.
func trees(t *testing.T, f func(t *testing.T, tree *cgroup.Tree)) {
	t.Run("without cgroups", func(t *testing.T) { f(t, new(cgroup.Tree)) })
	t.Run("with cgroups", func(t *testing.T) {
		tree := cgroup.Detect()
		if tree.Version() == cgroup.None {
			t.Skip(tree.Reason())
		}
		f(t, tree)
	})
}

func msgpack(t testing.TB, v map[string]any) []byte {
	t.Helper()
	b, err := settings.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newDriver(t testing.TB, tree *cgroup.Tree, conf map[string]any) *Driver {
	t.Helper()
	d := NewOn(tree)
	conf["enabled"] = true
	if err := d.SetConfig(t.Context(), &plugins.Config{Msgpack: msgpack(t, conf)}); err != nil {
		t.Fatal(err)
	}
	return d
}

var runs int

// task makes the directories that a host prepares and a task's configuration.
func task(t testing.TB, conf map[string]any) *plugins.TaskConfig {
	t.Helper()
	runs++
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	os.Chmod(filepath.Dir(dir), 0o755)
	alloc := fmt.Sprintf("rawexectest-%d-%d", os.Getpid(), runs)
	for _, sub := range []string{"alloc/logs", "web/local", "web/private", "web/secrets", "web/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return &plugins.TaskConfig{
		ID: alloc + "/web/12345678", Name: "web", AllocID: alloc, AllocDir: dir,
		Msgpack: msgpack(t, conf), Env: map[string]string{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "COLOR": "blue"},
		Logs:      &plugins.LogRotation{Dir: filepath.Join(dir, "alloc/logs"), Name: "web", MaxFiles: 2, MaxBytes: 1 << 20},
		Resources: &plugins.Resources{CPUShares: 100, MemoryMB: 64},
	}
}

func sh(script string) map[string]any {
	return map[string]any{"command": "/bin/sh", "args": []any{"-c", script}}
}

func start(t testing.TB, d *Driver, c *plugins.TaskConfig) *plugins.TaskHandle {
	t.Helper()
	h, _, err := d.StartTask(t.Context(), c)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		err := d.DestroyTask(context.Background(), c.ID, true)
		if err != nil && !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("destroy: %v", err)
		}
	})
	return h
}

func wait(t testing.TB, d *Driver, id string) *plugins.ExitResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := d.WaitTask(ctx, id)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return e
}

func output(t testing.TB, c *plugins.TaskConfig) string {
	b, err := os.ReadFile(filepath.Join(c.Logs.Dir, "web.stdout.0"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func TestRun(t *testing.T) {
	trees(t, func(t *testing.T, tree *cgroup.Tree) {
		d := newDriver(t, tree, map[string]any{"denied_envvars": []any{"SECRET_*"}})
		c := task(t, sh("pwd; echo $COLOR $DEV $SECRET_KEY; exit 4"))
		c.Env["SECRET_KEY"] = "x"
		c.DeviceEnv = map[string]string{"DEV": "7"}
		start(t, d, c)
		if e := wait(t, d, c.ID); e.ExitCode != 4 || e.Err != "" {
			t.Errorf("%+v", e)
		}
		if got, want := output(t, c), c.AllocDir+"/web\nblue 7\n"; got != want {
			t.Errorf("output %q, want %q", got, want)
		}
		st, err := d.InspectTask(t.Context(), c.ID)
		if err != nil || st.State != plugins.StateExited || st.Exit.ExitCode != 4 || st.CompletedAt.Before(st.StartedAt) {
			t.Errorf("%+v %v", st, err)
		}
		if err := d.DestroyTask(t.Context(), c.ID, false); err != nil {
			t.Error(err)
		}
		if _, err := d.InspectTask(t.Context(), c.ID); !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Error(err)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/nomad/" + c.AllocID + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	plain, noexec := filepath.Join(dir, "plain"), filepath.Join(dir, "noexec")
	os.WriteFile(plain, []byte("x"), 0o644)
	os.WriteFile(noexec, []byte("x\n"), 0o755)
	d := newDriver(t, cgroup.Detect(), map[string]any{"denied_host_uids": "33,1000-1010"})
	for _, tc := range []struct {
		conf map[string]any
		user string
		want string
	}{
		{map[string]any{"command": "/no/such"}, "", "command not found: /no/such does not exist"},
		{map[string]any{"command": "nosuchcommand"}, "", "command not found: nosuchcommand is neither in the task's directory nor in PATH"},
		{map[string]any{"command": "local/nosuch"}, "", "command not found: no local/nosuch below"},
		{map[string]any{"command": plain}, "", "permission denied: " + plain + " is not executable"},
		{map[string]any{"command": noexec}, "", "is not a program for this machine"},
		{map[string]any{"command": "/etc"}, "", "is a directory"},
		{map[string]any{}, "", "command must be set"},
		{map[string]any{"command": "true", "color": "red"}, "", `unknown setting "color"`},
		{map[string]any{"command": "true", "args": "x"}, "", `"args" must be a list of texts`},
		{map[string]any{"command": "true", "work_dir": "/no/such"}, "", "working directory /no/such does not exist"},
		{map[string]any{"command": "true", "work_dir": "x"}, "", "must be an absolute path"},
		{map[string]any{"command": "true", "oom_score_adj": -5}, "", "must be from 0 to 1000"},
		{map[string]any{"command": "true"}, "nosuchuser", `user "nosuchuser" does not exist`},
		{map[string]any{"command": "true"}, "1005", "user id 1005 is denied"},
		{map[string]any{"command": "true"}, "daemon:nosuchgroup", `group "nosuchgroup" does not exist`},
	} {
		c := task(t, tc.conf)
		c.User = tc.user
		_, _, err := d.StartTask(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("want %q, got %v", tc.want, err)
		}
		if plugins.IsRecoverable(err) {
			t.Errorf("%q is marked recoverable", tc.want)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/nomad/" + c.AllocID + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if _, _, err := New().StartTask(t.Context(), task(t, sh("exit"))); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Error(err)
	}
}

func TestUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can change users")
	}
	d := newDriver(t, cgroup.Detect(), map[string]any{})
	c := task(t, sh("id -un; echo $HOME $USER; exec sleep 100"))
	c.User = "nobody"
	start(t, d, c)
	eventually(t, "output", func() bool { return strings.Count(output(t, c), "\n") == 2 })
	if got := output(t, c); got != "nobody\n/nonexistent nobody\n" {
		t.Errorf("%q", got)
	}
	r, err := d.ExecTask(t.Context(), c.ID, []string{"id", "-un"}, 0)
	if err != nil || string(r.Stdout) != "nobody\n" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestStop(t *testing.T) {
	trees(t, func(t *testing.T, tree *cgroup.Tree) {
		d := newDriver(t, tree, map[string]any{})
		polite := task(t, sh(`trap 'echo term; exit 3' TERM; trap 'echo int; exit 2' INT; echo ready; while :; do sleep 0.01; done`))
		start(t, d, polite)
		eventually(t, "ready", func() bool { return strings.Contains(output(t, polite), "ready") })
		if err := d.DestroyTask(t.Context(), polite.ID, false); err == nil {
			t.Error("a running task was destroyed without force")
		}
		if err := d.StopTask(t.Context(), polite.ID, patience, ""); err != nil {
			t.Error(err)
		}
		if e := wait(t, d, polite.ID); e.ExitCode != 2 {
			t.Errorf("%+v", e)
		}
		stubborn := task(t, sh(`trap '' TERM; (setsid sh -c 'echo $$ > pid; exec sleep 1000' &); echo ready; while :; do sleep 0.01; done`))
		start(t, d, stubborn)
		daemon := 0
		eventually(t, "ready", func() bool {
			b, _ := os.ReadFile(filepath.Join(stubborn.AllocDir, "web/pid"))
			daemon, _ = strconv.Atoi(strings.TrimSpace(string(b)))
			return daemon > 0 && strings.Contains(output(t, stubborn), "ready")
		})
		if err := d.StopTask(t.Context(), stubborn.ID, 20*time.Millisecond, "SIGTERM"); err != nil {
			t.Error(err)
		}
		if e := wait(t, d, stubborn.ID); e.ExitCode != 137 || e.Signal != 9 {
			t.Errorf("%+v", e)
		}
		if p, ok := shim.ReadProcess(daemon); ok && !p.Zombie() {
			t.Error("the daemon is alive")
		}
		if err := d.StopTask(t.Context(), stubborn.ID, time.Second, "SIGWHAT"); err == nil {
			t.Error("a signal that does not exist was accepted")
		}
	})
}

func TestRecover(t *testing.T) {
	trees(t, func(t *testing.T, tree *cgroup.Tree) {
		first := newDriver(t, tree, map[string]any{})
		c := task(t, sh("while [ ! -e go ]; do sleep 0.01; done; exit 7"))
		h, _, err := first.StartTask(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := first.InspectTask(t.Context(), c.ID)
		if err := first.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if tree.Version() != cgroup.None {
			labels, err := tree.List()
			if err != nil || !slices.ContainsFunc(labels, func(l cgroup.Label) bool { return l.AllocID == c.AllocID && l.Task == "web" && len(l.PIDs) > 0 }) {
				t.Errorf("not found by label: %v %v", labels, err)
			}
		}
		second := newDriver(t, tree, map[string]any{})
		if err := second.RecoverTask(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if err := second.RecoverTask(t.Context(), h); err != nil {
			t.Errorf("not idempotent: %v", err)
		}
		after, err := second.InspectTask(t.Context(), c.ID)
		if err != nil || after.State != plugins.StateRunning || after.Attributes["pid"] != before.Attributes["pid"] {
			t.Errorf("%+v %v", after, err)
		}
		// A third one that has lost the handle finds the task by its place.
		third := newDriver(t, tree, map[string]any{})
		if err := third.RecoverTask(t.Context(), &plugins.TaskHandle{Config: c}); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(c.AllocDir, "web/go"), nil, 0o644)
		for _, d := range []*Driver{second, third} {
			if e := wait(t, d, c.ID); e.ExitCode != 7 || e.Err != "" {
				t.Errorf("%+v", e)
			}
		}
		third.Shutdown(t.Context())
		if err := second.DestroyTask(t.Context(), c.ID, false); err != nil {
			t.Error(err)
		}
		if err := third.RecoverTask(t.Context(), h); !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("a destroyed task was recovered: %v", err)
		}
	})
}

func TestOrphanGivesWayToTheNextRun(t *testing.T) {
	trees(t, func(t *testing.T, tree *cgroup.Tree) {
		c := task(t, sh("exec sleep 1000"))
		first := newDriver(t, tree, map[string]any{})
		if _, _, err := first.StartTask(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		orphan, err := first.Get(c.ID)
		if err != nil {
			t.Fatal(err)
		}
		again := *c
		again.ID = c.AllocID + "/web/second"
		if _, _, err := first.StartTask(t.Context(), &again); err == nil || !strings.Contains(err.Error(), "earlier run") {
			t.Errorf("a second run beside a known one: %v", err)
		}
		first.Shutdown(t.Context())
		d := newDriver(t, tree, map[string]any{})
		start(t, d, &again)
		if p, ok := shim.ReadProcess(orphan.Shim.PID()); ok && !p.Zombie() {
			t.Error("the orphan is alive")
		}
		if s, err := d.InspectTask(t.Context(), again.ID); err != nil || s.State != plugins.StateRunning {
			t.Errorf("%+v %v", s, err)
		}
	})
}

func TestNetworkNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can enter network namespaces")
	}
	holder := osexec.Command("sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := holder.Start(); err != nil {
		t.Skip(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	d := newDriver(t, cgroup.Detect(), map[string]any{})
	c := task(t, sh("readlink /proc/self/ns/net; exec sleep 1000"))
	c.User = "nobody"
	c.NetworkIsolation = &plugins.NetworkIsolation{Mode: plugins.NetGroup, Path: fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)}
	want, err := os.Readlink(c.NetworkIsolation.Path)
	if err != nil {
		t.Fatal(err)
	}
	start(t, d, c)
	eventually(t, "output", func() bool { return output(t, c) == want+"\n" })
	r, err := d.ExecTask(t.Context(), c.ID, []string{"readlink", "/proc/self/ns/net"}, patience)
	if err != nil || string(r.Stdout) != want+"\n" {
		t.Errorf("%+v %v", r, err)
	}
	c = task(t, sh("exit"))
	c.NetworkIsolation = &plugins.NetworkIsolation{Path: "/no/such/namespace"}
	if _, _, err := d.StartTask(t.Context(), c); err == nil || !strings.Contains(err.Error(), "network namespace /no/such") {
		t.Error(err)
	}
}

func TestExec(t *testing.T) {
	trees(t, func(t *testing.T, tree *cgroup.Tree) {
		d := newDriver(t, tree, map[string]any{})
		c := task(t, sh("exec sleep 1000"))
		start(t, d, c)
		r, err := d.ExecTask(t.Context(), c.ID, []string{"sh", "-c", "pwd; echo $COLOR; echo err >&2; cat; exit 6"}, patience)
		if err != nil || string(r.Stdout) != c.AllocDir+"/web\nblue\n" || string(r.Stderr) != "err\n" || r.Exit.ExitCode != 6 {
			t.Errorf("%+v %v", r, err)
		}
		if _, err := d.ExecTask(t.Context(), c.ID, []string{"nosuch"}, 0); err == nil || !strings.Contains(err.Error(), "command not found") {
			t.Error(err)
		}
		if _, err := d.ExecTask(t.Context(), c.ID, []string{"sleep", "1000"}, 30*time.Millisecond); err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Error(err)
		}
		r, err = d.ExecTask(t.Context(), c.ID, []string{"head", "-c", "2000000", "/dev/zero"}, patience)
		if err != nil || len(r.Stdout) != plugins.MaxExecOutput {
			t.Errorf("%d bytes, %v", len(r.Stdout), err)
		}
		if tree.Version() == cgroup.V1 {
			r, err = d.ExecTask(t.Context(), c.ID, []string{"cat", "/proc/self/cgroup"}, patience)
			if err != nil || !strings.Contains(string(r.Stdout), "freezer:/nomad/"+c.AllocID+".web") {
				t.Errorf("%s %v", r.Stdout, err)
			}
		}
	})
}

func TestExecStreaming(t *testing.T) {
	d := newDriver(t, cgroup.Detect(), map[string]any{})
	c := task(t, sh("exec sleep 1000"))
	start(t, d, c)
	var stdout, stderr bytes.Buffer
	e, err := d.ExecTaskStreaming(t.Context(), c.ID, &plugins.ExecOptions{
		Command: []string{"sh", "-c", "cat; echo done >&2; kill -USR1 $$"}, Stdin: strings.NewReader("hello"), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil || e.Signal != int(syscall.SIGUSR1) || stdout.String() != "hello" || stderr.String() != "done\n" {
		t.Errorf("%+v %v %q %q", e, err, &stdout, &stderr)
	}

	in, feed := io.Pipe()
	resize := make(chan plugins.TermSize)
	go func() {
		resize <- plugins.TermSize{Height: 33, Width: 77}
		feed.Write([]byte("go\n"))
	}()
	stdout.Reset()
	e, err = d.ExecTaskStreaming(t.Context(), c.ID, &plugins.ExecOptions{
		Command: []string{"sh", "-c", "read x; tty >/dev/null && stty size; ps -o tty= -p $$ >/dev/null; (exec </dev/tty) && echo tty; exit 5"},
		TTY:     true, Stdin: in, Stdout: &stdout, Resize: resize,
	})
	if err != nil || e.ExitCode != 5 || !strings.Contains(stdout.String(), "33 77\r\ntty\r\n") {
		t.Errorf("%+v %v %q", e, err, &stdout)
	}
	in.Close()

	// A client that goes away ends the command.
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := filepath.Join(c.AllocDir, "web/pid")
	go func() {
		eventually(t, "command runs", func() bool { b, _ := os.ReadFile(pidFile); return len(b) > 0 })
		cancel()
	}()
	_, err = d.ExecTaskStreaming(ctx, c.ID, &plugins.ExecOptions{Command: []string{"sh", "-c", "echo $$ > pid; exec sleep 1000"}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSignalAndEvents(t *testing.T) {
	d := newDriver(t, cgroup.Detect(), map[string]any{})
	c := task(t, sh("trap 'exit 12' USR1; echo ready; while :; do sleep 0.01; done"))
	start(t, d, c)
	eventually(t, "ready", func() bool { return strings.Contains(output(t, c), "ready") })
	if err := d.SignalTask(t.Context(), c.ID, "SIGUSR1"); err != nil {
		t.Error(err)
	}
	if e := wait(t, d, c.ID); e.ExitCode != 12 {
		t.Errorf("%+v", e)
	}
	if err := d.SignalTask(t.Context(), "nosuch", "SIGUSR1"); !errors.Is(err, plugins.ErrTaskNotFound) {
		t.Error(err)
	}
}

// busy is the first sample that shows the task at work, which may take a while
// on a machine that is busy itself.
func busy(ch <-chan *plugins.TaskUsage) (u *plugins.TaskUsage) {
	for u = range ch {
		if u.Total.CPU.Percent >= 5 {
			break
		}
	}
	return u
}

func TestStats(t *testing.T) {
	trees(t, func(t *testing.T, tree *cgroup.Tree) {
		d := newDriver(t, tree, map[string]any{})
		c := task(t, sh("while :; do :; done"))
		start(t, d, c)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ch, err := d.TaskStats(ctx, c.ID, 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		u := busy(ch)
		if u == nil || u.Total.CPU.Percent < 5 || u.Total.CPU.Percent > 150 || u.Total.CPU.TotalTicks <= 0 || u.Total.Memory.RSS == 0 || len(u.ByPID) != 1 {
			t.Fatalf("%+v", u)
		}
		if tree.Version() != cgroup.None && !slices.Contains(u.Total.Memory.Measured, plugins.MeasuredUsage) {
			t.Errorf("measured: %v", u.Total.Memory.Measured)
		}
		if err := d.DestroyTask(ctx, c.ID, true); err != nil {
			t.Error(err)
		}
		for range ch { // closed by the task's end
		}
	})
}

func TestFingerprint(t *testing.T) {
	one := func(d *Driver) *plugins.Fingerprint {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ch, err := d.Fingerprint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return <-ch
	}
	if f := one(New()); f.Health != plugins.Undetected || len(f.Attributes) != 0 {
		t.Errorf("%+v", f)
	}
	if f := one(newDriver(t, cgroup.Detect(), map[string]any{})); f.Health != plugins.Healthy || !*f.Attributes["driver.raw_exec"].Bool {
		t.Errorf("%+v", f)
	}
	if f := one(newDriver(t, new(cgroup.Tree), map[string]any{})); !strings.Contains(f.Description, "process tree alone") {
		t.Errorf("%+v", f)
	}
	err := New().SetConfig(t.Context(), &plugins.Config{Msgpack: msgpack(t, map[string]any{"denied_host_uids": "9-1", "typo": 1})})
	if err == nil || !strings.Contains(err.Error(), "9-1") || !strings.Contains(err.Error(), "typo") {
		t.Error(err)
	}
}

func BenchmarkStart(b *testing.B) {
	d := newDriver(b, cgroup.Detect(), map[string]any{})
	for b.Loop() {
		b.StopTimer()
		c := task(b, map[string]any{"command": "/bin/true"})
		b.StartTimer()
		if _, _, err := d.StartTask(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		d.WaitTask(b.Context(), c.ID)
		if err := d.DestroyTask(b.Context(), c.ID, true); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
