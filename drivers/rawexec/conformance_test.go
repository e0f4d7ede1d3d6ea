package rawexec

import (
	"testing"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/suite"
)

func newAsPlugin() plugins.Driver { return New() }

func TestMain(m *testing.M) { suite.Main(m, newAsPlugin) }

func program(p suite.Program) map[string]any {
	if p.Missing {
		return map[string]any{"command": "/no/such/program"}
	}
	return map[string]any{"command": "/bin/sh", "args": []string{"-c", p.Shell()}}
}

func TestConformance(t *testing.T) {
	suite.All(t, newAsPlugin, suite.Options{PluginConfig: map[string]any{"enabled": true}, Config: program})
}

func TestConformanceWithoutCgroups(t *testing.T) {
	suite.Driver(t, suite.InProcess(newAsPlugin), suite.Options{
		PluginConfig: map[string]any{"enabled": true, "no_cgroups": true}, Config: program,
	})
}
