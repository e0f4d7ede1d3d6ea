package driverset

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/steppe-project/steppe/drivers/shim/cgroup"
	"github.com/steppe-project/steppe/plugins"
)

// plugin is a driver that only describes itself.
type plugin struct {
	plugins.Driver
	reports chan *plugins.Fingerprint
}

func (p *plugin) Capabilities(context.Context) (*plugins.Capabilities, error) {
	return &plugins.Capabilities{}, nil
}
func (p *plugin) TaskConfigSchema(context.Context) (*plugins.Spec, error) { return nil, nil }

func (p *plugin) Fingerprint(ctx context.Context) (<-chan *plugins.Fingerprint, error) {
	out := make(chan *plugins.Fingerprint)
	go func() {
		defer close(out)
		for {
			select {
			case f := <-p.reports:
				out <- f
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// source is a scripted succession of processes.
type source struct {
	name    string
	mu      sync.Mutex
	current *plugin
	done    chan struct{}
	failure error
	changed chan struct{}
}

func newSource(name string) *source { return &source{name: name, changed: make(chan struct{})} }

func (s *source) Name() string { return s.name }
func (s *source) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
func (s *source) Stop(context.Context) error { return nil }

func (s *source) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *source) boot(health plugins.Health) {
	s.change(func() {
		p := &plugin{reports: make(chan *plugins.Fingerprint, 10)}
		version := "7"
		p.reports <- &plugins.Fingerprint{Health: health, Description: "said so", Attributes: map[string]plugins.Attribute{"driver.x.version": {String: &version}}}
		s.current, s.done, s.failure = p, make(chan struct{}), nil
	})
}

func (s *source) die(err error) {
	s.change(func() {
		if s.done != nil {
			close(s.done)
		}
		s.current, s.done, s.failure = nil, nil, err
	})
}

func (s *source) Instance(ctx context.Context) (plugins.Driver, <-chan struct{}, error) {
	for {
		s.mu.Lock()
		p, done, changed := s.current, s.done, s.changed
		s.mu.Unlock()
		if p != nil {
			return p, done, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

func (s *source) Failure() (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed, s.failure
}

func run(t *testing.T, s *source) (*Set, *atomic.Int32) {
	changes := new(atomic.Int32)
	set := New(Config{
		Sources: []Source{s}, Absent: map[string]string{"off": "disabled"}, Logger: slog.New(slog.DiscardHandler),
		Changed: func() { changes.Add(1) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return set, changes
}

func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource("x")
		set, changes := run(t, s)
		got := make(chan *Driver, 1)
		go func() {
			d, err := set.Get(t.Context(), "x")
			if err != nil {
				t.Error(err)
			}
			got <- d
		}()
		time.Sleep(time.Minute) // starting takes as long as it takes
		s.boot(plugins.Healthy)
		first := <-got
		<-set.Ready()
		infos, attrs := set.Infos()
		if !infos["x"].Healthy || attrs["driver.x"] != "1" || attrs["driver.x.version"] != "7" || infos["off"].Detected {
			t.Errorf("%+v %v", infos["x"], attrs)
		}
		before := changes.Load()
		s.die(errors.New("killed"))
		<-first.Gone
		time.Sleep(time.Second)
		s.boot(plugins.Healthy)
		second, err := set.Get(t.Context(), "x")
		if err != nil || second == first {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if changes.Load() != before {
			t.Error("the servers heard of a short absence")
		}
		if _, err := set.Get(t.Context(), "off"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "disabled") {
			t.Error(err)
		}
		if _, err := set.Get(t.Context(), "nobody"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	})
}

// TestStaysAway: a driver that does not come back is reported and Get says why.
func TestStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource("x")
		set, _ := run(t, s)
		s.boot(plugins.Healthy)
		<-set.Ready()
		s.die(errors.New("no such file"))
		time.Sleep(healthGrace + time.Second)
		infos, attrs := set.Infos()
		if infos["x"].Healthy || !strings.Contains(infos["x"].HealthDescription, "no such file") || attrs["driver.x"] != "" {
			t.Errorf("%+v", infos["x"])
		}
		if _, err := set.Get(t.Context(), "x"); !errors.Is(err, plugins.ErrUnavailable) || !plugins.IsRecoverable(err) {
			t.Error(err)
		}
		s.boot(plugins.Healthy)
		time.Sleep(time.Second)
		if infos, _ := set.Infos(); !infos["x"].Healthy {
			t.Errorf("%+v", infos["x"])
		}
	})
}

// TestNeverStarts: readiness does not wait for a driver that cannot start.
func TestNeverStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource("x")
		set, _ := run(t, s)
		s.die(errors.New("not executable"))
		<-set.Ready()
		if infos, _ := set.Infos(); infos["x"].Detected || !strings.Contains(infos["x"].HealthDescription, "not executable") {
			t.Errorf("%+v", infos["x"])
		}
	})
}

func TestLocal(t *testing.T) {
	for _, tc := range []struct {
		name    string
		l       Local
		has, no string
	}{
		{"nothing said", Local{}, "exec", "raw_exec mock_driver"},
		{"by option", Local{Options: map[string]string{"driver.raw_exec.enable": "1", "driver.mock.enable": "true"}}, "exec raw_exec mock_driver", ""},
		{"by block", Local{Blocks: map[string]Block{"raw_exec": {Config: map[string]any{"enabled": true}}, "mock_driver": {}}}, "exec raw_exec mock_driver", ""},
		{"block without enabled", Local{Blocks: map[string]Block{"raw_exec": {}}}, "exec", "raw_exec mock_driver"},
		{"denied", Local{Options: map[string]string{"driver.denylist": "exec"}}, "", "exec raw_exec mock_driver"},
		{"allowed", Local{Options: map[string]string{"driver.allowlist": "raw_exec, x", "driver.raw_exec.enable": "1"}}, "raw_exec", "exec mock_driver"},
		{"unknown block", Local{Blocks: map[string]Block{"podman": {}}, PluginDir: t.TempDir()}, "exec", "raw_exec mock_driver"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.l.Logger, tc.l.Remember = slog.New(slog.DiscardHandler), func(string, []byte) error { return nil }
			sources, absent, err := tc.l.Sources(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			has := map[string]bool{}
			for _, s := range sources {
				has[s.Name()] = true
			}
			for _, name := range strings.Fields(tc.has) {
				if !has[name] || absent[name] != "" {
					t.Errorf("%s is not offered: %s", name, absent[name])
				}
			}
			for _, name := range strings.Fields(tc.no) {
				if has[name] || absent[name] == "" {
					t.Errorf("%s is offered", name)
				}
			}
		})
	}
}

// TestMemory: how a driver's process is reached is known after the client's
// state is lost; else the process would run on without an owner.
func TestMemory(t *testing.T) {
	l := Local{
		SocketDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Remember: func(string, []byte) error { return nil },
	}
	expect := func(when, want string) func([]byte) error {
		t.Helper()
		saved, remember, err := l.memory("exec")
		if err != nil || string(saved) != want {
			t.Fatalf("%s: %q %v, want %q", when, saved, err, want)
		}
		return remember
	}
	put := func(remember func([]byte) error, data []byte) {
		t.Helper()
		if err := remember(data); err != nil {
			t.Fatal(err)
		}
	}
	remember := expect("at first", "")
	put(remember, []byte(`{"pid":7}`))
	expect("state lost", `{"pid":7}`)
	l.Saved = map[string][]byte{"exec": []byte(`{"pid":8}`)}
	expect("state there", `{"pid":8}`)
	l.Saved, l.Attached = nil, true
	expect("ended with its agent", "")
	l.Attached = false
	put(remember, nil)
	expect("forgotten", "")
	put(remember, nil)
	put(remember, []byte("damage"))
	expect("damaged", "")
}

// TestSweep: processes are found and ended by the label of their group alone.
func TestSweep(t *testing.T) {
	tree := cgroup.Detect()
	if tree.Version() == cgroup.None {
		t.Skip(tree.Reason())
	}
	id := uuid.NewString()
	if err := Place(id, "web", false); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `for f; do echo $$ > $f; done; exec sleep 1000`, "sh")
	cmd.Args = append(cmd.Args, tree.Scope(id, "web", false).JoinFiles()...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(tree.Scope(id, "web", false).PIDs()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process does not join its group")
		}
	}
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	if err := Sweep(uuid.NewString(), ""); err != nil {
		t.Error(err)
	}
	if err := Sweep(id, "web"); err != nil {
		t.Error(err)
	}
	if err := <-waited; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it ended with %v", err)
	}
	if dir := tree.Scope(id, "web", false).KillDir(); dir != "" {
		if left, err := filepath.Glob(dir); err != nil || len(left) != 0 {
			t.Errorf("left %v %v", left, err)
		}
	}
}
