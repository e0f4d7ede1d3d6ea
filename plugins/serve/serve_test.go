package serve

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const modeEnv = "STEPPE_SERVE_TEST_MODE"

func TestMain(m *testing.M) {
	if os.Getenv(modeEnv) != "" {
		Driver(nil)
		return
	}
	os.Exit(m.Run())
}

// TestNotLaunched: a user who runs a plugin by hand is told what it is.
func TestNotLaunched(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "plugin_dir") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestLogger(t *testing.T) {
	for env, want := range map[string]int{"": 2, "debug": 3, "error": 1, "nonsense": 2} {
		t.Setenv(LogLevelEnv, env)
		var out bytes.Buffer
		log := newLogger(&out, "mydriver")
		log.Debug("one")
		log.Info("two", "task", "x", "@odd", 1)
		log.WithGroup("g").Error("three", "level", "own")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("level %q: %d lines:\n%s", env, got, out.String())
		}
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			level, _ := fields["@level"].(string)
			if fields["@message"] == nil || fields["@timestamp"] == nil || fields["@module"] != "mydriver" || level != strings.ToLower(level) {
				t.Errorf("line %s", line)
			}
		}
	}
}
