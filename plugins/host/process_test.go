package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/proxy"
)

func launch(t *testing.T, o Options) *Process {
	t.Helper()
	p, err := Launch(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return p
}

func TestLaunch(t *testing.T) {
	p := launch(t, stubOptions(t, "driver"))
	if err := p.Ping(deadline(t)); err != nil {
		t.Errorf("Ping: %v", err)
	}
	info, err := proxy.NewDriver(p.Conn()).PluginInfo(deadline(t))
	if err != nil || info.Name != "stub" {
		t.Errorf("%+v, %v", info, err)
	}
	session, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(p.PID()), 0, 0)
	if errno != 0 || int(session) != p.PID() {
		t.Errorf("process %d is in session %d: a signal of the terminal reaches it", p.PID(), session)
	}
	r := p.Reattach()
	if _, err := os.Stat(r.Addr); err != nil {
		t.Errorf("its socket: %v", err)
	}
	if err := p.Stop(deadline(t)); err != nil {
		t.Errorf("Stop: %v", err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("Done is open after Stop")
	}
	for _, path := range []string{r.Addr, r.SocketDir} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s stays: %v", path, err)
		}
	}
	if err := p.Stop(deadline(t)); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestLaunchFailures(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, mode, path string
		timeout          time.Duration
		want             string
	}{
		{name: "no program", path: "/no/such/program", want: "no such file"},
		{name: "not executable", path: plain, want: "permission denied"},
		{name: "exits", mode: "exit", path: Self, want: "the disk is on fire"},
		{name: "panics", mode: "panic", path: Self, want: "out of luck"},
		{name: "is no plugin", mode: "garbage", path: Self, want: "hello, I am no plugin"},
		{name: "says nothing", mode: "mute", path: Self, timeout: 100 * time.Millisecond, want: "timeout"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := stubOptions(t, c.mode)
			o.Path, o.StartTimeout, o.SocketDir = c.path, c.timeout, t.TempDir()
			if len(o.SocketDir) > maxSocketDir {
				o.SocketDir = ""
			}
			_, err := Launch(deadline(t), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "plugin stub: ") {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestLaunchCanceled(t *testing.T) {
	for _, after := range []time.Duration{0, 100 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), after)
		defer cancel()
		began := time.Now()
		if _, err := Launch(ctx, stubOptions(t, "mute")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > patience/2 {
			t.Errorf("it took %s", took)
		}
	}
}

// TestDeath: a call under way learns of it, and Done tells it.
func TestDeath(t *testing.T) {
	p := launch(t, stubOptions(t, "driver"))
	d := proxy.NewDriver(p.Conn())
	failed := make(chan error, 1)
	go func() {
		_, err := d.WaitTask(context.Background(), "x")
		failed <- err
	}()
	kill(t, p.PID())
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("Done is not closed")
	}
	if err := <-failed; !errors.Is(err, plugins.ErrUnavailable) {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := d.WaitTask(deadline(t), "x"); !errors.Is(err, plugins.ErrUnavailable) {
		t.Errorf("the next call: %v", err)
	}
}

func TestStopHung(t *testing.T) {
	t.Parallel()
	p := launch(t, stubOptions(t, "driver"))
	freeze(t, p.PID())
	began := time.Now()
	if err := p.Stop(context.Background()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if took := time.Since(began); took < stopGrace || took > patience/2 {
		t.Errorf("stopping took %s", took)
	}
	p = launch(t, stubOptions(t, "driver"))
	freeze(t, p.PID())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Stop(ctx); err != nil || running(p.PID()) {
		t.Errorf("Stop with an ended context: %v, running: %v", err, running(p.PID()))
	}
}

// otherHost runs a host in a process of its own, which launches a stub, and
// kills it.
func otherHost(t *testing.T, arg string) Reattach {
	t.Helper()
	cmd := exec.Command(Self, arg)
	cmd.Env = append(os.Environ(), modeEnv+"=host")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var r Reattach
	if err := json.NewDecoder(out).Decode(&r); err != nil {
		t.Fatalf("the other host: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	return r
}

// logBuffer is an slog destination that a test reads.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestDetachedOutlivesItsHost(t *testing.T) {
	r := otherHost(t, "detach")
	if !running(r.PID) {
		t.Fatal("the plugin died with its host")
	}
	var log logBuffer
	o := stubOptions(t, "driver")
	o.Log, o.Detach = slog.New(slog.NewTextHandler(&log, nil)), true
	for life := range 2 {
		p, err := Attach(deadline(t), o, r)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(deadline(t))
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			// Ends by its context.
			_, _ = proxy.NewDriver(p.Conn()).WaitTask(ctx, "task"+strings.Repeat("!", life))
		}()
		eventually(t, "the log of the reattached plugin", func() bool {
			return strings.Contains(log.String(), `task=task`+strings.Repeat("!", life))
		})
		cancel()
		<-waited
		if p.Reattach() != r {
			t.Errorf("reattachment became %+v", p.Reattach())
		}
		if life == 0 {
			if err := p.Release(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := p.Stop(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	if running(r.PID) {
		t.Error("the plugin runs after Stop")
	}
	if _, err := Attach(deadline(t), o, r); !errors.Is(err, ErrGone) {
		t.Errorf("Attach after its end: %v", err)
	}
	if _, err := os.Stat(r.SocketDir); !os.IsNotExist(err) {
		t.Errorf("the folder of its socket stays: %v", err)
	}
}

func TestTetheredDiesWithItsHost(t *testing.T) {
	r := otherHost(t, "tether")
	eventually(t, "the plugin's end", func() bool { return !running(r.PID) })
	if _, err := Attach(deadline(t), stubOptions(t, "driver"), r); !errors.Is(err, ErrGone) {
		t.Errorf("Attach: %v", err)
	}
}

func TestAttachToAnother(t *testing.T) {
	p := launch(t, stubOptions(t, "driver"))
	r := p.Reattach()
	r.StartTicks--
	r.SocketDir, r.Addr = "", "/no/such/socket"
	if _, err := Attach(deadline(t), stubOptions(t, "driver"), r); !errors.Is(err, ErrGone) {
		t.Errorf("a process of the same number and another start: %v", err)
	}
	if !running(p.PID()) {
		t.Error("Attach killed a process that is not the plugin's")
	}
	r.Network = "carrier-pigeon"
	if _, err := Attach(deadline(t), stubOptions(t, "driver"), r); err == nil {
		t.Error("an unknown network is accepted")
	}
}

func TestAttachToHung(t *testing.T) {
	t.Parallel()
	p := launch(t, stubOptions(t, "driver"))
	freeze(t, p.PID())
	began := time.Now()
	if _, err := Attach(deadline(t), stubOptions(t, "driver"), p.Reattach()); !errors.Is(err, ErrGone) {
		t.Errorf("Attach: %v", err)
	}
	t.Logf("giving up took %s", time.Since(began))
	eventually(t, "the hung process's end", func() bool { return !running(p.PID()) })
}

// TestSurvivesLoggingToNobody fills the pipe of a detached plugin whose host is
// gone: it may wait for a reader, and must not die.
func TestSurvivesLoggingToNobody(t *testing.T) {
	r := otherHost(t, "detach")
	o := stubOptions(t, "driver")
	o.Log = slog.New(slog.DiscardHandler)
	p, err := Attach(deadline(t), o, r)
	if err != nil {
		t.Fatal(err)
	}
	p.release() // nobody reads its log from here on
	d := proxy.NewDriver(p.Conn())
	long := strings.Repeat("x", 8<<10)
	for range 20 { // more than a pipe holds
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, _ = d.WaitTask(ctx, long) // ends by its context
		cancel()
	}
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	if !running(r.PID) {
		t.Fatal("the plugin died of logging")
	}
	if p, err = Attach(deadline(t), o, r); err != nil {
		t.Fatal(err)
	}
	if err := p.Ping(deadline(t)); err != nil {
		t.Errorf("Ping: %v", err)
	}
	if err := p.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
}
