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
	files := map[string][]byte{} // of the log
	type place struct {
		name string
		at   int
	}
	var used []place // most of the file is free
	entries, err := os.ReadDir(filepath.Join(dir, "good", logDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, "good", logDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.TrimRight(data, "\x00")
		files[e.Name()] = data
		for i, v := range data {
			if v != 0 {
				used = append(used, place{e.Name(), i})
			}
		}
	}
	tail, err := os.ReadFile(filepath.Join(dir, "good", guard.TailFile))
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for i := range 40 {
		flip := used[dice.IntN(len(used))]
		bad := filepath.Join(dir, fmt.Sprint("bad", i))
		if err := errors.Join(os.MkdirAll(filepath.Join(bad, logDir), 0o700), os.WriteFile(filepath.Join(bad, guard.TailFile), tail, 0o600)); err != nil {
			t.Fatal(err)
		}
		for name, data := range files {
			data = bytes.Clone(data)
			if name == flip.name {
				data[flip.at] ^= 1 << dice.IntN(8)
			}
			if err := os.WriteFile(filepath.Join(bad, logDir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// In a process of its own: what reads a damaged file may leave things behind.
		cmd := exec.Command(os.Args[0], "-test.run=TestFlippedBits$", "-test.v")
		cmd.Env = append(os.Environ(), flippedEnv+"="+bad)
		out, err := cmd.CombinedOutput()
		switch code := cmd.ProcessState.ExitCode(); {
		case code == refused && strings.Contains(string(out), bad) && strings.Contains(string(out), guard.ErrDamaged.Error()):
			noticed++
		case err != nil:
			t.Errorf("%+v: %v\n%s", flip, err, out)
		default:
			for _, body := range acked {
				if n := strings.Count(string(out), body); n != 1 {
					t.Errorf("%+v: %s is there %d times", flip, body[:6], n)
				}
			}
		}
	}
	if noticed < 10 {
		t.Errorf("only %d of 40 were noticed", noticed)
	}
}
