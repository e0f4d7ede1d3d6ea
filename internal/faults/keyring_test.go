package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// keyPlan is three servers and three clients, of which the last is down while the
// key is changed.
type keyPlan struct {
	*Site
	t       *testing.T
	servers []*Agent
	clients []*Agent
	away    *Agent
	a, b    string // the keys
}

func newKeyPlan(t *testing.T) *keyPlan {
	s, servers, clients := cluster(t)
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return &keyPlan{Site: s, t: t, servers: servers, clients: clients[:2], away: clients[2], a: s.Key(), b: base64.StdEncoding.EncodeToString(raw)}
}

func (p *keyPlan) all() []*Agent { return append(append([]*Agent{}, p.servers...), p.clients...) }

// step runs a command on keys.
func (p *keyPlan) step(args ...string) string {
	p.t.Helper()
	out, err := p.clients[0].CLI(append([]string{"operator", "gossip", "keyring"}, args...)...)
	if err != nil {
		p.t.Fatalf("%v: %v: %s", args[0], err, out)
	}
	return out
}

// refused runs a command on keys that must be refused.
func (p *keyPlan) refused(want string, args ...string) {
	p.t.Helper()
	out, err := p.servers[1].CLI(append([]string{"operator", "gossip", "keyring"}, args...)...)
	if err == nil || !strings.Contains(out, want) {
		p.t.Errorf("%v: %v: %q, wanted %q", args[0], err, out, want)
	}
	if strings.Contains(out, args[1]) {
		p.t.Errorf("%v: the key is in %q", args[0], out)
	}
}

// TestKeyRotation changes the key of a cluster under running writes: no write
// fails, the leader stays, no task restarts; afterwards the old key opens nothing.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	p := newKeyPlan(t)
	p.away.Signal(syscall.SIGKILL)
	p.Await("the loss of the client is known", Patience, func() error { return p.servers[0].Nodes(2) })
	p.servers[0].Register(p.Script("four", model.JobTypeService, "raw_exec", 4, Forever))
	p.servers[0].AwaitRunning("four", 4)
	before := p.Tasks()
	term := p.term()
	writes := p.write()
	p.rotate()
	n, worst, err := writes()
	if err != nil {
		t.Errorf("writes: %v", err)
	}
	t.Logf("%d writes while the key was changed: slowest %v", n, worst.Round(time.Millisecond))
	if now := p.term(); now != term {
		t.Errorf("leader and term were %s, are %s", term, now)
	}
	if now := p.Tasks(); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("tasks were %v, are %v", before, now)
	}
	p.afterwards()
	p.noKeyInLogs()
	p.servers[0].AwaitGone("four")
}

// term is who leads in which term.
func (p *keyPlan) term() string {
	p.t.Helper()
	self, err := p.servers[0].API.Cluster().Self(short())
	if err != nil {
		p.t.Fatal(err)
	}
	leader, err := p.servers[0].Leader()
	if err != nil {
		p.t.Fatal(err)
	}
	raft := self["stats"].(map[string]any)["raft"].(map[string]any)
	return fmt.Sprintf("%s, %v", leader.Name, raft["term"])
}

// write registers jobs through a follower and a client until the end is called,
// which tells how many there were, how long the slowest took, and what failed.
func (p *keyPlan) write() (end func() (int, time.Duration, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	n, worst := 0, time.Duration(0)
	var errs []error
	for _, a := range []*Agent{p.servers[0], p.servers[1], p.servers[2], p.clients[1]} {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				_, err := a.API.Jobs().Register(short(), p.Script(fmt.Sprintf("w-%s-%d", a.Name, i), model.JobTypeService, "raw_exec", 0, Forever), nil)
				mu.Lock()
				n, worst = n+1, max(worst, time.Since(began))
				if err != nil {
					errs = append(errs, fmt.Errorf("write %d through %s: %w", i, a.Name, err))
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, time.Duration, error) {
		cancel()
		wg.Wait()
		return n, worst, errors.Join(errs...)
	}
}

// rotate changes the key, and tries what must be refused on the way.
func (p *keyPlan) rotate() {
	t := p.t
	p.refused("would be cut off", "use", p.b)
	p.refused("sends with that key", "remove", p.a)
	p.refused("not a key in base64", "install", "short")
	if out := p.step("install", p.b); !strings.Contains(out, "Installed on 5 agents") || !strings.Contains(out, p.away.Name) {
		t.Errorf("install: %s", out)
	}
	if out := p.step("list"); strings.Count(out, "5/5") != 3 || !strings.Contains(out, "0/5") {
		t.Errorf("list: %s", out)
	}
	// While both keys are understood, an agent with the old one still joins.
	p.refused("sends with that key", "remove", p.a)
	if out := p.step("use", p.b); !strings.Contains(out, "Used by 5 agents") {
		t.Errorf("use: %s", out)
	}
	if out := p.step("remove", p.a); !strings.Contains(out, "Removed from 5 agents") {
		t.Errorf("remove: %s", out)
	}
	ring, err := p.servers[2].API.Cluster().Keyring(short())
	if err != nil || len(ring.Keys) != 1 || ring.PrimaryKeys[p.b] != 5 || ring.NumNodes != 5 {
		t.Errorf("list after the rotation: %d keys, %d agents: %v", len(ring.Keys), ring.NumNodes, err)
	}
}

// afterwards: agents that restart with the old configuration go on, new ones need
// the new key, those that were down are told.
func (p *keyPlan) afterwards() {
	t := p.t
	for _, a := range p.all() {
		info, err := os.Stat(filepath.Join(a.DataDir, "keyring"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the keyring of %s: %v %v", a.Name, info, err)
		}
	}
	follower := p.follower()
	follower.Signal(syscall.SIGKILL)
	follower.Start()
	p.Await("a server that restarts with the old configuration is back", Patience, func() error {
		_, err := follower.Running("four", 4)
		return err
	})
	if log := follower.Log(1 << 20); !strings.Contains(log, "the keys in the data directory are used, not encrypt of the configuration") {
		t.Errorf("%s does not say which key it goes by: %s", follower.Name, log)
	}
	fresh := p.Agent("fresh", clientOf(p.servers[0])+"encrypt = \""+p.b+"\"\n")
	fresh.Start()
	p.Await("a new agent with the new key has joined", Patience, func() error { return p.servers[0].Nodes(3) })
	stale := p.Agent("stale", clientOf(p.servers[0]))
	stale.Start()
	for _, a := range []*Agent{stale, p.away} {
		if a == p.away {
			a.Start()
		}
		p.Await(a.Name+" says why it does not join", Patience, func() error {
			if !strings.Contains(a.Log(1<<20), "missed a change of the key") {
				return errors.New("no such line")
			}
			return nil
		})
	}
	if err := p.servers[0].Nodes(3); err != nil {
		t.Errorf("an agent with the old key was taken: %v", err)
	}
	p.away.Signal(syscall.SIGKILL)
	p.away.Configure(clientOf(p.servers[0]) + "encrypt = \"" + p.b + "\"\n")
	p.away.Start()
	p.Await("the agent that was down is back with the new key", Patience, func() error { return p.servers[0].Nodes(4) })
	stale.Signal(syscall.SIGKILL)
}

// follower is a server that does not lead.
func (p *keyPlan) follower() *Agent {
	p.t.Helper()
	leader, err := p.servers[0].Leader()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range p.servers {
		if s != leader {
			return s
		}
	}
	return nil
}

// noKeyInLogs: neither key is in any agent's log.
func (p *keyPlan) noKeyInLogs() {
	for _, a := range p.agents {
		log, err := os.ReadFile(a.logPath())
		if err != nil {
			p.t.Fatal(err)
		}
		for _, key := range []string{p.a, p.b} {
			if bytes.Contains(log, []byte(key)) {
				p.t.Errorf("a key is in the log of %s", a.Name)
			}
		}
	}
}
