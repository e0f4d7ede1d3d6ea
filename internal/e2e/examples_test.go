package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func steppe(args ...string) (string, int) {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(cmd.Environ(), "STEPPE_ADDR="+shared.addr())
	out, _ := cmd.CombinedOutput() // the exit code says it
	return string(out), cmd.ProcessState.ExitCode()
}

// Every example runs as it is; the one that is too large says what is too large.
func TestExamplesRun(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".hcl")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := steppe("job", "run", f)
			for range 100 { // a new cluster activates its feature level within seconds
				if !strings.Contains(out, "this needs feature level") {
					break
				}
				time.Sleep(300 * time.Millisecond)
				out, code = steppe("job", "run", f)
			}
			want := 0
			if name == "too-large" {
				want = 2
				if !strings.Contains(out, `Resource "memory": exhausted on 1 node.`) || !strings.Contains(out, "lower memory from 9000000 MB") {
					t.Errorf("the memory is not named:\n%s", out)
				}
			}
			if code != want {
				t.Errorf("exit %d, want %d:\n%s", code, want, out)
			}
			id, code := steppe("job", "run", "-output", f)
			if code != 0 {
				t.Fatal(id)
			}
			_, id, _ = strings.Cut(id, `"ID": "`)
			id, _, _ = strings.Cut(id, `"`)
			if out, code := steppe("job", "stop", "-purge", id); code != 0 {
				t.Errorf("stopping: exit %d:\n%s", code, out)
			}
		})
	}
}
