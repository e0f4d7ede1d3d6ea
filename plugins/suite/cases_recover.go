package suite

import (
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

func caseRecoverKnown(t *testing.T, e *env) {
	c, h := e.start(t, Program{Name: "fail later", RunFor: 500 * time.Millisecond, ExitCode: 6})
	for range 2 {
		if err := e.driver.RecoverTask(deadline(t), h); err != nil {
			t.Errorf("RecoverTask of a task that the driver has: %v", err)
		}
	}
	if exit := e.wait(t, c.ID); exit.ExitCode != 6 {
		t.Errorf("exit %+v, want 6", exit)
	}
}

func caseRecoverGarbage(t *testing.T, e *env) {
	c := e.task(t, Program{Name: "sleep", RunFor: forever})
	for name, h := range map[string]*plugins.TaskHandle{
		"no handle":        nil,
		"an empty handle":  {},
		"no driver state":  {Version: 1, Config: c, State: plugins.StateRunning},
		"a foreign driver": {Version: 1, Config: c, State: plugins.StateRunning, DriverState: []byte("\x81\xa3pid\xff\x00 garbage")},
	} {
		if err := e.driver.RecoverTask(deadline(t), h); err == nil {
			t.Errorf("RecoverTask of %s succeeds", name)
		}
	}
}

// end ends the driver's process, if it has one.
func (e *env) end() {
	if c, ok := e.driver.(crasher); ok {
		c.Crash()
	}
}

func caseRecoverRunning(t *testing.T, e *env) {
	c, h := e.start(t, Program{Name: "exits on TERM", Stdout: "ready", RunFor: forever, OnSignal: map[string]int{"TERM": 5}})
	eventually(t, "the program", func() bool { return output(t, c, "stdout") == "ready" })
	before, err := e.driver.InspectTask(deadline(t), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	e.end()
	e.driver = e.make(t)
	e.cleanup(t, c.ID)
	if err := e.driver.RecoverTask(deadline(t), h); err != nil {
		t.Fatalf("RecoverTask: %v", err)
	}
	after, err := e.driver.InspectTask(deadline(t), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if after.State != plugins.StateRunning {
		t.Errorf("state %d after the recovery", after.State)
	}
	if after.StartedAt.Sub(before.StartedAt).Abs() > time.Second {
		t.Errorf("started at %s, and %s after the recovery", before.StartedAt, after.StartedAt)
	}
	if pid := before.Attributes["pid"]; pid != after.Attributes["pid"] {
		t.Errorf("process %s became %s", pid, after.Attributes["pid"])
	}
	if err := e.driver.StopTask(deadline(t), c.ID, patience, "SIGTERM"); err != nil {
		t.Fatal(err)
	}
	if exit := e.wait(t, c.ID); exit.ExitCode != 5 {
		t.Errorf("exit %+v after the recovery, want 5", exit)
	}
}

// caseRecoverExited lets a task end while there is no driver.
func caseRecoverExited(t *testing.T, e *env) {
	c, h := e.start(t, Program{Name: "fail later", RunFor: 500 * time.Millisecond, Stdout: "late words", ExitCode: 7})
	began := time.Now()
	e.end()
	time.Sleep(time.Until(began.Add(time.Second))) // the task's own time, and some
	e.driver = e.make(t)
	e.cleanup(t, c.ID)
	if err := e.driver.RecoverTask(deadline(t), h); err != nil {
		t.Fatalf("RecoverTask: %v", err)
	}
	if exit := e.wait(t, c.ID); exit.ExitCode != 7 {
		t.Errorf("exit %+v, want the code 7 of a task that ended meanwhile", exit)
	}
	eventually(t, "its output", func() bool { return output(t, c, "stdout") == "late words" })
}
