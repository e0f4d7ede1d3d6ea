package exec

import (
	"testing"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/suite"
)

func newAsPlugin() plugins.Driver { return New() }

func TestMain(m *testing.M) { suite.Main(m, newAsPlugin) }

func TestConformance(t *testing.T) {
	if err := New().usable(); err != nil {
		t.Skip(err)
	}
	suite.All(t, newAsPlugin, suite.Options{Config: func(p suite.Program) map[string]any {
		if p.Missing {
			return map[string]any{"command": "/no/such/program"}
		}
		return map[string]any{"command": "/bin/sh", "args": []string{"-c", p.Shell()}}
	}})
}
