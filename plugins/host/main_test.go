package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/serve"
)

// modeEnv makes this test binary act as a plugin, or as a host that gets killed.
const modeEnv = "STEPPE_HOST_TEST_MODE"

func TestMain(m *testing.M) {
	mode := os.Getenv(modeEnv)
	switch {
	case mode == "host":
		actAsHost()
	case !serve.Launched():
		os.Exit(m.Run())
	case mode == "exit":
		fmt.Fprintln(os.Stderr, "the disk is on fire")
		os.Exit(3)
	case mode == "panic":
		panic("out of luck")
	case mode == "garbage":
		fmt.Println("hello, I am no plugin")
		time.Sleep(time.Minute)
	case mode == "mute":
		time.Sleep(time.Minute)
	default:
		serve.Driver(&stub{mode: mode})
	}
}

// actAsHost launches a plugin, tells how to find it, and waits to be killed.
func actAsHost() {
	o := Options{Name: "stub", Path: Self, Env: []string{modeEnv + "=driver"}, Detach: os.Args[1] == "detach"}
	p, err := Launch(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(p.Reattach()); err != nil {
		os.Exit(1)
	}
	signal.Ignore(syscall.SIGTERM)
	select {}
}

// stub is a driver of which only what a host asks at the start works, and
// WaitTask, which writes its id to the log and blocks.
type stub struct {
	plugins.Driver
	mode string
}

func (s *stub) PluginInfo(context.Context) (*plugins.Info, error) {
	info := &plugins.Info{Type: plugins.TypeDriver, Name: "stub", Version: "v1.2.3", APIVersions: []string{"v0.2.0", plugins.APIVersion}}
	switch s.mode {
	case "device":
		info.Type = plugins.TypeDevice
	case "no-type":
		info.Type = 0
	case "no-name":
		info.Name = ""
	case "other-api":
		info.APIVersions = []string{"v0.9.0"}
	case "bad-version":
		info.Version = "latest"
	case "hang":
		time.Sleep(time.Hour)
	}
	return info, nil
}

func (s *stub) ConfigSchema(context.Context) (*plugins.Spec, error) {
	if s.mode == "no-config" {
		return nil, nil
	}
	return &plugins.Spec{Object: map[string]*plugins.Spec{
		"volume": plugins.WithDefault(plugins.Attr("volume", "number", false), "5"),
	}}, nil
}

func (s *stub) SetConfig(_ context.Context, c *plugins.Config) error {
	if c.APIVersion != plugins.APIVersion {
		return fmt.Errorf("API version %q", c.APIVersion)
	}
	if s.mode != "no-config" && string(c.Msgpack) != "\x81\xa6volume\x0b" && string(c.Msgpack) != "\x81\xa6volume\x05" {
		return fmt.Errorf("the volume of %x is beyond 11", c.Msgpack)
	}
	return nil
}

func (s *stub) Init(context.Context) error {
	if s.mode == "bad-init" {
		return errors.New("nothing to do here")
	}
	return nil
}

func (s *stub) Shutdown(context.Context) error {
	serve.Logger("stub").Info("shutting down")
	return nil
}

func (s *stub) WaitTask(ctx context.Context, id string) (*plugins.ExitResult, error) {
	serve.Logger("stub").Warn("waiting", "task", id)
	<-ctx.Done()
	return nil, ctx.Err()
}

// stubOptions launch a stub in a mode.
func stubOptions(t *testing.T, mode string) Options {
	return Options{
		Name: "stub", Path: Self, Env: []string{modeEnv + "=" + mode},
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

const patience = 30 * time.Second

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// running tells whether a process runs; a zombie does not.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// freeze makes a process hang, and returns once all of its threads do.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process's hanging", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(threads) == 0 {
			t.Fatalf("threads of %d: %v", pid, err)
		}
		for _, path := range threads {
			stat, err := os.ReadFile(path)
			_, rest, _ := strings.Cut(string(stat), ") ")
			if err != nil || !strings.HasPrefix(rest, "T") {
				return false
			}
		}
		return true
	})
}

// kill ends a process without warning.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
