// Package deptest holds the import rules of the house as data, each ban with
// its reason, and checks them against the source.
package deptest

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/steppe-project/steppe/"

// rule bans imports from the packages below a folder ("" suffix: that one only;
// "/..." : all below). Tests are not bound.
type rule struct {
	pkgs   string
	ban    []string // prefixes; ours without the module path
	except []string
	only   []string // of ours: nothing else but these
	why    string
}

var rules = []rule{
	{pkgs: "model", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model/relation", "model/depends"},
		why: "the words of the domain are pure: no clock, no dice, no input or output"},
	{pkgs: "model/relation", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"-"},
		why: "the language of constraints is part of the model, and knows nothing of jobs"},
	{pkgs: "model/depends", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"-"},
		why: "a block of the job language, and knows nothing of jobs"},
	{pkgs: "model/precedence", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "cycles are refused in apply, on every server the same"},
	{pkgs: "model/level", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "the gate goes by it, on every server the same"},
	{pkgs: "model/lease", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "both ends of the fence go by it, and the scheduler: times are arguments"},
	{pkgs: "model/feature", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"-"},
		why: "the state machine goes by it, and the CLI shows it"},
	{pkgs: "agent/consensus/pilot", only: []string{"model", "agent/consensus"}, why: "who votes is decided from what it is told"},
	{pkgs: "model/drain", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "scheduler, state machine and CLI mean the same by a drain"},
	{pkgs: "model/course", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "apply goes by it, on every server the same"},
	{pkgs: "model/deploy", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "scheduler, state machine, leader and CLI mean the same by a deployment"},
	{pkgs: "model/stateful", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "scheduler, state machine, leader and CLI mean the same by a stateful group"},
	{pkgs: "model/jobdiff", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "servers, API and CLI speak of the same difference"},
	{pkgs: "model/insight", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "servers, API and CLI speak of the same explanations"},
	{pkgs: "model/deadline", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "nodes and scheduler mean the same by work that had no time left: times are arguments"},
	{pkgs: "model/gang", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "scheduler and CLI mean the same by a gang"},
	{pkgs: "model/level", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "apply goes by it, on every server the same"},
	{pkgs: "model/grant", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "apply goes by it, on every server the same"},
	{pkgs: "model/intern", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "the state machine goes through it: a node means the same before and after"},
	{pkgs: "model/launch", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "what a child is made of is decided in apply"},
	{pkgs: "model/tenancy", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs", "time"}, only: []string{"model"},
		why: "who may ask for how much is decided in apply"},
	{pkgs: "model/cron", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "the leader launches by it, and the CLI shows it: times are arguments"},
	{pkgs: "model/rules", ban: []string{"context", "sync", "net", "os", "log", "math/rand", "io/fs"}, only: []string{"model"},
		why: "the CLI, the HTTP API and the leader ask the same of a job"},
	{pkgs: "plugins", only: []string{"-"}, why: "a third party implements it and must not pull in the house"},
	{pkgs: "sched/...", only: []string{"model", "sched"}, ban: []string{"context", "log", "log/slog", "os", "net", "sync", "crypto/rand", "math/rand", "github.com/google/uuid", "github.com/hashicorp/go-memdb"},
		except: []string{"math/rand/v2"}, why: "a decision is a function of its arguments"},
	{pkgs: "fsm/...", only: []string{"model", "fsm"}, ban: []string{"model/cron", "model/rules", "net", "os", "log", "log/slog", "crypto/rand", "math/rand", "github.com/google/uuid", "github.com/hashicorp/raft"},
		why: "apply is a function of state and entry, on every server the same"},
	{pkgs: "plugins/wire", only: []string{"plugins"}, why: "the wire knows only the contract"},
	{pkgs: "plugins/proxy", only: []string{"plugins"}, why: "a client of the wire"},
	{pkgs: "plugins/serve", only: []string{"plugins"}, why: "what a driver author links"},
	{pkgs: "plugins/host", only: []string{"plugins"}, why: "the process host knows nothing of jobs"},
	{pkgs: "drivers/...", only: []string{"plugins", "drivers/shim", "drivers/entry", "drivers/internal"}, why: "drivers know their contract and the OS, not the house and not one another"},
	{pkgs: "api/...", only: []string{"model", "api"}, ban: []string{"github.com/hashicorp/go-memdb", "google.golang.org/grpc"}, why: "the public SDK speaks model over HTTP"},
	{pkgs: "agent/config", only: []string{"-"}, why: "configuration is read by others, not the other way round"},
	{pkgs: "agent/rpc/...", only: []string{"model", "agent/rpc"}, why: "transport carries messages and knows nobody who sends them"},
	{pkgs: "agent/consensus", only: []string{"model", "fsm", "internal", "agent/consensus/space", "agent/consensus/guard", "agent/consensus/segments", "agent/consensus/migrate", "agent/consensus/trouble"}, why: "the raft host replicates bytes"},
	{pkgs: "agent/consensus/segments", only: []string{"internal/durable", "agent/consensus/guard"}, why: "files know nothing of what is in them"},
	{pkgs: "agent/consensus/migrate", only: []string{"internal/durable", "agent/consensus/guard", "agent/consensus/segments"}, why: "a log is copied as it is"},
	{pkgs: "agent/consensus/trouble", only: []string{"internal/durable", "agent/consensus/guard", "agent/consensus/space"}, why: "what to do about a disk does not depend on what is written"},
	{pkgs: "agent/gossip", only: []string{"model", "internal"}, why: "membership is a fact, not a decision"},
	{pkgs: "agent/keyring", only: []string{"model"}, why: "keys are kept for whoever encrypts"},
	{pkgs: "agent/loop", only: []string{"model", "fsm"}, why: "the runner knows components by their interface"},
	{pkgs: "agent/server/...", only: []string{"model", "fsm", "sched", "agent/rpc", "agent/loop", "agent/server", "agent/consensus", "agent/gossip", "internal"}, why: "siblings on floor 4 never import one another"},
	{pkgs: "agent/client/...", only: []string{"model", "plugins", "drivers", "agent/rpc", "agent/client", "internal"}, why: "siblings on floor 4 never import one another"},
	{pkgs: "agent/httpapi/...", only: []string{"model", "agent/rpc", "api", "agent/httpapi", "website/console", "internal"}, why: "siblings on floor 4 never import one another"},
	{pkgs: "command/...", only: []string{"model", "api", "command", "internal", "agent", "agent/config"}, why: "the CLI talks to the HTTP API only"},
}

// onlyAllowed lists who may import something at all.
var onlyAllowed = map[string][]string{
	"agent": {"command/agent", "sim", ""},
	"sim":   {""},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func (r rule) covers(rel string) bool {
	if base, ok := strings.CutSuffix(r.pkgs, "/..."); ok {
		return rel == base || strings.HasPrefix(rel, base+"/")
	}
	return rel == r.pkgs
}

func under(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func (r rule) allows(imp string) bool {
	if ours, ok := strings.CutPrefix(imp, module); ok {
		for _, b := range r.ban {
			if under(ours, b) {
				return false
			}
		}
		if len(r.only) == 0 {
			return true
		}
		for _, o := range r.only {
			if under(ours, o) && (o != "agent" || ours == "agent") {
				return true
			}
		}
		return false
	}
	for _, e := range r.except {
		if imp == e {
			return true
		}
	}
	for _, b := range r.ban {
		if under(imp, b) {
			return false
		}
	}
	return true
}

func TestImportRules(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t) {
		rel := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, strings.TrimSuffix(module, "/")), "/")
		for _, r := range rules {
			if !r.covers(rel) {
				continue
			}
			seen[r.pkgs] = true
			for _, imp := range p.Imports {
				if !r.allows(imp) {
					t.Errorf("%s imports %s: %s", rel, imp, r.why)
				}
			}
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			if !ok {
				continue
			}
			if who, limited := onlyAllowed[ours]; limited && !contains(who, rel) {
				t.Errorf("%s imports %s, which only %v may", rel, ours, who)
			}
		}
	}
	for _, r := range rules {
		if !seen[r.pkgs] {
			t.Errorf("rule for %s covers no package: remove or mend it", r.pkgs)
		}
	}
}

func TestNobodyImportsNomad(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, l := range strings.Fields(string(out)) {
		if strings.HasPrefix(l, "github.com/hashicorp/nomad") {
			t.Errorf("%s is imported: Nomad's core is source-available", l)
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
