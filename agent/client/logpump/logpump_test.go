package logpump

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func config(dir string) Config {
	return Config{Dir: dir, Task: "t", MaxFiles: 2, MaxBytes: 10, Logger: slog.New(slog.DiscardHandler)}
}

// say writes as a task does: opens, writes, closes.
func say(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// logged is all that the files of a stream hold, and which there are.
func logged(t *testing.T, dir, kind string) (text string, names []string) {
	t.Helper()
	for n := range 50 {
		name := fmt.Sprintf("t.%s.%d", kind, n)
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			text += string(data)
			names = append(names, name)
		}
	}
	return text, names
}

func TestPump(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	say(t, p.Stdout, "hello ")
	say(t, p.Stderr, "bad\n")
	say(t, p.Stdout, "you\n")
	p.Leave() // the agent ends; a writer may come before the next one
	p, err = Start(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	say(t, p.Stdout, "again")
	p.Stop()
	if text, names := logged(t, dir, "stdout"); text != "hello you\nagain" || strings.Join(names, " ") != "t.stdout.0 t.stdout.1" {
		t.Errorf("%q in %v", text, names)
	}
	if text, _ := logged(t, dir, "stderr"); text != "bad\n" {
		t.Errorf("%q", text)
	}
	if _, err := os.Stat(p.Stdout); !os.IsNotExist(err) {
		t.Errorf("the pipe is left: %v", err)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		say(t, p.Stdout, fmt.Sprintf("line %03d\n", i))
	}
	p.Stop()
	text, names := logged(t, dir, "stdout")
	if len(names) != 2 || !strings.HasSuffix(text, "line 009\n") || len(text) > 20 {
		t.Errorf("%q in %v", text, names)
	}
}

func TestNotAPipe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(Path(dir, "t", "stdout"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(config(dir)); err == nil {
		t.Error("a plain file was taken for a pipe")
	}
}
