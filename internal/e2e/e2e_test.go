package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// shared is the dev agent of all tests that do not start their own.
var shared *agent

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "ste") // short: paths of sockets must be
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		return fail(err)
	}
	if shared, err = newAgent(filepath.Join(dir, "shared"), true, ""); err != nil {
		return fail(err)
	}
	if err := shared.start(); err != nil {
		return fail(err)
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		return fail(err)
	}
	return code
}

// scriptTime bounds all scripts of a test: what hangs is then told with its log.
const scriptTime = 5 * time.Minute

func TestScripts(t *testing.T) { scripts(t, "../../command/testdata/script", shared.addr()) }

// Each of these starts its own agents.
func TestScriptsWithOwnAgents(t *testing.T) {
	scripts(t, "../../command/testdata/script-own", "")
}

func scripts(t *testing.T, dir, addr string) {
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireUniqueNames: true, Cmds: commands(), Setup: setup(addr), Deadline: time.Now().Add(scriptTime),
		Condition: condition,
	})
}

// condition is what a script can ask of the machine.
func condition(name string) (bool, error) {
	_, v1 := os.Stat("/sys/fs/cgroup/memory/cgroup.procs")
	_, v2 := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	switch name {
	case "cgroup1":
		return v1 == nil, nil
	case "container":
		return os.Geteuid() == 0 && (v1 == nil || v2 == nil), nil
	}
	return false, fmt.Errorf("no such condition: %s", name)
}

// agents are those of one script.
type agents map[string]*agent

type agentsKey struct{}

func setup(addr string) func(*testscript.Env) error {
	return func(env *testscript.Env) error {
		all := agents{}
		env.Values[agentsKey{}] = all
		env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
		env.Setenv("STEPPE_ADDR", addr)
		dir, err := os.MkdirTemp("", "ste")
		if err != nil {
			return err
		}
		env.Setenv("AGENTS", dir)
		env.Defer(func() {
			for name, a := range all {
				if err := a.close(); err != nil {
					env.T().Log("agent "+name+": ", err)
					env.T().FailNow()
				}
			}
			_ = os.RemoveAll(dir) // below the system's directory for such
		})
		return nil
	}
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"code": cmdCode, "until": cmdUntil, "set": cmdSet, "agent": cmdAgent, "end": ending(syscall.SIGINT), "crash": ending(syscall.SIGKILL),
	}
}

func usage(ts *testscript.TestScript, neg bool, args []string, least int, form string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", form)
	}
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "code N PROGRAM ARGS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCode(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("%s ended with %d, not %d", args[1], got, want)
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	if err == nil {
		return 0
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		ts.Fatalf("%v", err)
	}
	return exit.ExitCode()
}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "until PATTERN PROGRAM ARGS...")
	pattern := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pollEvery) {
		_ = ts.Exec(args[1], args[2:]...) // what it says is what counts
		if pattern.MatchString(ts.ReadFile("stdout")) || pattern.MatchString(ts.ReadFile("stderr")) {
			return
		}
	}
	ts.Fatalf("%q never matched", args[0])
}

func cmdSet(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "set NAME PROGRAM ARGS...")
	ts.Check(ts.Exec(args[1], args[2:]...))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "agent NAME [-dev] [FILE]")
	all := ts.Value(agentsKey{}).(agents)
	name, rest := args[0], args[1:]
	a := all[name]
	if a == nil {
		dev, conf := false, ""
		for _, x := range rest {
			if x == "-dev" {
				dev = true
			} else {
				conf = ts.MkAbs(x)
			}
		}
		var err error
		a, err = newAgent(filepath.Join(ts.Getenv("AGENTS"), name), dev, conf)
		ts.Check(err)
		all[name] = a
	}
	ts.Check(a.start())
	ts.Setenv("STEPPE_ADDR", a.addr())
	for i, p := range []string{"PORT_HTTP", "PORT_RPC", "PORT_SERF"} {
		ts.Setenv(p, strconv.Itoa(a.ports[i]))
	}
}

func ending(sig syscall.Signal) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		usage(ts, neg, args, 1, "end NAME")
		a := ts.Value(agentsKey{}).(agents)[args[0]]
		if a == nil {
			ts.Fatalf("no agent %s", args[0])
		}
		ts.Check(a.signal(sig))
	}
}
