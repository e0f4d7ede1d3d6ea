package plugins_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/steppe-project/steppe/"

// TestClosures is the budget of what a plugin's author links: the contract is
// the standard library alone, and serving a plugin adds the wire and nothing of
// the house.
func TestClosures(t *testing.T) {
	cases := []struct {
		pkg string
		// allowed are the prefixes of packages outside of the standard library.
		allowed []string
	}{
		{"plugins", []string{module + "plugins"}},
		{"plugins/wire", []string{module + "plugins", "google.golang.org/", "golang.org/x/"}},
		{"plugins/serve", []string{
			module + "plugins", "google.golang.org/", "golang.org/x/", "github.com/golang/protobuf/",
			"github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog", "github.com/hashicorp/yamux",
			"github.com/oklog/run", "github.com/fatih/color", "github.com/mattn/go-",
		}},
	}
	never := []string{"plugins/host", "plugins/suite"}
	for _, c := range cases {
		t.Run(c.pkg, func(t *testing.T) {
			for _, dep := range dependencies(t, module+c.pkg) {
				if !allowed(dep, c.allowed) {
					t.Errorf("imports %s", dep)
				}
				for _, n := range never {
					if dep == module+n {
						t.Errorf("imports %s, which is the agent's", dep)
					}
				}
			}
		})
	}
}

func allowed(dep string, prefixes []string) bool {
	for _, p := range prefixes {
		if dep == p || strings.HasPrefix(dep, strings.TrimSuffix(p, "/")+"/") || strings.HasSuffix(p, "-") && strings.HasPrefix(dep, p) {
			return true
		}
	}
	return false
}

// dependencies lists what pkg links, without the standard library.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}
