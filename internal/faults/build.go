package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Root is the repository's root, seen from this package's tests.
const Root = "../.."

// Binary is the program under test, built by Main.
var Binary string

// scratch is where sites live. Short, because paths of sockets must be.
var scratch string

// Main builds the binary, or takes the one that STEPPE_BIN names, runs the tests
// and removes what was made.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "stf")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Users other than root run the binary too.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scratch, Binary = dir, filepath.Join(dir, "steppe")
	if err := provide(os.Getenv("STEPPE_BIN")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// provide puts the binary into the scratch directory, where sites link to it.
func provide(ready string) error {
	if ready != "" {
		b, err := os.ReadFile(ready)
		if err != nil {
			return err
		}
		return os.WriteFile(Binary, b, 0o755)
	}
	return buildAt(Root, Binary)
}

// buildAt builds the program of the source tree at root.
func buildAt(root, out string) error {
	build := exec.Command("go", "build", "-tags=seccomp,netgo,osusergo,runc_nocriu,steppe_faults", "-o", out, ".")
	build.Dir = root
	build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build in %s: %w\n%s", root, err, text)
	}
	return nil
}

// Previous builds the program as it was before this commit, or at the commit that
// STEPPE_PREVIOUS names. It skips the test where the history is not to be had, as
// in a shallow clone or a source archive.
func Previous(t testing.TB) string {
	t.Helper()
	commit := os.Getenv("STEPPE_PREVIOUS")
	if commit == "" {
		commit = "HEAD~1"
	}
	name := exec.Command("git", "rev-parse", "--verify", "--quiet", commit+"^{commit}")
	name.Dir = Root
	id, err := name.Output()
	if err != nil {
		t.Skipf("the commit before this one is not in this clone: %v", err)
	}
	dir := filepath.Join(scratch, "previous")
	out := filepath.Join(dir, "steppe")
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	unpack := exec.Command("sh", "-c", `git archive "$1" | tar -x -C "$2"`, "sh", strings.TrimSpace(string(id)), tree)
	unpack.Dir = Root
	if text, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := buildAt(tree, out); err != nil {
		t.Fatal(err)
	}
	t.Logf("the previous version is %s", bytes.TrimSpace(id))
	return out
}

// Use puts another binary in the agent's place; its next start runs that.
func (a *Agent) Use(binary string) {
	a.site.t.Helper()
	err := os.Remove(a.bin)
	if err == nil {
		err = os.Link(binary, a.bin)
	}
	if err != nil {
		a.site.t.Fatal(err)
	}
}
