package suite

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

func caseExit(t *testing.T, e *env) {
	for _, p := range []Program{{Name: "succeed"}, {Name: "fail", ExitCode: 7}, {Name: "fail later", RunFor: 300 * time.Millisecond, ExitCode: 3}} {
		began := time.Now()
		c, _ := e.start(t, p)
		exit := e.wait(t, c.ID)
		if exit.ExitCode != p.ExitCode || exit.Signal != 0 || exit.OOMKilled {
			t.Errorf("%s: exit %+v, want code %d", p.Name, exit, p.ExitCode)
		}
		if took := time.Since(began); took < p.RunFor {
			t.Errorf("%s: ended after %s, before its time", p.Name, took)
		}
		if again := e.wait(t, c.ID); !reflect.DeepEqual(exit, again) {
			t.Errorf("%s: a second WaitTask gives %+v, the first gave %+v", p.Name, again, exit)
		}
		s, err := e.driver.InspectTask(deadline(t), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if s.State != plugins.StateExited || s.Exit == nil || s.Exit.ExitCode != p.ExitCode {
			t.Errorf("%s: status after the end %+v, exit %+v", p.Name, s, s.Exit)
		}
		if s.CompletedAt.IsZero() || s.CompletedAt.Before(s.StartedAt) {
			t.Errorf("%s: started at %s, completed at %s", p.Name, s.StartedAt, s.CompletedAt)
		}
	}
}

func caseRunning(t *testing.T, e *env) {
	before := time.Now().Add(-time.Second)
	c, h := e.start(t, Program{Name: "sleep", RunFor: forever})
	if h.Config == nil || h.Config.ID != c.ID {
		t.Errorf("handle of %+v", h.Config)
	}
	if h.State != plugins.StateRunning {
		t.Errorf("handle in state %d", h.State)
	}
	s, err := e.driver.InspectTask(deadline(t), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != c.ID || s.Name != c.Name || s.State != plugins.StateRunning || s.Exit != nil || !s.CompletedAt.IsZero() {
		t.Errorf("status %+v", s)
	}
	if s.StartedAt.Before(before) || s.StartedAt.After(time.Now().Add(time.Second)) {
		t.Errorf("started at %s", s.StartedAt)
	}
}

func caseStartTwice(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "sleep", RunFor: forever})
	if _, _, err := e.driver.StartTask(deadline(t), c); err == nil {
		t.Error("a second task with the same id is started")
	}
	if e.state(t, c.ID) != plugins.StateRunning {
		t.Error("the first task does not run any more")
	}
}

// caseStartMissing accepts a task that fails in words at its start or right
// after: some drivers learn of it only from inside of the isolation.
func caseStartMissing(t *testing.T, e *env) {
	c := e.task(t, Program{Name: "missing", Missing: true})
	e.cleanup(t, c.ID)
	if _, _, err := e.driver.StartTask(deadline(t), c); err != nil {
		if strings.TrimSpace(err.Error()) == "" {
			t.Error("the error has no words")
		}
		if _, err := e.driver.InspectTask(deadline(t), c.ID); !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("a task that could not start is known: %v", err)
		}
		return
	}
	if exit := e.wait(t, c.ID); exit.ExitCode == 0 && exit.Signal == 0 || exit.Err == "" {
		t.Errorf("a program that does not exist ended with %+v", exit)
	}
}

func caseStartMany(t *testing.T, e *env) {
	const tasks = 12
	configs := make([]*plugins.TaskConfig, tasks)
	for i := range configs {
		configs[i] = e.task(t, Program{Name: "fail", ExitCode: i})
		e.cleanup(t, configs[i].ID)
	}
	var wg sync.WaitGroup
	for i, c := range configs {
		wg.Go(func() {
			if _, _, err := e.driver.StartTask(deadline(t), c); err != nil {
				t.Errorf("StartTask: %v", err)
				return
			}
			exit, err := e.driver.WaitTask(deadline(t), c.ID)
			if err != nil || exit.ExitCode != i {
				t.Errorf("task %d: %+v, %v", i, exit, err)
			}
		})
	}
	wg.Wait()
}

func caseEnvironment(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "greet", Greet: true})
	e.wait(t, c.ID)
	eventually(t, "the greeting", func() bool { return output(t, c, "stdout") == c.Env["GREETING"] })
}

func caseOutput(t *testing.T, e *env) {
	p := Program{Name: "print", Stdout: "to stdout\nwithout an end", Stderr: "it's to \"stderr\"\n"}
	c, _ := e.start(t, p)
	e.wait(t, c.ID)
	eventually(t, "output", func() bool {
		return output(t, c, "stdout") == p.Stdout && output(t, c, "stderr") == p.Stderr
	})
}

func caseWaitCanceled(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "sleep", RunFor: forever})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if exit, err := e.driver.WaitTask(ctx, c.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitTask with a deadline: %+v, %v", exit, err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	if exit, err := e.driver.WaitTask(ctx, c.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitTask with a canceled context: %+v, %v", exit, err)
	}
	if e.state(t, c.ID) != plugins.StateRunning {
		t.Error("the task does not run any more")
	}
}

func caseStop(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "exits on TERM", Stdout: "ready", RunFor: forever, OnSignal: map[string]int{"TERM": 5}})
	eventually(t, "the program", func() bool { return output(t, c, "stdout") == "ready" })
	began := time.Now()
	if err := e.driver.StopTask(deadline(t), c.ID, patience, "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("a task that ends on the signal took %s to stop", took)
	}
	if exit := e.wait(t, c.ID); exit.ExitCode != 5 {
		t.Errorf("exit %+v, want the code 5 that the program gives on the signal", exit)
	}
	if e.state(t, c.ID) != plugins.StateExited {
		t.Error("a stopped task must stay inspectable, as exited")
	}
}

func caseStopEscalates(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "ignores TERM", Stdout: "ready", RunFor: forever, OnSignal: map[string]int{"TERM": Ignore, "INT": Ignore}})
	eventually(t, "the program", func() bool { return output(t, c, "stdout") == "ready" })
	const timeout = 400 * time.Millisecond
	began := time.Now()
	if err := e.driver.StopTask(deadline(t), c.ID, timeout, "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < timeout {
		t.Errorf("killed after %s, before its time of %s", took, timeout)
	}
	exit := e.wait(t, c.ID)
	if exit.Signal != 9 && exit.ExitCode != 137 {
		t.Errorf("exit %+v, want signal 9", exit)
	}
	if exit.OOMKilled {
		t.Error("a stopped task is reported as out of memory")
	}
}

// caseStopChildren sees a child in the background by what it writes, as its id
// may be of another namespace.
func caseStopChildren(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "child", Child: true, RunFor: forever})
	eventually(t, "the child", func() bool { return strings.Contains(output(t, c, "stdout"), "tick") })
	if err := e.driver.StopTask(deadline(t), c.ID, time.Second, ""); err != nil {
		t.Fatal(err)
	}
	e.wait(t, c.ID)
	quiet := func() bool {
		before := output(t, c, "stdout")
		time.Sleep(300 * time.Millisecond) // six of the child's periods
		return output(t, c, "stdout") == before
	}
	eventually(t, "the child's end", quiet)
}

func caseStopExited(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "fail", ExitCode: 7})
	e.wait(t, c.ID)
	for range 2 {
		if err := e.driver.StopTask(deadline(t), c.ID, time.Second, "SIGTERM"); err != nil {
			t.Errorf("StopTask of a task that has ended: %v", err)
		}
	}
	if exit := e.wait(t, c.ID); exit.ExitCode != 7 {
		t.Errorf("its exit has become %+v", exit)
	}
}

func caseDestroy(t *testing.T, e *env) {
	gone := func(c *plugins.TaskConfig) {
		t.Helper()
		if _, err := e.driver.InspectTask(deadline(t), c.ID); !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("InspectTask of a destroyed task: %v", err)
		}
		if err := e.driver.DestroyTask(deadline(t), c.ID, false); !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("a second DestroyTask: %v", err)
		}
	}
	running, _ := e.start(t, Program{Name: "child", Child: true, RunFor: forever})
	if err := e.driver.DestroyTask(deadline(t), running.ID, false); err == nil {
		t.Error("a running task is destroyed without force")
	}
	if e.state(t, running.ID) != plugins.StateRunning {
		t.Error("the refused DestroyTask ended the task")
	}
	if err := e.driver.DestroyTask(deadline(t), running.ID, true); err != nil {
		t.Errorf("DestroyTask by force: %v", err)
	}
	gone(running)
	exited, _ := e.start(t, Program{Name: "succeed"})
	e.wait(t, exited.ID)
	if err := e.driver.DestroyTask(deadline(t), exited.ID, false); err != nil {
		t.Errorf("DestroyTask of an exited task: %v", err)
	}
	gone(exited)
}

func caseSignal(t *testing.T, e *env) {
	if !e.caps.SendSignals {
		t.Skip("the driver sends no signals")
	}
	s, ok := e.driver.(plugins.SignalTasker)
	if !ok {
		t.Fatal("SendSignals without SignalTasker")
	}
	c, _ := e.start(t, Program{Name: "exits on USR1", Stdout: "ready", RunFor: forever, OnSignal: map[string]int{"USR1": 9}})
	eventually(t, "the program", func() bool { return output(t, c, "stdout") == "ready" })
	if err := s.SignalTask(deadline(t), c.ID, "SIGNONSENSE"); err == nil {
		t.Error("a signal that does not exist is accepted")
	}
	if e.state(t, c.ID) != plugins.StateRunning {
		t.Fatal("a signal that does not exist ended the task")
	}
	if err := s.SignalTask(deadline(t), c.ID, "SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	if exit := e.wait(t, c.ID); exit.ExitCode != 9 {
		t.Errorf("exit %+v, want the code 9 that the program gives on the signal", exit)
	}
}

func caseStats(t *testing.T, e *env) {
	c, _ := e.start(t, Program{Name: "sleep", RunFor: forever})
	ctx, cancel := context.WithCancel(deadline(t))
	ch, err := e.driver.TaskStats(ctx, c.ID, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		select {
		case u, ok := <-ch:
			if !ok {
				t.Fatal("the channel of a running task's usage is closed")
			}
			if u.Timestamp.IsZero() {
				t.Error("usage without a time")
			}
			if len(u.Total.CPU.Measured)+len(u.Total.Memory.Measured) == 0 {
				t.Error("usage that measures nothing")
			}
		case <-ctx.Done():
			t.Fatal("no usage in time")
		}
	}
	cancel()
	closed(t, "usage of an ended context", ch)
	if ch, err = e.driver.TaskStats(deadline(t), c.ID, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := e.driver.StopTask(deadline(t), c.ID, time.Second, ""); err != nil {
		t.Fatal(err)
	}
	closed(t, "usage of an ended task", ch)
}
