package crash

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/drivers/shim"
	"github.com/steppe-project/steppe/internal/durable"
)

// Shim is one task with its shim: start, logs, exit.
var Shim = &Work{Name: "shim", Run: runShim, Look: lookShim, Judge: judgeShim}

// taskExit is the task's exit code.
const taskExit = 7

func runShim(dir string, say func(string, ...any)) error {
	if err := durable.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	task, err := shim.Start(ctx, &shim.Config{
		Dir: filepath.Join(dir, "control"), Title: "crash", Path: "/bin/sh",
		Args: []string{"sh", "-c", fmt.Sprintf("echo out; echo err >&2; exit %d", taskExit)},
		Env:  []string{"PATH=/usr/bin:/bin"}, WorkDir: dir, Files: map[string][]byte{"hosts": []byte("127.0.0.1 localhost\n")},
		Logs: &shim.LogFiles{Dir: filepath.Join(dir, "logs"), Name: "web", MaxFiles: 2, MaxBytes: 1 << 20},
	})
	if err != nil {
		say("no start %v", err)
		return err
	}
	say("started")
	exit, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	say("exit %d %v", exit.Code, exit.Lost)
	return nil
}

func lookShim(dir string, say func(string, ...any)) error {
	task, err := shim.Load(filepath.Join(dir, "control"))
	if errors.Is(err, shim.ErrNoTask) {
		say("none")
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	exit, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	say("exit %d %v", exit.Code, exit.Lost)
	return task.Remove()
}

// judgeShim checks that a task that was started is found, with its true exit or
// with word that this is lost. That there is no task is word enough: the client
// knows that it started one.
func judgeShim(said, seen []string) error {
	for _, line := range seen {
		rest, ok := strings.CutPrefix(line, "exit ")
		switch {
		case line == "none", ok && strings.HasSuffix(rest, " true"):
			return nil
		case ok && rest == fmt.Sprintf("%d false", taskExit):
			return nil
		}
	}
	if slices.Contains(said, "started") {
		return fmt.Errorf("the task was started, and there is %q", seen)
	}
	return fmt.Errorf("there is %q", seen)
}
