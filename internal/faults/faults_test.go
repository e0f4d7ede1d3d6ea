package faults

import (
	"os"
	"testing"

	"github.com/steppe-project/steppe/api"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// Configurations of agents.
const (
	options    = ` options = { "driver.raw_exec.enable" = "1" }` + "\n"
	bothRoles  = "server {\n enabled = true\n bootstrap_expect = 1\n}\nclient {\n enabled = true\n" + options + "}\n"
	serverOnly = "server {\n enabled = true\n bootstrap_expect = 1\n}\n"
)

func clientOf(server *Agent) string {
	return "client {\n enabled = true\n servers = [\"" + server.Addr + "\"]\n" + options + "}\n"
}

// single is a site of one started agent of both roles.
func single(t testing.TB) (*Site, *Agent) {
	s := NewSite(t, Loopback)
	a := s.Agent("one", bothRoles)
	a.Start()
	s.Await("the agent is ready", Patience, func() error { return a.Nodes(1) })
	return s, a
}

// drivers that tests of tasks run with: exec needs root.
func taskDrivers() []string {
	if os.Geteuid() != 0 {
		return []string{"raw_exec"}
	}
	return []string{"raw_exec", "exec"}
}

// each is the names of a test's jobs, one of each driver.
func each(prefix string) []string {
	var out []string
	for _, d := range taskDrivers() {
		out = append(out, prefix+d)
	}
	return out
}

var staleRead = &api.Query{Stale: true}
