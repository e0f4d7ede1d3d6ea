package faults

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nobody is the user without rights.
const nobody = 65534

// TestRefusals: agents that cannot start say why and what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s, first := single(t)
	other := s.Agent("other", bothRoles)
	says := func(what string, words ...string) {
		t.Helper()
		out := other.Fails()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in %s", what, w, out)
			}
		}
		if strings.Contains(out, "goroutine ") {
			t.Errorf("%s: a crash: %s", what, out)
		}
	}
	for port, name := range map[string]string{"4646": "http", "4647": "rpc", "4648": "serf", "4649": "wan"} {
		l, err := net.Listen("tcp", net.JoinHostPort(other.Addr, port))
		if err != nil {
			t.Fatal(err)
		}
		says("port of "+name, "another process", other.Addr+":"+port, "ports."+name)
		l.Close()
	}
	other.Configure(bothRoles + "data_dir = \"" + first.DataDir + "\"\n")
	says("data directory in use", "in use by another agent", first.DataDir)
	other.Configure(bothRoles)
	if err := os.WriteFile(filepath.Join(other.DataDir, "format"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	says("newer data", "newer version", "format 99", other.DataDir)
	if b, err := os.ReadFile(filepath.Join(other.DataDir, "format")); err != nil || string(b) != "99\n" {
		t.Errorf("the format file was changed to %q: %v", b, err)
	}
	if os.Geteuid() == 0 {
		other.UID = nobody
		says("a data directory of root", "permission", other.DataDir)
		other.UID = 0
	}
	if err := os.RemoveAll(other.DataDir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	says("a file for a data directory", other.DataDir, "directory")
	if err := first.Nodes(1); err != nil {
		t.Errorf("the first agent minds: %v", err)
	}
}
