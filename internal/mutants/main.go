// Command mutants plants known faults in the code, one at a time, and sees that a
// test or the simulator finds each: a check that finds nothing checks nothing.
//
// Contract: the source is not touched (the compiler is given an overlay); a mutant
// whose text no longer stands in its file is an error, not a success.
//
// Example:
//
//	go run ./internal/mutants               # all
//	go run ./internal/mutants ports lease   # those whose names contain a word
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	survivors := 0
	for _, m := range mutants {
		if !chosen(m, os.Args[1:]) {
			continue
		}
		began := time.Now()
		found, err := m.run()
		switch {
		case err != nil:
			fmt.Printf("error     %s: %v\n", m.name, err)
			survivors++
		case found:
			fmt.Printf("found     %s (%s)\n", m.name, time.Since(began).Round(100*time.Millisecond))
		default:
			fmt.Printf("SURVIVES  %s: go %s\n", m.name, strings.Join(m.by, " "))
			survivors++
		}
	}
	if survivors > 0 {
		fmt.Printf("%d mutants were not found\n", survivors)
		os.Exit(1)
	}
}

func chosen(m mutant, words []string) bool {
	for _, w := range words {
		if strings.Contains(m.name, w) {
			return true
		}
	}
	return len(words) == 0
}

// text is the file with the fault.
func (m mutant) text(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(b), m.old); n != 1 {
		return "", fmt.Errorf("the text to change stands %d times in %s, not once", n, m.file)
	}
	return strings.Replace(string(b), m.old, m.with, 1), nil
}

// run tells whether the tests fail with the fault in place; one that does not
// compile is an error.
func (m mutant) run() (found bool, err error) {
	text, err := m.text(".")
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	changed := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		return false, err
	}
	abs, err := filepath.Abs(m.file)
	if err != nil {
		return false, err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {abs: changed}})
	if err != nil {
		return false, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return false, err
	}
	if out, err := exec.Command("go", "build", "-overlay="+list, "./"+filepath.Dir(m.file)).CombinedOutput(); err != nil {
		return false, fmt.Errorf("it does not compile: %s", out)
	}
	args := append([]string{m.by[0], "-overlay=" + list}, m.by[1:]...)
	out, err := exec.Command("go", args...).CombinedOutput()
	if err == nil {
		return false, nil
	}
	if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "setup failed") {
		return false, fmt.Errorf("the tests do not compile: %s", out)
	}
	return true, nil
}
