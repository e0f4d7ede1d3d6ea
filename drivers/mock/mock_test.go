package mock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/suite"
)

func newAsPlugin() plugins.Driver { return New() }

func TestMain(m *testing.M) { suite.Main(m, newAsPlugin) }

// program expresses what of the suite's programs a script of this driver can.
func program(p suite.Program) map[string]any {
	m := map[string]any{"run_for": p.RunFor.String(), "exit_code": p.ExitCode, "stdout_string": p.Stdout}
	switch {
	case p.Missing:
		m["start_error"] = "no such program"
	case p.Stderr != "" || p.Cat || p.Terminal:
		return nil
	case p.Greet:
		m["stdout_string"] = "$GREETING"
	case p.Child:
		m["stdout_string"], m["stdout_repeat"], m["stdout_repeat_duration"] = "tick", 1<<20, "50ms"
	}
	for signal, code := range p.OnSignal {
		if code == suite.Ignore {
			m["kill_after"] = "1h"
		} else {
			m["exit_code"] = code
		}
		if signal == "USR1" {
			return nil
		}
	}
	return m
}

func TestConformance(t *testing.T) {
	suite.All(t, newAsPlugin, suite.Options{Config: program, Exec: func(suite.Program) []string { return nil }})
}

func configure(t *testing.T, conf map[string]any) *plugins.TaskConfig {
	t.Helper()
	b, err := settings.Encode(conf)
	if err != nil {
		t.Fatal(err)
	}
	return &plugins.TaskConfig{ID: "alloc/web/1", Name: "web", AllocID: "alloc", Msgpack: b}
}

// TestTime plays scripts on virtual time.
func TestTime(t *testing.T) {
	for _, tc := range []struct {
		name string
		conf map[string]any
		stop time.Duration // after the start; 0 = never
		took time.Duration
		want plugins.ExitResult
	}{
		{"at once", map[string]any{}, 0, 0, plugins.ExitResult{}},
		{"by itself", map[string]any{"run_for": "90s", "exit_code": 3, "exit_err_msg": "oops"}, 0, 90 * time.Second, plugins.ExitResult{ExitCode: 3, Err: "oops"}},
		{"by signal", map[string]any{"run_for": "1s", "exit_signal": 11}, 0, time.Second, plugins.ExitResult{Signal: 11}},
		{"stopped", map[string]any{"run_for": "1h"}, time.Minute, time.Minute, plugins.ExitResult{}},
		{"stopped, slowly", map[string]any{"run_for": "1h", "kill_after": "2s"}, time.Minute, 62 * time.Second, plugins.ExitResult{}},
		{"killed", map[string]any{"run_for": "1h", "kill_after": "10m"}, time.Minute, 65 * time.Second, plugins.ExitResult{ExitCode: 137, Signal: 9}},
		{"slow to start", map[string]any{"start_block_for": "7s"}, 0, 7 * time.Second, plugins.ExitResult{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, c, began := New(), configure(t, tc.conf), time.Now()
				if _, _, err := d.StartTask(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if tc.stop > 0 {
					time.Sleep(tc.stop)
					if err := d.StopTask(t.Context(), c.ID, 5*time.Second, ""); err != nil {
						t.Error(err)
					}
				}
				e, err := d.WaitTask(t.Context(), c.ID)
				if err != nil || *e != tc.want || time.Since(began) != tc.took {
					t.Errorf("%+v %v after %v", e, err, time.Since(began))
				}
				if err := d.DestroyTask(t.Context(), c.ID, false); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestRecoveredTaskKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := configure(t, map[string]any{"run_for": "10s", "exit_code": 4})
		first := New()
		h, _, err := first.StartTask(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		d := New()
		if err := d.RecoverTask(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if e, err := d.WaitTask(t.Context(), c.ID); err != nil || e.ExitCode != 4 {
			t.Errorf("%+v %v", e, err)
		}
		s, _ := d.InspectTask(t.Context(), c.ID)
		if ran := s.CompletedAt.Sub(s.StartedAt); ran != 10*time.Second {
			t.Errorf("ran for %v", ran)
		}
	})
}

func TestScriptedErrors(t *testing.T) {
	d := New()
	_, _, err := d.StartTask(t.Context(), configure(t, map[string]any{"start_error": "no luck", "start_error_recoverable": true}))
	if err == nil || err.Error() != "no luck" || !plugins.IsRecoverable(err) {
		t.Error(err)
	}
	for _, bad := range []map[string]any{
		{"run_for": "soon"}, {"typo": 1}, {"driver_port_map": "x"}, {"run_for": "-1s"},
	} {
		if _, _, err := d.StartTask(t.Context(), configure(t, bad)); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	c := configure(t, map[string]any{
		"run_for": "1h", "signal_error": "deaf", "driver_ip": "10.0.0.9", "driver_port_map": "web:8080", "driver_advertise": true,
		"exec_command": map[string]any{"stdout_string": "hi", "exit_code": 2},
	})
	_, net, err := d.StartTask(t.Context(), c)
	if err != nil || net.IP != "10.0.0.9" || net.PortMap["web"] != 8080 || !net.AutoAdvertise {
		t.Errorf("%+v %v", net, err)
	}
	if err := d.SignalTask(t.Context(), c.ID, "SIGHUP"); err == nil || err.Error() != "deaf" {
		t.Error(err)
	}
	r, err := d.ExecTask(t.Context(), c.ID, []string{"any"}, time.Minute)
	if err != nil || string(r.Stdout) != "hi" || r.Exit.ExitCode != 2 {
		t.Errorf("%+v %v", r, err)
	}
	if err := d.DestroyTask(t.Context(), c.ID, true); err != nil {
		t.Error(err)
	}
	if _, err := d.ExecTask(t.Context(), c.ID, []string{"any"}, 0); !errors.Is(err, plugins.ErrTaskNotFound) {
		t.Error(err)
	}
}

func TestOutput(t *testing.T) {
	dir := t.TempDir()
	d, c := New(), configure(t, map[string]any{"stdout_string": "hello $NAME $OTHER\n", "stdout_repeat": 2})
	c.Env = map[string]string{"NAME": "world"}
	c.Logs = &plugins.LogRotation{Dir: dir, Name: "web"}
	if _, _, err := d.StartTask(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WaitTask(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.DestroyTask(t.Context(), c.ID, false); err != nil {
		t.Fatal(err)
	}
	line := "hello world $OTHER\n"
	if b, err := os.ReadFile(filepath.Join(dir, "web.stdout.0")); string(b) != line+line+line {
		t.Errorf("%q %v", b, err)
	}
}

func TestPeriodicHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New()
		conf, _ := settings.Encode(map[string]any{"shutdown_periodic_after": true, "shutdown_periodic_duration": 30, "fs_isolation": "image"})
		if err := d.SetConfig(t.Context(), &plugins.Config{Msgpack: conf}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ch, err := d.Fingerprint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []plugins.Health{plugins.Healthy, plugins.Undetected, plugins.Healthy} {
			if f := <-ch; f.Health != want {
				t.Errorf("%+v", f)
			}
		}
		cancel()
		for range ch { // until it is closed
		}
		if caps, _ := d.Capabilities(t.Context()); caps.FSIsolation != plugins.FSImage {
			t.Errorf("%+v", caps)
		}
	})
	if err := New().SetConfig(t.Context(), &plugins.Config{Msgpack: []byte("\x81\xacfs_isolation\xa1x")}); err == nil {
		t.Error("an unknown fs_isolation was accepted")
	}
}
