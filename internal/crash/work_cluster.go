package crash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/internal/durable"
)

// Cluster is three servers in one process, which a crash takes all at once: what
// followers write, a snapshot sent to one that was away, changes of leader.
var Cluster = &Work{Name: "cluster", Run: runCluster, Look: lookCluster, Judge: judgeServer, Most: 20}

// streams is a consensus.StreamLayer on loopback.
type streams struct{ net.Listener }

// Dial implements consensus.StreamLayer.
func (streams) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, timeout)
}

// cluster is its servers by number; nil = stopped.
type cluster struct {
	dir     string
	say     func(string, ...any)
	servers [3]*server
	addrs   [3]atomic.Pointer[string]
	next    int
}

// addr is where server i listens, or did last; "" before it was started.
func (c *cluster) addr(i int) string {
	if a := c.addrs[i].Load(); a != nil {
		return *a
	}
	return ""
}

// start opens server i.
func (c *cluster) start(i int) error {
	addr := c.addr(i)
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	addr = ln.Addr().String()
	c.addrs[i].Store(&addr)
	s := &server{ledger: &ledger{}, done: make(chan error, 1), say: c.say}
	id := fmt.Sprintf("s%d", i+1)
	s.Host, err = consensus.Open(consensus.Config{
		ID: id, Addr: addr, Dir: filepath.Join(c.dir, id), Streams: streams{ln}, Machine: s.ledger,
		AddrOf: func(id string) string { return c.addr(int(id[1] - '1')) },
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Timing: consensus.Timing{SnapshotInterval: time.Hour, TrailingEntries: 2},
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	go func() { s.done <- s.Run(ctx) }() // closes ln, too
	c.servers[i] = s
	return nil
}

func (c *cluster) stop(i int) error {
	s := c.servers[i]
	c.servers[i] = nil
	if s == nil {
		return nil
	}
	return s.stop()
}

// leader waits for one.
func (c *cluster) leader() (int, error) {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(5 * time.Millisecond) {
		for i, s := range c.servers {
			if s != nil && s.Leadership().Self {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("no leader after %s", patience)
}

// put writes a number by whichever server leads.
func (c *cluster) put() error {
	c.next++
	c.say("try %d", c.next)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	i, err := c.leader()
	if err != nil {
		return err
	}
	if _, err := c.servers[i].Propose(ctx, fsm.Command{Kind: 1, Body: []byte(strconv.Itoa(c.next))}); err != nil {
		c.say("no %d %v", c.next, err)
		return nil
	}
	c.say("ok %d", c.next)
	return nil
}

func (c *cluster) puts(n int) error {
	for range n {
		if err := c.put(); err != nil {
			return err
		}
	}
	return nil
}

func runCluster(dir string, say func(string, ...any)) (err error) {
	c := &cluster{dir: dir, say: say}
	var peers []consensus.Peer
	for i := range c.servers {
		if err := durable.MkdirAll(filepath.Join(dir, fmt.Sprintf("s%d", i+1)), 0o700); err != nil {
			return err
		}
		if err := c.start(i); err != nil {
			return err
		}
		peers = append(peers, consensus.Peer{ID: fmt.Sprintf("s%d", i+1), Addr: c.addr(i), Expect: 3})
	}
	defer func() {
		for i := range c.servers {
			err = errors.Join(err, c.stop(i))
		}
	}()
	if _, err := c.servers[0].Bootstrap(peers); err != nil {
		return err
	}
	if err := c.puts(4); err != nil {
		return err
	}
	leader, err := c.leader()
	if err != nil {
		return err
	}
	away := (leader + 1) % 3
	if err := c.stop(away); err != nil {
		return err
	}
	if err := c.puts(6); err != nil {
		return err
	}
	c.servers[leader].archive() // the log is compacted: the one away needs the snapshot
	if err := c.start(away); err != nil {
		return err
	}
	if err := c.puts(3); err != nil {
		return err
	}
	if err := c.stop(leader); err != nil {
		return err
	}
	return c.puts(2)
}

// lookCluster starts all servers again; two must suffice if one refuses.
func lookCluster(dir string, say func(string, ...any)) (err error) {
	c := &cluster{dir: dir, say: say, next: 1_000_000}
	var refusals []error
	var peers []consensus.Peer
	for i := range c.servers {
		if err := c.start(i); err != nil {
			refusals = append(refusals, err)
			continue
		}
		peers = append(peers, consensus.Peer{ID: fmt.Sprintf("s%d", i+1), Addr: c.addr(i), Expect: 3, Bootstrapped: c.servers[i].Bootstrapped()})
	}
	defer func() {
		for i := range c.servers {
			err = errors.Join(err, c.stop(i))
		}
	}()
	if len(refusals) > 1 {
		return errors.Join(refusals...)
	}
	for _, p := range peers {
		if _, err := c.servers[p.ID[1]-'1'].Bootstrap(peers); err != nil {
			return err
		}
	}
	i, err := c.leader()
	if err != nil {
		return err
	}
	for _, n := range c.servers[i].ledger.list() {
		say("have %d", n)
	}
	say("term %d", c.servers[i].Leadership().Term)
	return c.put()
}
