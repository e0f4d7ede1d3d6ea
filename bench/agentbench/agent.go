package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/bench/proc"
	"github.com/steppe-project/steppe/model"
)

// startPatience bounds how long the agent may take to be ready, and to end.
const startPatience = 30 * time.Second

// tailBytes is how much of the agent's log an error shows.
const tailBytes = 2000

// agent is the measured dev agent.
type agent struct {
	dir  string
	bin  string
	http string
	cmd  *exec.Cmd
	api  *api.Client
	done chan error
}

// startAgent starts a dev agent on free ports and waits until its drivers are
// healthy.
func startAgent(ctx context.Context, steppe string) (a *agent, err error) {
	a = &agent{done: make(chan error, 1)}
	if a.dir, err = os.MkdirTemp("", "steppe-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(a.dir))
		}
	}()
	a.bin = filepath.Join(a.dir, "steppe")
	if err := copyFile(steppe, a.bin); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(a.dir, "ports.hcl")
	text := fmt.Sprintf("ports {\n  http = %d\n  rpc = %d\n  serf = %d\n}\n", ports[0], ports[1], ports[2])
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(a.dir, "agent.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	a.cmd = exec.Command(a.bin, "agent", "-dev", "-config", conf)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	a.http = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if a.api, err = api.New(api.Config{Address: a.http}); err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { a.done <- a.cmd.Wait() }()
	if err := a.ready(ctx); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

func (a *agent) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		nodes, _, err := a.api.Nodes().List(ctx, nil)
		if err == nil && len(nodes) == 1 && nodes[0].Status == model.NodeStatusReady {
			if d := nodes[0].Drivers["raw_exec"]; d != nil && d.Healthy {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent did not become ready: %s", a.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settlePatience is how long a driver may take to be healthy after another is.
const settlePatience = 5 * time.Second

// driver says whether the agent offers a driver, healthy.
func (a *agent) driver(ctx context.Context, name string) (bool, error) {
	for end := time.Now().Add(settlePatience); ; {
		nodes, _, err := a.api.Nodes().List(ctx, nil)
		if err != nil || len(nodes) != 1 {
			return false, err
		}
		if d := nodes[0].Drivers[name]; d != nil && d.Healthy {
			return true, nil
		}
		if time.Now().After(end) {
			return false, nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// stop ends the agent and removes what it was started from.
func (a *agent) stop() error {
	if err := a.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	var err error
	select {
	case err = <-a.done:
	case <-time.After(startPatience):
		err = errors.Join(errors.New("the agent did not end on SIGINT"), a.cmd.Process.Kill())
		<-a.done
	}
	return errors.Join(err, os.RemoveAll(a.dir))
}

func (a *agent) tail() string {
	b, err := os.ReadFile(filepath.Join(a.dir, "agent.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-tailBytes):])
}

// usage is what all processes of the agent's binary cost together.
type usage struct {
	agent, drivers, shims float64       // PSS in MB
	processes             int           // all of them
	cpu                   time.Duration // since their start
}

func (u usage) total() float64 { return u.agent + u.drivers + u.shims }

// usage reads /proc for every process that runs the agent's binary.
func (a *agent) usage() (usage, error) {
	var u usage
	self, err := os.Stat(a.bin)
	if err != nil {
		return u, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return u, err
	}
	for _, e := range entries {
		dir := filepath.Join("/proc", e.Name())
		exe, err := os.Stat(filepath.Join(dir, "exe"))
		if err != nil || !os.SameFile(self, exe) {
			continue
		}
		pss, cpu, err := proc.Cost(dir)
		if err != nil {
			continue // it has just ended
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		words := strings.Split(string(cmdline), "\x00")
		switch {
		case slices.Contains(words, "__driver"):
			u.drivers += pss
		case slices.Contains(words, "agent"):
			u.agent += pss
		default:
			u.shims += pss
		}
		u.cpu += cpu
		u.processes++
	}
	return u, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// freePorts asks the system for n ports that were free a moment ago.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
