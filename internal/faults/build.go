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

// Main builds the binary, runs the tests and removes what was built.
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
	build := exec.Command("go", "build", "-tags=seccomp,netgo,osusergo", "-o", Binary, ".")
	build.Dir = Root
	build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
