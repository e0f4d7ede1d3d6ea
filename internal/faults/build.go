package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	build := exec.Command("go", "build", "-tags=seccomp,netgo,osusergo,runc_nocriu,steppe_faults", "-o", Binary, ".")
	build.Dir = Root
	build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
