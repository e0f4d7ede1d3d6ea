package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/bench/proc"
)

const (
	// patience bounds everything that is waited for.
	patience = 5 * time.Minute
	// look is the pause between two looks at something awaited.
	look = 20 * time.Millisecond
	// tailBytes is how much of a server's log an error shows.
	tailBytes = 3000
	// servers of the cluster.
	servers = 3
)

// server is one server, running or not.
type server struct {
	name, addr, dir string
	bin             string
	api             *api.Client
	cmd             *exec.Cmd // nil while it does not run
}

// cluster is three servers on loopback addresses.
type cluster struct {
	dir     string
	key     []byte
	servers []*server
}

func startCluster(ctx context.Context, steppe string) (c *cluster, err error) {
	c = &cluster{key: make([]byte, 32)}
	if _, err := rand.Read(c.key); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "steppe-fleet-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	var noise [2]byte
	if _, err := rand.Read(noise[:]); err != nil {
		return nil, err
	}
	for i := range servers {
		s := &server{name: fmt.Sprintf("s%d", i+1), addr: fmt.Sprintf("127.%d.%d.%d", 64+noise[0]%128, noise[1], 11+i), bin: steppe}
		s.dir = filepath.Join(c.dir, s.name)
		if s.api, err = api.New(api.Config{Address: "http://" + s.addr + ":4646"}); err != nil {
			return nil, err
		}
		c.servers = append(c.servers, s)
		if err := c.configure(s); err != nil {
			return nil, err
		}
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	return c, await(ctx, "the cluster is complete", func() error {
		h, err := c.servers[0].api.Cluster().AutopilotHealth(ctx)
		if err == nil && (len(h.Servers) != servers || !h.Healthy) {
			err = fmt.Errorf("%d servers, healthy: %v", len(h.Servers), h.Healthy)
		}
		return err
	})
}

func (c *cluster) configure(s *server) error {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	conf := fmt.Sprintf("name = %q\nbind_addr = %q\ndata_dir = %q\nencrypt = %q\nenable_debug = true\nlimits {\n rpc_max_conns_per_client = 0\n}\n"+
		"server {\n enabled = true\n bootstrap_expect = %d\n retry_join = [%q]\n retry_interval = \"1s\"\n}\n",
		s.name, s.addr, filepath.Join(s.dir, "data"), base64.StdEncoding.EncodeToString(c.key), servers, c.servers[0].addr)
	return os.WriteFile(filepath.Join(s.dir, "agent.hcl"), []byte(conf), 0o600)
}

func (s *server) start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.bin, "agent", "-config", filepath.Join(s.dir, "agent.hcl"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	return nil
}

// kill ends the server at once.
func (s *server) kill() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	err := cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	return err
}

// stop kills all servers and removes their files.
func (c *cluster) stop() error {
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.kill())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// leader is the server that leads as a running one sees it, nil for none.
func (c *cluster) leader(ctx context.Context) *server {
	for _, s := range c.servers {
		if s.cmd == nil {
			continue
		}
		addr, err := s.api.Cluster().Leader(ctx)
		if err != nil {
			continue
		}
		for _, l := range c.servers {
			if l.cmd != nil && strings.HasPrefix(addr, l.addr+":") {
				return l
			}
		}
	}
	return nil
}

// tails are the ends of the servers' logs.
func (c *cluster) tails() string {
	out := ""
	for _, s := range c.servers {
		b, err := os.ReadFile(filepath.Join(s.dir, "log"))
		if err != nil {
			b = []byte(err.Error())
		}
		out += "--- " + s.name + "\n" + string(b[max(0, len(b)-tailBytes):])
	}
	return out
}

// usage is what the running servers cost: PSS in MB, and processor time.
func (c *cluster) usage() (mb float64, cpu time.Duration, err error) {
	for _, s := range c.servers {
		if s.cmd == nil {
			continue
		}
		pss, spent, err := proc.Cost(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid)))
		if err != nil {
			return 0, 0, err
		}
		mb, cpu = mb+pss, cpu+spent
	}
	return mb, cpu, nil
}

// await polls until check returns nil.
func await(ctx context.Context, what string, check func() error) error {
	end := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v: %w", what, patience, err)
		}
		time.Sleep(look)
	}
}
