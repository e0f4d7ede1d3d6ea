package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
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

func msgpack(t testing.TB, v map[string]any) []byte {
	t.Helper()
	b, err := settings.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newDriver(t testing.TB, conf map[string]any) *Driver {
	t.Helper()
	d := New()
	if err := d.usable(); err != nil {
		t.Skip(err)
	}
	if err := d.SetConfig(context.Background(), &plugins.Config{Msgpack: msgpack(t, conf)}); err != nil {
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
	alloc := fmt.Sprintf("exectest-%d-%d", os.Getpid(), runs)
	for _, sub := range []string{"alloc", "alloc/logs", "web/local", "web/private", "web/secrets", "web/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
		os.Chmod(filepath.Join(dir, sub), 0o777)
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

func with(m map[string]any, key string, value any) map[string]any {
	m[key] = value
	return m
}

func start(t testing.TB, d *Driver, c *plugins.TaskConfig) *plugins.TaskHandle {
	t.Helper()
	h, _, err := d.StartTask(context.Background(), c)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		err := d.DestroyTask(context.Background(), c.ID, true)
		if err != nil && !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("destroy: %v", err)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/nomad/" + c.AllocID + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return h
}

func wait(t testing.TB, d *Driver, id string) *plugins.ExitResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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

func logs(c *plugins.TaskConfig) string {
	out, _ := os.ReadFile(filepath.Join(c.Logs.Dir, "web.stdout.0"))
	err, _ := os.ReadFile(filepath.Join(c.Logs.Dir, "web.stderr.0"))
	return fmt.Sprintf("stdout %q stderr %q", out, err)
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

func run(t testing.TB, d *Driver, c *plugins.TaskConfig) (*plugins.ExitResult, string) {
	t.Helper()
	start(t, d, c)
	return wait(t, d, c.ID), output(t, c)
}

func TestInside(t *testing.T) {
	d := newDriver(t, map[string]any{})
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	c := task(t, sh(`ulimit -Sn; ulimit -Hn; pwd; id -un; echo $COLOR $HOME; echo $$; ls /; ls /private; cat /etc/shadow; cat /etc/passwd | head -1;
		touch /usr/x 2>/dev/null && echo writable; touch /local/x /alloc/y /tmp/z && echo ok;
		grep -E 'NoNewPrivs|Seccomp:|CapEff|CapBnd' /proc/self/status; exit 4`))
	e, out := run(t, d, c)
	if e.ExitCode != 4 || e.Err != "" {
		t.Errorf("%+v", e)
	}
	want := []string{
		fmt.Sprintf("\n%d\n/\nnobody\nblue /nonexistent\n1\nalloc\nbin\ndev\netc\n", files.Max), "local\n", "root:x:0:0:root:/root:/bin/bash\nok\n",
		"CapEff:\t0000000000000000\nCapBnd:\t", "NoNewPrivs:\t1\nSeccomp:\t2\n",
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("%q is missing in %s", w, logs(c))
		}
	}
	if b, _ := os.ReadFile(filepath.Join(c.Logs.Dir, "web.stderr.0")); len(b) > 0 {
		t.Logf("stderr: %s", b)
	}
	if _, err := os.Stat(filepath.Join(c.AllocDir, "alloc/y")); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	d := newDriver(t, map[string]any{"denied_host_uids": "1005"})
	for _, tc := range []struct {
		conf map[string]any
		user string
		want string
	}{
		{map[string]any{"command": "/no/such"}, "", "command not found: /no/such does not exist inside"},
		{map[string]any{"command": "nosuchcommand"}, "", "command not found: nosuchcommand is in no directory of PATH"},
		{map[string]any{"command": "local/nosuch"}, "", "command not found: no local/nosuch below"},
		{map[string]any{"command": "/local/plain"}, "", "permission denied: /local/plain is not executable"},
		{map[string]any{"command": "local/noexec"}, "", "is not a program for this machine"},
		{map[string]any{"command": "/local/noexec"}, "", "is not a program for this machine"},
		{map[string]any{"command": "/local/nointerp"}, "", "interpreter that its first line names does not exist"},
		{map[string]any{"command": "/etc"}, "", "/etc is a directory"},
		{map[string]any{"command": "true", "work_dir": "/etc/passwd"}, "", "is not a directory"},
		{map[string]any{}, "", "command must be set"},
		{map[string]any{"command": "true", "work_dir": "/no/such"}, "", "working directory /no/such does not exist"},
		{map[string]any{"command": "true", "work_dir": "x"}, "", "must be an absolute path"},
		{map[string]any{"command": "true", "pid_mode": "x"}, "", `pid_mode must be "private" or "host"`},
		{map[string]any{"command": "true", "cap_add": []any{"net_admin"}}, "", `"net_admin" is not among the capabilities`},
		{map[string]any{"command": "true", "cap_add": []any{"fly"}}, "", `unknown capability "fly"`},
		{map[string]any{"command": "true"}, "nosuchuser", `user "nosuchuser" does not exist`},
		{map[string]any{"command": "true"}, "1005", "user id 1005 is denied"},
	} {
		c := task(t, tc.conf)
		c.User = tc.user
		os.WriteFile(filepath.Join(c.AllocDir, "web/local/plain"), []byte("#!/bin/sh\n"), 0o644)
		os.WriteFile(filepath.Join(c.AllocDir, "web/local/nointerp"), []byte("#!/no/such\n"), 0o755)
		os.WriteFile(filepath.Join(c.AllocDir, "web/local/noexec"), []byte("x\n"), 0o755)
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
		if left, _ := os.ReadDir(filepath.Join(c.AllocDir, "web/private/shim")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	d := newDriver(t, map[string]any{})
	// tail keeps in memory what it is asked for.
	c := task(t, sh("cat /dev/zero | tail -c 1000000000"))
	e, _ := run(t, d, c)
	if !e.OOMKilled || e.Err != "out of memory: the task used its memory limit of 64 MB" {
		t.Errorf("%+v %s", e, logs(c))
	}
	c = task(t, sh("head -c 80000000 /dev/zero | tail -c 80000000 | wc -c"))
	c.Resources.MemoryMaxMB = 400
	if e, out := run(t, d, c); e.ExitCode != 0 || out != "80000000\n" {
		t.Errorf("%+v %s", e, logs(c))
	}
	c = task(t, sh("exit 0"))
	c.Resources.MemoryMB = 1
	_, _, err := d.StartTask(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "out of memory: the memory limit of 1 MB is too low") {
		t.Error(err)
	}
}

func TestPIDsLimit(t *testing.T) {
	d := newDriver(t, map[string]any{})
	c := task(t, with(sh("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait"), "pids_limit", 5))
	e, _ := run(t, d, c)
	if e.ExitCode == 0 || !strings.Contains(e.Err, "limit on processes") {
		t.Errorf("%+v %s", e, logs(c))
	}
}

// TestLimitsSurvived: a task that ends well tells of the limits that it met.
func TestLimitsSurvived(t *testing.T) {
	d := newDriver(t, map[string]any{})
	events, err := d.TaskEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for want, conf := range map[string]map[string]any{
		"limit on processes": with(sh("(for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done); exit 0"), "pids_limit", 5),
		"out of memory":      sh("cat /dev/zero | tail -c 1000000000; exit 0"),
	} {
		c := task(t, conf)
		if e, _ := run(t, d, c); e.ExitCode != 0 || e.OOMKilled || e.Err != "" {
			t.Errorf("%+v %s", e, logs(c))
		}
		if got := <-events; !strings.Contains(got.Message, want) || got.TaskID != c.ID {
			t.Errorf("%+v", got)
		}
	}
}

// TestNothingOfTheLauncher: what makes the launcher start fast is not the task's.
func TestNothingOfTheLauncher(t *testing.T) {
	d := newDriver(t, map[string]any{})
	_, out := run(t, d, task(t, map[string]any{"command": "/usr/bin/env"}))
	if !strings.Contains(out, "COLOR=blue") || strings.Contains(out, "GOMAXPROCS") || strings.Contains(out, "GOGC") {
		t.Error(out)
	}
}

func TestCapabilitiesAndUser(t *testing.T) {
	d := newDriver(t, map[string]any{"allow_caps": []any{"all"}})
	c := task(t, with(sh("id -u; grep CapEff /proc/self/status"), "cap_add", []any{"net_admin", "CAP_NET_RAW"}))
	if _, out := run(t, d, c); out != "65534\nCapEff:\t0000000000003000\n" {
		t.Error(out)
	}
	c = task(t, with(with(sh("id -u; grep CapEff /proc/self/status"), "cap_add", []any{"all"}), "cap_drop", []any{"sys_admin"}))
	c.User = "root"
	if _, out := run(t, d, c); !strings.HasPrefix(out, "0\nCapEff:") || strings.Contains(out, "0000000000000000") {
		t.Error(out)
	}
}

func TestModes(t *testing.T) {
	d := newDriver(t, map[string]any{"default_pid_mode": "host"})
	c := task(t, with(sh("echo $$; (setsid sleep 1000 &); readlink /proc/self/ns/ipc; exit 3"), "ipc_mode", "host"))
	e, out := run(t, d, c)
	ipc, _ := os.Readlink("/proc/self/ns/ipc")
	if e.ExitCode != 3 || strings.HasPrefix(out, "1\n") || !strings.Contains(out, ipc) {
		t.Errorf("%+v %s", e, logs(c))
	}
	eventually(t, "the daemon dies with the task", func() bool { return len(d.Scope(c, stateOf(c)).PIDs()) == 0 })
}

func TestNetworkFilesDevicesAndVolumes(t *testing.T) {
	d := newDriver(t, map[string]any{})
	c := task(t, sh("cat /etc/hosts /etc/resolv.conf; hostname; cat /vol/f; touch /vol/g || echo ro; ls -l /dev/extra"))
	c.NetworkIsolation = &plugins.NetworkIsolation{Mode: plugins.NetNone, Hostname: "webhost", Address: "10.1.2.3"}
	c.DNS = &plugins.DNSConfig{Servers: []string{"9.9.9.9"}, Searches: []string{"a", "b"}, Options: []string{"ndots:2"}}
	vol := t.TempDir()
	os.WriteFile(filepath.Join(vol, "f"), []byte("content\n"), 0o644)
	c.Mounts = []*plugins.Mount{{TaskPath: "/vol", HostPath: vol, ReadOnly: true, PropagationMode: "private"}}
	c.Devices = []*plugins.DeviceNode{{TaskPath: "/dev/extra", HostPath: "/dev/null", Permissions: "rw"}}
	_, out := run(t, d, c)
	for _, w := range []string{"10.1.2.3 webhost\n", "nameserver 9.9.9.9\nsearch a b\noptions ndots:2\n", "\nwebhost\n", "content\nro\n", "1, 3"} {
		if !strings.Contains(out, w) {
			t.Errorf("%q is missing in %s", w, logs(c))
		}
	}
}

func TestNetworkNamespace(t *testing.T) {
	d := newDriver(t, map[string]any{})
	holder := osexec.Command("sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := holder.Start(); err != nil {
		t.Skip(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	c := task(t, sh("readlink /proc/self/ns/net"))
	c.NetworkIsolation = &plugins.NetworkIsolation{Mode: plugins.NetGroup, Path: fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)}
	want, err := os.Readlink(c.NetworkIsolation.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, out := run(t, d, c); out != want+"\n" {
		t.Errorf("%s, want %s", logs(c), want)
	}
}

func TestChrootEnv(t *testing.T) {
	d := newDriver(t, map[string]any{"chroot_env": map[string]any{
		"/bin": "/bin", "/lib": "/lib", "/lib64": "/lib64", "/usr": "/usr", "/etc/passwd": "/etc/passwd", "/no/such": "/no/such", "/usr/share": "/data",
	}})
	c := task(t, sh("ls /etc; ls -d /data/doc"))
	if _, out := run(t, d, c); out != "passwd\n/data/doc\n" {
		t.Error(logs(c))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, _ := d.TaskEvents(ctx)
	if ev := <-events; !strings.Contains(ev.Message, "/no/such") {
		t.Errorf("%+v", ev)
	}
	if err := New().SetConfig(t.Context(), &plugins.Config{Msgpack: msgpack(t, map[string]any{"chroot_env": map[string]any{"/": "/"}})}); err == nil {
		t.Error("the root itself was accepted")
	}
}

func TestStop(t *testing.T) {
	d := newDriver(t, map[string]any{})
	polite := task(t, sh(`trap 'echo int; exit 2' INT; echo ready; while :; do sleep 0.01; done`))
	start(t, d, polite)
	eventually(t, "ready", func() bool { return strings.Contains(output(t, polite), "ready") })
	if err := d.StopTask(t.Context(), polite.ID, patience, ""); err != nil {
		t.Error(err)
	}
	if e := wait(t, d, polite.ID); e.ExitCode != 2 {
		t.Errorf("%+v", e)
	}
	stubborn := task(t, sh(`(setsid sleep 1000 &); exec sleep 1000`))
	start(t, d, stubborn)
	if err := d.StopTask(t.Context(), stubborn.ID, 20*time.Millisecond, "SIGTERM"); err != nil {
		t.Error(err)
	}
	if e := wait(t, d, stubborn.ID); e.ExitCode != 137 || e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	if pids := d.Scope(stubborn, stateOf(stubborn)).PIDs(); len(pids) > 0 {
		t.Errorf("alive: %v", pids)
	}
}

func TestRecover(t *testing.T) {
	first := newDriver(t, map[string]any{})
	c := task(t, sh("while [ ! -e /local/go ]; do sleep 0.01; done; exit 7"))
	h, _, err := first.StartTask(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	first.Shutdown(t.Context())
	d := newDriver(t, map[string]any{})
	if err := d.RecoverTask(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	// The task's end may overtake the end of the command.
	if _, err := d.ExecTask(t.Context(), c.ID, []string{"touch", "/local/go"}, patience); err != nil {
		t.Error(err)
	}
	if e := wait(t, d, c.ID); e.ExitCode != 7 {
		t.Errorf("%+v", e)
	}
	if err := d.DestroyTask(t.Context(), c.ID, false); err != nil {
		t.Error(err)
	}
}

func TestShimKilled(t *testing.T) {
	d := newDriver(t, map[string]any{})
	c := task(t, sh("exec sleep 1000"))
	start(t, d, c)
	held, err := d.Get(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(held.Shim.ShimPID(), syscall.SIGKILL)
	if e := wait(t, d, c.ID); e.Err == "" || e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	eventually(t, "container dead", func() bool { p, ok := shim.ReadProcess(held.Shim.PID()); return !ok || p.Zombie() })
}

func TestExec(t *testing.T) {
	d := newDriver(t, map[string]any{})
	c := task(t, sh("exec sleep 1000"))
	start(t, d, c)
	r, err := d.ExecTask(t.Context(), c.ID, []string{"sh", "-c", "id -un; echo $COLOR; echo err >&2; cat; exit 6"}, patience)
	if err != nil || string(r.Stdout) != "nobody\nblue\n" || string(r.Stderr) != "err\n" || r.Exit.ExitCode != 6 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := d.ExecTask(t.Context(), c.ID, []string{"nosuch"}, 0); err == nil || !strings.Contains(err.Error(), "command not found") {
		t.Error(err)
	}
	if _, err := d.ExecTask(t.Context(), c.ID, []string{"sleep", "1000"}, 30*time.Millisecond); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Error(err)
	}
	var stdout bytes.Buffer
	resize := make(chan plugins.TermSize, 1)
	resize <- plugins.TermSize{Height: 33, Width: 77}
	e, err := d.ExecTaskStreaming(t.Context(), c.ID, &plugins.ExecOptions{
		Command: []string{"sh", "-c", "read x; stty size; (exec </dev/tty) && echo tty; exit 5"},
		TTY:     true, Stdin: strings.NewReader("go\n"), Stdout: &stdout, Resize: resize,
	})
	if err != nil || e.ExitCode != 5 || !strings.Contains(stdout.String(), "tty\r\n") {
		t.Errorf("%+v %v %q", e, err, &stdout)
	}
	stdout.Reset()
	e, err = d.ExecTaskStreaming(t.Context(), c.ID, &plugins.ExecOptions{
		Command: []string{"cat"}, Stdin: strings.NewReader("hello"), Stdout: &stdout,
	})
	if err != nil || e.ExitCode != 0 || stdout.String() != "hello" {
		t.Errorf("%+v %v %q", e, err, &stdout)
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
	d := newDriver(t, map[string]any{})
	c := task(t, sh("while :; do :; done"))
	start(t, d, c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ch, err := d.TaskStats(ctx, c.ID, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	u := busy(ch)
	if u == nil || u.Total.CPU.Percent < 5 || u.Total.Memory.Usage == 0 || len(u.ByPID) != 1 {
		t.Fatalf("%+v", u)
	}
}

func TestManyAtOnce(t *testing.T) {
	d := newDriver(t, map[string]any{})
	const n = 10
	errs := make(chan error, n)
	for range n {
		c := task(t, sh("echo ok"))
		go func() {
			_, _, err := d.StartTask(context.Background(), c)
			if err == nil {
				_, err = d.WaitTask(context.Background(), c.ID)
			}
			if err == nil && output(t, c) != "ok\n" {
				err = errors.New(logs(c))
			}
			errs <- errors.Join(err, d.DestroyTask(context.Background(), c.ID, true))
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestMemory bounds what Steppe's own processes keep for a running task.
func TestMemory(t *testing.T) {
	d := newDriver(t, map[string]any{})
	c := task(t, sh("exec sleep 1000"))
	start(t, d, c)
	held, _ := d.Get(c.ID)
	eventually(t, "launcher gone", func() bool { return len(held.Shim.Processes()) == 1 })
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", held.Shim.ShimPID()))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			if kb, _ := strconv.Atoi(f[1]); kb > 1500 { // alone, without others to share with
				t.Errorf("%d KiB", kb)
			} else {
				t.Logf("%d KiB PSS", kb)
			}
		}
	}
}

func TestFingerprint(t *testing.T) {
	d := newDriver(t, map[string]any{})
	if f := d.fingerprint(); f.Health != plugins.Healthy || !*f.Attributes["driver.exec"].Bool {
		t.Errorf("%+v", f)
	}
	d.Set = tasksOn(new(cgroup.Tree))
	if f := d.fingerprint(); f.Health != plugins.Undetected || !strings.Contains(f.Description, "control groups") {
		t.Errorf("%+v", f)
	}
}

func BenchmarkStart(b *testing.B) {
	d := newDriver(b, map[string]any{})
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
