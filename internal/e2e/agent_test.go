package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/api"
)

const (
	// patience is for what takes milliseconds on an idle machine.
	patience = 60 * time.Second
	// pollEvery is how often a condition is looked at.
	pollEvery = 25 * time.Millisecond
)

// binary is the program under test, built by TestMain.
var binary string

func build(dir string) error {
	binary = filepath.Join(dir, "steppe")
	cmd := exec.Command("go", "build", "-tags", "seccomp,netgo,osusergo,runc_nocriu", "-o", binary, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building steppe: %v\n%s", err, out)
	}
	return nil
}

// agent is one agent process, running or not.
type agent struct {
	dir   string
	ports [3]int // http, rpc, serf
	args  []string
	cmd   *exec.Cmd
	done  chan struct{}
	log   output
	// crashed tells that it was killed: its tasks go on.
	crashed bool
}

// output is a log that is written and read at once.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// tail is the end of the log.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.buf.Bytes()
	return string(b[max(0, len(b)-4000):])
}

// newAgent makes an agent with free ports. conf is a file of configuration, or "".
func newAgent(dir string, dev bool, conf string) (*agent, error) {
	a := &agent{dir: dir}
	var err error
	if a.ports, err = freePorts(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("ports {\n  http = %d\n  rpc  = %d\n  serf = %d\n  wan  = -1\n}\n", a.ports[0], a.ports[1], a.ports[2])
	if !dev {
		text += fmt.Sprintf("bind_addr = \"127.0.0.1\"\ndata_dir = %q\nleave_on_interrupt = true\n", filepath.Join(dir, "data"))
	}
	own := filepath.Join(dir, "own.hcl")
	if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
		return nil, err
	}
	a.args = []string{"agent", "-config", own}
	if dev {
		a.args = append(a.args, "-dev")
	}
	if conf != "" {
		a.args = append(a.args, "-config", conf)
	}
	return a, nil
}

// freePorts are ports that nobody listens on at present.
func freePorts() (ports [3]int, err error) {
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

func (a *agent) addr() string { return fmt.Sprintf("http://127.0.0.1:%d", a.ports[0]) }

// start starts it and waits until it has a leader and a node that is ready.
func (a *agent) start() error {
	a.cmd = exec.Command(binary, a.args...)
	a.cmd.Stdout, a.cmd.Stderr = &a.log, &a.log
	// A group of its own: an interrupt at the terminal reaches the tests first.
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := a.cmd.Start(); err != nil {
		return err
	}
	a.done, a.crashed = make(chan struct{}), false
	go func() {
		_ = a.cmd.Wait() // its state is looked at below
		close(a.done)
	}()
	client, err := api.New(api.Config{Address: a.addr()})
	if err != nil {
		return err
	}
	return a.await("a ready node", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		nodes, _, err := client.Nodes().List(ctx, &api.Query{Filter: `Status == "ready"`})
		return err == nil && len(nodes) > 0
	})
}

// await polls until a condition holds; it fails when the agent ends meanwhile.
func (a *agent) await(what string, holds func() bool) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pollEvery) {
		if holds() {
			return nil
		}
		select {
		case <-a.done:
			return fmt.Errorf("waiting for %s, the agent ended: %v\n%s", what, a.cmd.ProcessState, a.log.tail())
		default:
		}
	}
	return fmt.Errorf("no %s within %v; the agent's log:\n%s", what, patience, a.log.tail())
}

func (a *agent) running() bool {
	if a.done == nil {
		return false
	}
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

// signal ends it and waits for its end. SIGINT must be a good end.
func (a *agent) signal(sig syscall.Signal) error {
	if !a.running() {
		return errors.New("the agent does not run")
	}
	if err := a.cmd.Process.Signal(sig); err != nil {
		return err
	}
	a.crashed = sig == syscall.SIGKILL
	select {
	case <-a.done:
	case <-time.After(patience):
		_ = a.cmd.Process.Kill() // the error is told already
		<-a.done
		return fmt.Errorf("the agent did not end within %v:\n%s", patience, a.log.tail())
	}
	if sig == syscall.SIGINT && !a.cmd.ProcessState.Success() {
		return fmt.Errorf("the agent ended with %v:\n%s", a.cmd.ProcessState, a.log.tail())
	}
	return nil
}

// close ends it with all of its tasks. One that was killed is started again for
// that, since tasks outlive agents.
func (a *agent) close() error {
	if !a.running() {
		if !a.crashed {
			return nil
		}
		if err := a.start(); err != nil {
			return err
		}
	}
	return a.signal(syscall.SIGINT)
}
