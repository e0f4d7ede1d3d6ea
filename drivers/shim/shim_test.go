package shim

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

const patience = 30 * time.Second

// TestMain lets the test binary play a driver process that can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SHIM_TEST_DRIVER"); dir != "" {
		t, err := Start(context.Background(), script(dir, os.Getenv("SHIM_TEST_SCRIPT")))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("started", t.PID())
		select {}
	}
	os.Exit(m.Run())
}

// script is a task that runs a shell script, with logs beside its control dir.
func script(dir, text string) *Config {
	return &Config{
		Dir: filepath.Join(dir, "ctl"), Title: "test", Path: "/bin/sh", Args: []string{"sh", "-c", text},
		Env: []string{"PATH=/usr/bin:/bin"}, WorkDir: dir,
		Logs: &LogFiles{Dir: dir, Name: "task", MaxFiles: 3, MaxBytes: 1000},
	}
}

func start(t *testing.T, c *Config) *Task {
	t.Helper()
	task, err := Start(t.Context(), c)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := task.Kill(ctx); err != nil {
			t.Errorf("kill: %v", err)
		}
		task.Release()
	})
	return task
}

func wait(t *testing.T, task *Task) Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := task.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return e
}

// eventually polls until ok or patience ends.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func alive(pid int) bool {
	p, ok := ReadProcess(pid)
	return ok && !p.Zombie()
}

func readPID(t *testing.T, file string) int {
	t.Helper()
	pid := 0
	eventually(t, file+" holds a pid", func() bool {
		b, err := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil && pid > 0
	})
	return pid
}

func TestExit(t *testing.T) {
	for _, tc := range []struct {
		script       string
		code, signal int
	}{
		{"exit 0", 0, 0},
		{"exit 7", 7, 0},
		{"kill -TERM $$", 143, 15},
		{"kill -KILL $$", 137, 9},
	} {
		task := start(t, script(t.TempDir(), tc.script))
		if e := wait(t, task); e.Code != tc.code || e.Signal != tc.signal || e.Lost {
			t.Errorf("%s: %+v", tc.script, e)
		}
		if err := task.Signal(syscall.SIGTERM); !errors.Is(err, ErrExited) {
			t.Errorf("signal after exit: %v", err)
		}
		if err := task.Remove(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartFailsInWords(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	noexec := filepath.Join(dir, "noexec")
	os.WriteFile(plain, []byte("hello"), 0o644)
	os.WriteFile(noexec, []byte("hello\n"), 0o755)
	for i, tc := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Path = "/no/such" }, "command not found: /no/such"},
		{func(c *Config) { c.Path = plain }, "is not executable by"},
		{func(c *Config) { c.Path = noexec }, "is not a program for this machine"},
		{func(c *Config) { c.Path = "/etc" }, "permission denied"},
		{func(c *Config) { c.WorkDir = "/no/such" }, "working directory /no/such does not exist"},
		{func(c *Config) { c.WorkDir = "/etc/passwd" }, "is not a directory"},
		{func(c *Config) { c.Join = []string{"/no/cgroup.procs"} }, "cannot put the task into its cgroup"},
		{func(c *Config) { c.Logs.Dir = "/no/such" }, "cannot open the task's output files"},
		{func(c *Config) { c.Args = append(c.Args, strings.Repeat("x", 1<<20)) }, "larger than the kernel accepts"},
		{func(c *Config) { c.Env = []string{"a\x00b"} }, "zero byte"},
		{func(c *Config) { c.WorkDir = "relative" }, "must be absolute"},
	} {
		c := script(dir, "exit 0")
		c.Dir += strconv.Itoa(i)
		tc.change(c)
		_, err := Start(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("want %q, got %v", tc.want, err)
		}
		if _, err := os.Stat(c.Dir); err == nil {
			t.Errorf("%s: control directory left behind", tc.want)
		}
	}
}

func TestLogsRotateAtLines(t *testing.T) {
	dir := t.TempDir()
	wait(t, start(t, script(dir, `i=0; while [ $i -lt 200 ]; do echo "line $i of the output"; i=$((i+1)); done; echo err >&2`)))
	var all string
	files, _ := filepath.Glob(filepath.Join(dir, "task.stdout.*"))
	if len(files) != 3 {
		t.Fatalf("want 3 files, have %v", files)
	}
	for i := 2; i < 5; i++ {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("task.stdout.%d", i)))
		if err != nil || len(b) > 1000 || len(b) == 0 || b[len(b)-1] != '\n' {
			t.Errorf("file %d: %d bytes, %v", i, len(b), err)
		}
		all += string(b)
	}
	if !strings.HasSuffix(all, "line 198 of the output\nline 199 of the output\n") || !strings.HasPrefix(all, "line ") {
		t.Errorf("lines are torn: %.40q ... ", all)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "task.stderr.0")); string(b) != "err\n" {
		t.Errorf("stderr: %q", b)
	}
	// A second run of the task goes on where the first one stopped.
	c := script(dir, "echo again; head -c 3500 /dev/zero | tr '\\0' x")
	c.Dir += "2"
	wait(t, start(t, c))
	if b, _ := os.ReadFile(filepath.Join(dir, "task.stdout.8")); len(b) == 0 || len(b) > 1000 {
		t.Errorf("a line longer than a file: %d bytes in file 8", len(b))
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "task.stdout.*")); len(files) != 3 {
		t.Errorf("want 3 files, have %v", files)
	}
}

func TestUnwritableLogsDoNotStopTheTask(t *testing.T) {
	dir := t.TempDir()
	// The next file of the rotation cannot be made: a directory is in its place.
	os.Mkdir(filepath.Join(dir, "blocked"), 0o755)
	e := wait(t, start(t, script(dir, "head -c 900 /dev/zero; mv blocked task.stdout.1; head -c 200000 /dev/zero; exit 3")))
	if e.Code != 3 || e.DroppedLogBytes == 0 {
		t.Errorf("%+v", e)
	}
}

func TestFullDiskStillRecordsTheExit(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	c := script(dir, "head -c 200000 /dev/zero > fill; head -c 200000 /dev/zero; exit 9")
	c.Logs.MaxBytes = 1 << 20
	e := wait(t, start(t, c))
	if e.Code != 9 || e.Lost || e.DroppedLogBytes == 0 {
		t.Errorf("%+v", e)
	}
	again, err := Load(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t, again); e.Code != 9 {
		t.Errorf("%+v", e)
	}
}

// driver starts a task from a process of its own and returns that process and
// the task's pid.
func driver(t *testing.T, dir, text string) (*exec.Cmd, int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SHIM_TEST_DRIVER="+dir, "SHIM_TEST_SCRIPT="+text)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "started")))
	if err != nil {
		t.Fatalf("driver said %q", line)
	}
	return cmd, pid
}

func TestDriverKilled(t *testing.T) {
	dir := t.TempDir()
	cmd, pid := driver(t, dir, "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; exit 7")
	cmd.Process.Kill()
	cmd.Wait()
	task, err := Load(filepath.Join(dir, "ctl"))
	if err != nil || task.PID() != pid || !alive(pid) {
		t.Fatalf("load: %v, task %+v", err, task)
	}
	os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
	if e := wait(t, task); e.Code != 7 {
		t.Errorf("%+v", e)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "task.stdout.0")); string(b) != "one\ntwo\n" {
		t.Errorf("log: %q", b)
	}
}

func TestExitedWhileNobodyLooked(t *testing.T) {
	dir := t.TempDir()
	cmd, pid := driver(t, dir, "while [ ! -e go ]; do sleep 0.01; done; exit 7")
	cmd.Process.Kill()
	cmd.Wait()
	os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
	eventually(t, "exit record", func() bool { _, ok := readExit(filepath.Join(dir, "ctl")); return ok && !alive(pid) })
	task, err := Load(filepath.Join(dir, "ctl"))
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t, task); e.Code != 7 || e.Lost || time.Since(e.At) > time.Minute {
		t.Errorf("%+v", e)
	}
}

func TestShimKilled(t *testing.T) {
	dir := t.TempDir()
	task := start(t, script(dir, "sh -c 'echo $$ > child; exec sleep 1000' & wait"))
	child := readPID(t, filepath.Join(dir, "child"))
	syscall.Kill(task.ShimPID(), syscall.SIGKILL)
	if e := wait(t, task); !e.Lost || e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	eventually(t, "task dead", func() bool { return !alive(task.PID()) })
	eventually(t, "child dead", func() bool { return !alive(child) })
	again, err := Load(filepath.Join(dir, "ctl"))
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t, again); !e.Lost {
		t.Errorf("%+v", e)
	}
}

func TestDescendantsEndWithTheTask(t *testing.T) {
	dir := t.TempDir()
	// Two daemons: double fork, own session, one of them holds the log pipe.
	daemons := `(setsid sh -c 'echo $$ > a; exec sleep 1000' &) ; (setsid sh -c 'echo $$ > b; exec sleep 1000' >/dev/null 2>&1 </dev/null &);
		while [ ! -s a ] || [ ! -s b ]; do sleep 0.01; done; `
	t.Run("exit", func(t *testing.T) {
		task := start(t, script(dir, daemons+"exit 5"))
		began := time.Now()
		if e := wait(t, task); e.Code != 5 || e.Stragglers < 2 {
			t.Errorf("%+v", e)
		}
		if alive(readPID(t, dir+"/a")) || alive(readPID(t, dir+"/b")) {
			t.Error("a daemon is alive")
		}
		t.Log("took", time.Since(began))
	})
	os.Remove(dir + "/a")
	os.Remove(dir + "/b")
	t.Run("kill", func(t *testing.T) {
		c := script(dir, "trap '' TERM; "+daemons+"while :; do sleep 1; done")
		c.Dir += "2"
		task := start(t, c)
		a, b := readPID(t, dir+"/a"), readPID(t, dir+"/b")
		if err := task.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := task.Kill(t.Context()); err != nil {
			t.Error(err)
		}
		if e, over := task.Exited(); !over || e.Signal != 9 {
			t.Errorf("%+v %v", e, over)
		}
		if alive(a) || alive(b) {
			t.Error("a daemon is alive")
		}
	})
}

func TestForeignPipeHolderIsNotWaitedForLong(t *testing.T) {
	dir := t.TempDir()
	task := start(t, script(dir, "while [ ! -e go ]; do sleep 0.01; done"))
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", task.PID()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	os.WriteFile(dir+"/go", nil, 0o644)
	began := time.Now()
	wait(t, task)
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestPathsAsOutput(t *testing.T) {
	dir := t.TempDir()
	c := script(dir, "echo out; echo err >&2")
	c.Logs = nil
	c.Stdout = filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(c.Stdout, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		f, err := os.Open(c.Stdout)
		if err != nil {
			got <- err.Error()
			return
		}
		defer f.Close()
		line, _ := bufio.NewReader(f).ReadString('\n')
		got <- line
	}()
	task := start(t, c)
	if line := <-got; line != "out\n" {
		t.Errorf("fifo gave %q", line)
	}
	wait(t, task)
}

// ignoreReserved ignores a signal that the C library keeps for itself, as some
// parents leave it: children inherit that.
func ignoreReserved(t *testing.T) {
	t.Helper()
	const reserved = 32
	action := [4]uintptr{1} // SIG_IGN; no flags, restorer or mask
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, reserved, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

func TestEnvironmentOfTheTask(t *testing.T) {
	ignoreReserved(t)
	dir := t.TempDir()
	adj := 300
	c := script(dir, `cat /proc/self/oom_score_adj; ulimit -n; pwd; echo "$A"; cut -d' ' -f6 /proc/$$/stat | grep -qx $$ && echo leader; ls /proc/self/fd | tr '\n' ' '; grep SigBlk /proc/self/status; grep SigIgn /proc/self/status`)
	c.OOMScoreAdj = &adj
	c.Rlimits = []Rlimit{{Resource: syscall.RLIMIT_NOFILE, Soft: 77, Hard: 99}}
	c.Env = append(c.Env, "A=b\nc")
	wait(t, start(t, c))
	b, _ := os.ReadFile(filepath.Join(dir, "task.stdout.0"))
	want := "300\n77\n" + dir + "\nb\nc\nleader\n0 1 2 3 SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
	if string(b) != want {
		t.Errorf("got %q\nwant %q", b, want)
	}
}

func TestCredential(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can change users")
	}
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	c := script(dir, "id -u; id -g; id -G")
	c.WorkDir = "/"
	c.Credential = &Credential{UID: 65534, GID: 65533, Groups: []uint32{7, 8}}
	wait(t, start(t, c))
	if b, _ := os.ReadFile(filepath.Join(dir, "task.stdout.0")); string(b) != "65534\n65533\n65533 7 8\n" {
		t.Errorf("got %q", b)
	}
}

func TestStartGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("changed my mind"))
	if _, err := Start(ctx, script(t.TempDir(), "sleep 100")); err == nil || !strings.Contains(err.Error(), "changed my mind") {
		t.Error(err)
	}
}

func TestManyStartsLeaveNothing(t *testing.T) {
	before := openFDs(t)
	dir := t.TempDir()
	for i := range 200 {
		c := script(dir, "exit 0")
		c.Dir = filepath.Join(dir, "ctl", strconv.Itoa(i))
		if i%2 == 1 {
			c.Path = "/no/such"
			if _, err := Start(t.Context(), c); err == nil {
				t.Fatal("started")
			}
			continue
		}
		task, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		wait(t, task)
		if err := task.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "no descriptor leaked", func() bool { return openFDs(t) <= before+2 })
	if n := zombies(t); n > 0 {
		t.Errorf("%d zombies", n)
	}
}

func openFDs(t *testing.T) int {
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

func zombies(t *testing.T) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil {
		t.Skip("no children file")
	}
	n := 0
	for _, f := range strings.Fields(string(b)) {
		pid, _ := strconv.Atoi(f)
		if p, ok := ReadProcess(pid); ok && p.Zombie() {
			n++
		}
	}
	return n
}

// TestMemory bounds the proportional set size of a shim among others of its
// kind; design: at most a megabyte, aim 0.4.
func TestMemory(t *testing.T) {
	const tasks = 8
	var sum int64
	var all []*Task
	for range tasks {
		all = append(all, start(t, script(t.TempDir(), "echo hello; exec sleep 1000")))
	}
	for _, task := range all {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", task.ShimPID()))
		if err != nil {
			t.Skip(err)
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				sum += kb
			}
		}
	}
	t.Logf("%d KiB PSS a shim", sum/tasks)
	if sum/tasks > 1000 {
		t.Errorf("%d KiB PSS a shim", sum/tasks)
	}
}

func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		c := script(dir, "exit 0")
		c.Path, c.Args = "/bin/true", []string{"true"}
		c.Dir = filepath.Join(dir, "ctl", strconv.Itoa(i))
		task, err := Start(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		<-task.Done()
		if err := task.Remove(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
