package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/steppe-project/steppe/plugins"
)

// supervised runs a supervisor until the returned function is called.
func supervised(t *testing.T, c SupervisorConfig) (*Supervisor, func()) {
	t.Helper()
	s := NewSupervisor(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// saved is what a supervisor keeps, as a client's database would.
type saved struct {
	mu   sync.Mutex
	last *Reattach
}

func (s *saved) save(r *Reattach) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = r
	return nil
}

func (s *saved) get() *Reattach {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func instance(t *testing.T, s *Supervisor) *Instance {
	t.Helper()
	i, err := s.Instance(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestSupervisorRestarts(t *testing.T) {
	var db saved
	s, stop := supervised(t, SupervisorConfig{Options: stubOptions(t, "driver"), Config: map[string]any{"volume": 11}, Save: db.save})
	first := instance(t, s)
	if first.Info.Name != "stub" || first.Generation != 1 || first.Reattached || first.Driver == nil {
		t.Errorf("instance %+v", first)
	}
	if r := db.get(); r == nil || r.PID != first.PID() {
		t.Errorf("saved %+v", r)
	}
	changed := s.Changed()
	began := time.Now()
	kill(t, first.PID())
	<-first.Done()
	<-changed
	var second *Instance
	eventually(t, "the second process", func() bool {
		second = instance(t, s)
		return second != first
	})
	t.Logf("replaced in %s", time.Since(began))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("replacing it took %s", took)
	}
	if second.Generation != 2 || second.PID() == first.PID() {
		t.Errorf("second instance %+v", second)
	}
	if st := s.Status(); !st.Up || st.Starts != 2 {
		t.Errorf("status %+v", st)
	}
	stop()
	if running(second.PID()) || db.get() != nil {
		t.Errorf("after the end: running %v, saved %+v", running(second.PID()), db.get())
	}
	if _, err := s.Instance(deadline(t)); !errors.Is(err, plugins.ErrUnavailable) {
		t.Errorf("Instance after the end: %v", err)
	}
}

func TestSupervisorReattaches(t *testing.T) {
	var db saved
	c := SupervisorConfig{Options: stubOptions(t, "driver"), Save: db.save, Build: "1"}
	c.Options.Detach = true
	s, stop := supervised(t, c)
	pid := instance(t, s).PID()
	stop()
	if !running(pid) {
		t.Fatal("the detached process ended with its supervisor")
	}
	c.Saved = db.get()
	s, stop = supervised(t, c)
	again := instance(t, s)
	if again.PID() != pid || !again.Reattached {
		t.Errorf("instance %+v, want process %d", again, pid)
	}
	stop()
	c.Saved, c.Build = db.get(), "2"
	s, _ = supervised(t, c)
	other := instance(t, s)
	if other.PID() == pid || other.Reattached || running(pid) {
		t.Errorf("a process of another build is kept: %+v", other)
	}
	if r := db.get(); r.Build != "2" || r.PID != other.PID() {
		t.Errorf("saved %+v", r)
	}
	kill(t, other.PID())
	eventually(t, "the third process", func() bool { return instance(t, s) != other })
	third := instance(t, s)
	t.Cleanup(func() { _ = third.Stop(context.Background()) })
}

func TestSupervisorFailures(t *testing.T) {
	cases := []struct {
		mode   string
		config map[string]any
		want   string
	}{
		{"exit", nil, "the disk is on fire"},
		{"no-type", nil, "neither a driver nor a device"},
		{"no-name", nil, "no name"},
		{"other-api", nil, `speaks the API versions ["v0.9.0"]`},
		{"bad-version", nil, `"latest" is not a semantic version`},
		{"driver", map[string]any{"volum": 3}, `volum: No argument or block type is named "volum". Did you mean "volume"?`},
		{"driver", map[string]any{"volume": 12}, "refuses its configuration: the volume of"},
		{"no-config", map[string]any{"volume": 1}, "takes no configuration"},
		{"bad-init", nil, "nothing to do here"},
	}
	for _, c := range cases {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			s, _ := supervised(t, SupervisorConfig{Options: stubOptions(t, c.mode), Config: c.config})
			eventually(t, "the error", func() bool {
				st := s.Status()
				return st.Err != nil && strings.Contains(st.Err.Error(), c.want)
			})
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			_, err := s.Instance(ctx)
			if !errors.Is(err, plugins.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Instance: %v", err)
			}
		})
	}
}

func TestSupervisorOfDevice(t *testing.T) {
	c := SupervisorConfig{Options: stubOptions(t, "device")}
	c.Options.SocketDir = filepath.Join(os.TempDir(), "steppe-sockets")
	t.Cleanup(func() { os.Remove(c.Options.SocketDir) })
	s, stop := supervised(t, c)
	i := instance(t, s)
	if i.Device == nil || i.Driver != nil {
		t.Errorf("instance %+v", i)
	}
	if filepath.Dir(i.Reattach().SocketDir) != c.Options.SocketDir {
		t.Errorf("its socket is in %s", i.Reattach().SocketDir)
	}
	stop()
	if left, err := os.ReadDir(c.Options.SocketDir); err != nil || len(left) > 0 {
		t.Errorf("%d sockets stay, %v", len(left), err)
	}
}

func TestSupervisorCannotSave(t *testing.T) {
	full := errors.New("no space left")
	s, _ := supervised(t, SupervisorConfig{Options: stubOptions(t, "driver"), Save: func(*Reattach) error { return full }})
	eventually(t, "the error", func() bool { return errors.Is(s.Status().Err, full) })
}

func TestBackoff(t *testing.T) {
	d := time.Duration(0)
	for range 20 {
		if d = next(d); d > maxBackoff {
			t.Fatalf("waits %s", d)
		}
	}
	if d != maxBackoff {
		t.Errorf("waits %s in the end", d)
	}
}

func TestInspect(t *testing.T) {
	d, err := Inspect(deadline(t), stubOptions(t, "driver"), map[string]any{"volume": 11})
	if err != nil {
		t.Fatal(err)
	}
	if d.Info.Name != "stub" || d.Version.String() != "1.2.3" || string(d.Msgpack) != "\x81\xa6volume\x0b" {
		t.Errorf("%+v", d)
	}
	if d, err := Inspect(deadline(t), stubOptions(t, "no-config"), nil); err != nil || d.Msgpack != nil {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := Inspect(deadline(t), stubOptions(t, "driver"), map[string]any{"volume": 12}); err == nil {
		t.Error("a configuration that the plugin refuses is accepted")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := Inspect(ctx, stubOptions(t, "hang"), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a plugin that hangs: %v", err)
	}
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"nomad-driver-podman": 0o755, "other.exe": 0o700, "stranger": 0o755, "README": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "broken")); err != nil {
		t.Fatal(err)
	}
	found, warnings, err := Scan(dir, []string{"nomad-driver-podman", "other", "absent"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Candidate{{"nomad-driver-podman", filepath.Join(dir, "nomad-driver-podman")}, {"other", filepath.Join(dir, "other.exe")}}
	if len(found) != 2 || found[0] != want[0] || found[1] != want[1] {
		t.Errorf("found %v", found)
	}
	text := strings.Join(warnings, "\n")
	for _, w := range []string{`no block plugin "stranger"`, `plugin "absent" is configured`, "broken is left out"} {
		if !strings.Contains(text, w) {
			t.Errorf("warnings lack %q:\n%s", w, text)
		}
	}
	if len(warnings) != 3 {
		t.Errorf("%d warnings:\n%s", len(warnings), text)
	}
	found, warnings, err = Scan(filepath.Join(dir, "no-such"), nil)
	if len(found)+len(warnings) > 0 || err != nil {
		t.Errorf("without a folder: %v %v %v", found, warnings, err)
	}
}

func TestNewer(t *testing.T) {
	v := func(s string) *version.Version { return version.Must(version.NewVersion(s)) }
	if !Newer(v("1.0.0"), nil) || !Newer(v("1.0.0"), v("1.0.0")) || !Newer(v("1.0.1"), v("1.0.0")) || Newer(v("0.9.0"), v("1.0.0")) {
		t.Error("the wrong plugin wins")
	}
}
