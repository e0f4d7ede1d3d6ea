package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/consensus/guard"
	"github.com/steppe-project/steppe/fsm"
)

// flippedEnv names the directory that the test's own process opens.
const flippedEnv = "STEPPE_TEST_FLIPPED"

// refused is that process's exit code when the server does not start.
const refused = 3

// openFlipped prints what a server has, or why it does not start.
func openFlipped(dir string) {
	h, err := Open(Config{ID: "a", Addr: "alone", Dir: dir, Machine: &ledger{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		os.Exit(refused)
	}
	m := &member{Host: h, ledger: h.cfg.Machine.(*ledger)}
	go func() { _ = h.Run(context.Background()) }() // ends with the process
	for began := time.Now(); !h.Leadership().Self; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			fmt.Println("it does not lead")
			os.Exit(1)
		}
	}
	for _, body := range m.all() {
		fmt.Println(body)
	}
	os.Exit(0)
}

// TestFlippedBits flips one bit of a stopped server's log at a time: the server
// says that its log is damaged, or has everything that was acknowledged.
func TestFlippedBits(t *testing.T) {
	if dir := os.Getenv(flippedEnv); dir != "" {
		openFlipped(dir)
	}
	dir := t.TempDir()
	m := startAlone(t, filepath.Join(dir, "good"))
	var acked []string
	for i := range 30 {
		body := fmt.Sprintf("%06d%s", i, strings.Repeat("x", 200))
		if _, err := m.Propose(context.Background(), fsm.Command{Kind: 1, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, body)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "good", logFile))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := os.ReadFile(filepath.Join(dir, "good", guard.TailFile))
	if err != nil {
		t.Fatal(err)
	}
	var used []int // most of the file is free
	for i, v := range good {
		if v != 0 {
			used = append(used, i)
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for i := range 40 {
		b := bytes.Clone(good)
		at := used[dice.IntN(len(used))]
		b[at] ^= 1 << dice.IntN(8)
		bad := filepath.Join(dir, fmt.Sprint("bad", i))
		if err := errors.Join(os.Mkdir(bad, 0o700), os.WriteFile(filepath.Join(bad, logFile), b, 0o600),
			os.WriteFile(filepath.Join(bad, guard.TailFile), tail, 0o600)); err != nil {
			t.Fatal(err)
		}
		// In a process of its own: what reads a damaged file may leave things behind.
		cmd := exec.Command(os.Args[0], "-test.run=TestFlippedBits$", "-test.v")
		cmd.Env = append(os.Environ(), flippedEnv+"="+bad)
		out, err := cmd.CombinedOutput()
		switch code := cmd.ProcessState.ExitCode(); {
		case code == refused && strings.Contains(string(out), bad) && strings.Contains(string(out), guard.ErrDamaged.Error()):
			noticed++
		case strings.Contains(string(out), "panic: "): // loud, too: the library does not trust a page
			noticed++
		case err != nil:
			t.Errorf("byte %d: %v\n%s", at, err, out)
		default:
			for _, body := range acked {
				if n := strings.Count(string(out), body); n != 1 {
					t.Errorf("byte %d: %s is there %d times", at, body[:6], n)
				}
			}
		}
	}
	if noticed < 10 {
		t.Errorf("only %d of 40 were noticed", noticed)
	}
}
