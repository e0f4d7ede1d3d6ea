package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// Patience for things that take milliseconds on an idle machine.
const Patience = 30 * time.Second

// stacksBytes bounds what is shown of the goroutines of an agent that hangs.
const stacksBytes = 512 << 10

// Agent is one agent of a site, running or not.
type Agent struct {
	Name string
	// Addr is its IP address; ports are the usual ones.
	Addr string
	// DataDir keeps its state over restarts.
	DataDir string
	API     *api.Client
	// UID is the user it runs as, 0 = the test's.
	UID uint32

	// Env is added to the environment of its CLI.
	Env []string
	// Faults is added to the environment of the agent: what binaries with the tag
	// steppe_faults read.
	Faults []string

	secure bool
	site   *Site
	bin    string // the site's own link to the binary
	conf   string
	cmd    *exec.Cmd
	done   chan error // gets the process' end once
}

// Agent adds an agent with a configuration in HCL; name, address, data directory
// and key are added. It is not started.
func (s *Site) Agent(name, conf string) *Agent {
	s.t.Helper()
	n := len(s.agents) + 11
	a := &Agent{Name: name, site: s, DataDir: filepath.Join(s.dir, name, "data"), Addr: fmt.Sprintf("127.%d.%d.%d", s.second, s.third, n)}
	if s.kind == Namespaces {
		a.Addr = fmt.Sprintf("%s%d", subnet, n)
		s.plug(name, a.Addr)
	}
	s.agents = append(s.agents, a)
	dir := filepath.Join(s.dir, name)
	a.bin, a.conf = filepath.Join(dir, "steppe"), filepath.Join(dir, "agent.hcl")
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Link(Binary, a.bin)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if a.API, err = api.New(api.Config{Address: a.URL(), Dial: s.dial}); err != nil {
		s.t.Fatal(err)
	}
	a.Configure(conf)
	return a
}

// Conf is the file of the agent's configuration.
func (a *Agent) Conf() string { return a.conf }

// Configure replaces the agent's configuration; the next start reads it.
func (a *Agent) Configure(conf string) {
	a.site.t.Helper()
	text := fmt.Sprintf("name = %q\nbind_addr = %q\n", a.Name, a.Addr)
	if !strings.Contains(conf, "data_dir") {
		text += fmt.Sprintf("data_dir = %q\n", a.DataDir)
	}
	if !strings.Contains(conf, "encrypt") {
		text += fmt.Sprintf("encrypt = %q\n", a.site.key)
	}
	if err := os.WriteFile(a.conf, []byte(text+conf), 0o644); err != nil {
		a.site.t.Fatal(err)
	}
}

// Append adds to the agent's configuration; the next start reads it.
func (a *Agent) Append(conf string) {
	a.site.t.Helper()
	text, err := os.ReadFile(a.conf)
	if err == nil {
		err = os.WriteFile(a.conf, append(text, conf...), 0o644)
	}
	if err != nil {
		a.site.t.Fatal(err)
	}
}

// URL is its HTTP address.
func (a *Agent) URL() string {
	if a.secure {
		return "https://" + a.Addr + ":4646"
	}
	return "http://" + a.Addr + ":4646"
}

// UseTLS has the test and the CLI talk to it with certificates.
func (a *Agent) UseTLS(c api.TLSConfig) {
	a.site.t.Helper()
	a.secure = true
	var err error
	if a.API, err = api.New(api.Config{Address: a.URL(), Dial: a.site.dial, TLS: c}); err != nil {
		a.site.t.Fatal(err)
	}
}

// command is the binary with args, where the agent stands (inside) or the test.
func (a *Agent) command(inside bool, args ...string) *exec.Cmd {
	if a.site.kind == Loopback {
		return exec.Command(a.bin, args...)
	}
	space := a.site.space("hub")
	if inside {
		space = a.site.space(a.Name)
	}
	// Not ip netns exec, which hides the control groups.
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + space, a.bin}, args...)...)
}

// Start starts the agent as it is configured, with further arguments.
func (a *Agent) Start(args ...string) {
	a.site.t.Helper()
	log, err := os.OpenFile(a.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		a.site.t.Fatal(err)
	}
	defer log.Close()
	a.cmd = a.command(true, append([]string{"agent", "-config", a.conf}, args...)...)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.UID != 0 {
		a.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.UID, Gid: a.UID}
	}
	a.cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(a.site.dir, a.Name), "STEPPE_FAULTS_CLOCK="+a.clockPath())
	a.cmd.Env = append(a.cmd.Env, a.Faults...)
	if err := a.cmd.Start(); err != nil {
		a.site.t.Fatal(err)
	}
	cmd, done := a.cmd, make(chan error, 1)
	a.done = done
	go func() { done <- cmd.Wait() }()
}

// Fails starts the agent, which must end by itself with an error, and returns
// what it said.
func (a *Agent) Fails(args ...string) string {
	a.site.t.Helper()
	if err := os.Remove(a.logPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.site.t.Fatal(err)
	}
	a.Start(args...)
	select {
	case err := <-a.done:
		if err == nil {
			a.site.t.Errorf("%s ended without an error", a.Name)
		}
	case <-time.After(Patience):
		a.site.t.Fatalf("%s did not refuse to start: %s", a.Name, a.Log(4000))
	}
	a.cmd = nil
	return a.Log(4000)
}

// PID is the agent's process.
func (a *Agent) PID() int { return a.cmd.Process.Pid }

// Signal signals the agent and waits for its end.
func (a *Agent) Signal(sig syscall.Signal) {
	a.site.t.Helper()
	if err := a.cmd.Process.Signal(sig); err != nil {
		a.site.t.Fatalf("signal %s: %v", a.Name, err)
	}
	select {
	case err := <-a.done:
		if err != nil && sig != syscall.SIGKILL {
			a.site.t.Errorf("%s ended with %v on %v", a.Name, err, sig)
		}
	case <-time.After(Patience):
		a.site.t.Fatalf("%s did not end on %v\n%s", a.Name, sig, a.stacks())
	}
	a.cmd = nil
}

// stacks ends an agent that hangs, and is what its goroutines did.
func (a *Agent) stacks() string {
	_ = a.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended just now
	time.Sleep(time.Second)
	return a.Log(stacksBytes)
}

// reap kills the agent, if it runs, and waits.
func (a *Agent) reap() {
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Kill() // it may have ended: then there is nothing to kill
	<-a.done
	a.cmd = nil
}

func (a *Agent) logPath() string { return filepath.Join(a.site.dir, a.Name, "agent.log") }

// Log is the end of the agent's log, at most max bytes.
func (a *Agent) Log(max int) string {
	b, err := os.ReadFile(a.logPath())
	if err != nil {
		return err.Error()
	}
	if len(b) > max {
		b = b[len(b)-max:]
	}
	return string(b)
}

// CLI runs a command of the CLI against the agent; both its outputs are returned.
func (a *Agent) CLI(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var out bytes.Buffer
	cmd := a.command(false, args...)
	cmd.Env = append(append(os.Environ(), "STEPPE_ADDR="+a.URL()), a.Env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	return out.String(), errors.Join(err, ctx.Err())
}

// Nodes checks that n nodes are ready with their drivers healthy.
func (a *Agent) Nodes(n int) error {
	nodes, _, err := a.API.Nodes().List(short(), nil)
	if err != nil {
		return err
	}
	ready := 0
	for _, x := range nodes {
		if d := x.Drivers["raw_exec"]; x.Status == model.NodeStatusReady && d != nil && d.Healthy {
			ready++
		}
	}
	if ready != n {
		return fmt.Errorf("%d of %d nodes are ready", ready, n)
	}
	return nil
}

// Leader is the name of the agent that leads as a sees it.
func (a *Agent) Leader() (*Agent, error) {
	addr, err := a.API.Cluster().Leader(short())
	if err != nil {
		return nil, err
	}
	for _, x := range a.site.agents {
		if strings.HasPrefix(addr, x.Addr+":") {
			return x, nil
		}
	}
	return nil, fmt.Errorf("no agent of the site leads: %q", addr)
}

// short bounds one request of a poll; its timer is left to the runtime.
func short() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// TLSConn is a connection to its HTTP port.
func (a *Agent) TLSConn(c api.TLSConfig) (*tls.Conn, error) {
	conf, err := c.Load()
	if err != nil {
		return nil, err
	}
	raw, err := a.site.dial(short(), "tcp", a.Addr+":4646")
	if err != nil {
		return nil, err
	}
	conf.ServerName = a.Addr
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(short()); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}
