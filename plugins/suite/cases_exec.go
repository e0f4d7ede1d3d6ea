package suite

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

// command is the command line that does p inside of a task.
func (e *env) command(t *testing.T, p Program) []string {
	t.Helper()
	if e.opts.Exec == nil {
		return []string{"/bin/sh", "-c", p.Shell()}
	}
	c := e.opts.Exec(p)
	if c == nil {
		t.Skipf("the driver cannot exec %q", p.Name)
	}
	return c
}

// execTask is a running task to exec into.
func (e *env) execTask(t *testing.T) (plugins.ExecTasker, string) {
	t.Helper()
	if !e.caps.Exec {
		t.Skip("the driver cannot exec")
	}
	x, ok := e.driver.(plugins.ExecTasker)
	if !ok {
		t.Fatal("Exec without ExecTasker")
	}
	c, _ := e.start(t, Program{Name: "sleep", RunFor: forever})
	return x, c.ID
}

func caseExec(t *testing.T, e *env) {
	x, id := e.execTask(t)
	out, err := x.ExecTask(deadline(t), id, e.command(t, Program{Name: "print and fail", Stdout: "out", Stderr: "err", ExitCode: 3}), patience)
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Stdout) != "out" || string(out.Stderr) != "err" || out.Exit.ExitCode != 3 {
		t.Errorf("stdout %q, stderr %q, exit %+v", out.Stdout, out.Stderr, out.Exit)
	}
	out, err = x.ExecTask(deadline(t), id, e.command(t, Program{Name: "greet", Greet: true}), patience)
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Stdout) != "hello from the suite" {
		t.Errorf("the task's environment is not the command's: %q", out.Stdout)
	}
	if _, err := x.ExecTask(deadline(t), id, nil, patience); err == nil {
		t.Error("an empty command is accepted")
	}
	if out, err := x.ExecTask(deadline(t), id, []string{"/no/such/program"}, patience); err == nil && out.Exit.ExitCode == 0 {
		t.Error("a command that does not exist succeeds")
	}
	if e.state(t, id) != plugins.StateRunning {
		t.Error("the task does not run any more")
	}
}

func caseExecTimeout(t *testing.T, e *env) {
	x, id := e.execTask(t)
	sleep := e.command(t, Program{Name: "sleep", RunFor: forever})
	began := time.Now()
	out, err := x.ExecTask(deadline(t), id, sleep, 300*time.Millisecond)
	if err == nil && out.Exit.ExitCode == 0 && out.Exit.Signal == 0 {
		t.Errorf("a command beyond its time succeeds: %+v", out)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("a command with 300 ms took %s", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := x.ExecTaskStreaming(ctx, id, &plugins.ExecOptions{Command: sleep}); err == nil {
		t.Error("a streaming exec outlives its context")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a streaming exec beyond its context: %v", err)
	}
	if e.state(t, id) != plugins.StateRunning {
		t.Error("the task does not run any more")
	}
}

func caseExecStream(t *testing.T, e *env) {
	x, id := e.execTask(t)
	input := strings.Repeat("0123456789abcdef", 20_000) // more than any buffer on the way
	var stdout, stderr lockedBuffer
	exit, err := x.ExecTaskStreaming(deadline(t), id, &plugins.ExecOptions{
		Command: e.command(t, Program{Name: "cat", Stderr: "err", Cat: true, ExitCode: 4}),
		Stdin:   strings.NewReader(input),
		Stdout:  &stdout,
		Stderr:  &stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit.ExitCode != 4 {
		t.Errorf("exit %+v, want 4", exit)
	}
	if stdout.String() != input || stderr.String() != "err" {
		t.Errorf("%d bytes of stdout, want %d; stderr %q", len(stdout.String()), len(input), stderr.String())
	}
	exit, err = x.ExecTaskStreaming(deadline(t), id, &plugins.ExecOptions{Command: e.command(t, Program{Name: "fail", ExitCode: 2})})
	if err != nil || exit.ExitCode != 2 {
		t.Errorf("without streams: %+v, %v", exit, err)
	}
}

func caseExecTerminal(t *testing.T, e *env) {
	x, id := e.execTask(t)
	command := e.command(t, Program{Name: "terminal", Terminal: true})
	for _, tty := range []bool{true, false} {
		var stdout lockedBuffer
		stdin, feed := io.Pipe()
		resize := make(chan plugins.TermSize, 1)
		resize <- plugins.TermSize{Height: 24, Width: 80}
		exit, err := x.ExecTaskStreaming(deadline(t), id, &plugins.ExecOptions{
			Command: command, TTY: tty, Stdin: stdin, Stdout: &stdout, Stderr: io.Discard, Resize: resize,
		})
		feed.Close()
		if err != nil || exit.ExitCode != 0 {
			t.Fatalf("terminal %v: %+v, %v", tty, exit, err)
		}
		want := map[bool]string{true: "terminal", false: "no terminal"}[tty]
		if got := strings.TrimSpace(stdout.String()); got != want {
			t.Errorf("terminal %v: the command says %q", tty, got)
		}
	}
}
