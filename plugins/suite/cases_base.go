package suite

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

var semver = regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+].*)?$`)

func caseInfo(t *testing.T, e *env) {
	info, err := e.driver.PluginInfo(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != plugins.TypeDriver {
		t.Errorf("type %d, want %d", info.Type, plugins.TypeDriver)
	}
	if info.Name == "" {
		t.Error("no name")
	}
	if !semver.MatchString(info.Version) {
		t.Errorf("version %q is not a semantic version", info.Version)
	}
	if !slices.Contains(info.APIVersions, plugins.APIVersion) {
		t.Errorf("API versions %q lack %q", info.APIVersions, plugins.APIVersion)
	}
}

func caseSchema(t *testing.T, e *env) {
	ctx := deadline(t)
	first, err := e.driver.TaskConfigSchema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.driver.TaskConfigSchema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, again) {
		t.Error("TaskConfigSchema changes")
	}
	_, err = e.decoder.Decode(map[string]any{"no_such_attribute_": 1}, nil)
	var list *host.ConfigError
	if !errors.As(err, &list) {
		t.Errorf("an unknown attribute gives %v", err)
	}
}

func caseCapabilities(t *testing.T, e *env) {
	again, err := e.driver.Capabilities(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(e.caps, again) {
		t.Errorf("capabilities change: %+v, %+v", e.caps, again)
	}
	if _, ok := e.driver.(plugins.SignalTasker); e.caps.SendSignals && !ok {
		t.Error("SendSignals without SignalTasker")
	}
	if _, ok := e.driver.(plugins.ExecTasker); e.caps.Exec && !ok {
		t.Error("Exec without ExecTasker")
	}
	if _, ok := e.driver.(plugins.NetworkCreator); e.caps.MustCreateNetwork && !ok {
		t.Error("MustCreateNetwork without NetworkCreator")
	}
}

func caseFingerprint(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(deadline(t))
	ch, err := e.driver.Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case f, ok := <-ch:
		if !ok {
			t.Fatal("no fingerprint")
		}
		if f.Health != plugins.Healthy || f.Err != nil {
			t.Errorf("health %d, error %v: %s", f.Health, f.Err, f.Description)
		}
		if f.Description == "" {
			t.Error("the health has no description")
		}
	case <-ctx.Done():
		t.Fatal("no fingerprint in time")
	}
	cancel()
	closed(t, "fingerprints of an ended context", ch)
}

func caseEvents(t *testing.T, e *env) {
	source, ok := e.driver.(plugins.EventSource)
	if !ok {
		t.Skip("the driver has no events")
	}
	ctx, cancel := context.WithCancel(deadline(t))
	ch, err := source.TaskEvents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	closed(t, "events of an ended context", ch)
}

func caseUnknownTask(t *testing.T, e *env) {
	const id = "no-such-task"
	ctx := deadline(t)
	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, plugins.ErrTaskNotFound) {
			t.Errorf("%s of an unknown task: %v", call, err)
		}
	}
	_, err := e.driver.WaitTask(ctx, id)
	check("WaitTask", err)
	_, err = e.driver.InspectTask(ctx, id)
	check("InspectTask", err)
	_, err = e.driver.TaskStats(ctx, id, patience)
	check("TaskStats", err)
	check("StopTask", e.driver.StopTask(ctx, id, patience, ""))
	check("DestroyTask", e.driver.DestroyTask(ctx, id, false))
	check("DestroyTask by force", e.driver.DestroyTask(ctx, id, true))
	if s, ok := e.driver.(plugins.SignalTasker); e.caps.SendSignals && ok {
		check("SignalTask", s.SignalTask(ctx, id, "SIGUSR1"))
	}
	if x, ok := e.driver.(plugins.ExecTasker); e.caps.Exec && ok {
		_, err = x.ExecTask(ctx, id, []string{"true"}, patience)
		check("ExecTask", err)
		_, err = x.ExecTaskStreaming(ctx, id, &plugins.ExecOptions{Command: []string{"true"}})
		check("ExecTaskStreaming", err)
	}
}
