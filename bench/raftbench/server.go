package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// The methods of a measured server.
var (
	writeMethod    = rpc.Method[msg.Chunk, msg.WriteMeta]{Name: "Bench.Write", Forward: rpc.Leader}
	fillMethod     = rpc.Method[msg.Chunk, msg.WriteMeta]{Name: "Bench.Fill", Forward: rpc.Leader}
	snapshotMethod = rpc.Method[msg.Empty, msg.WriteMeta]{Name: "Bench.Snapshot"}
	leadsMethod    = rpc.Method[msg.Empty, msg.BoolResponse]{Name: "Bench.Leads"}
)

// alone routes calls: writers go to the leader by themselves.
type alone struct{ host *consensus.Host }

// Leader implements rpc.Router.
func (a alone) Leader() (string, bool, <-chan struct{}) {
	l := a.host.Leadership()
	return l.Addr, l.Self, l.Changed
}

// Servers implements rpc.Router.
func (a alone) Servers() []string { return nil }

// runServer runs the server that spec names: its number, then all addresses.
func runServer(ctx context.Context, spec, dir string) error {
	parts := strings.Split(spec, ",")
	self, err := strconv.Atoi(parts[0])
	if err != nil {
		return err
	}
	var peers []consensus.Peer
	for i, addr := range parts[1:] {
		peers = append(peers, consensus.Peer{ID: fmt.Sprintf("s%d", i), Addr: addr, Expect: len(parts) - 1})
	}
	ln, err := net.Listen("tcp", peers[self].Addr)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	listener := port.NewListener(port.ListenerConfig{Listener: ln, Security: port.Plaintext(), Logger: log})
	host, err := consensus.Open(consensus.Config{
		ID: peers[self].ID, Addr: peers[self].Addr, Dir: filepath.Join(dir, peers[self].ID), Streams: listener.Raft(),
		Machine: fsm.New(state.New()), Logger: log,
	})
	if err != nil {
		return err
	}
	pool := rpc.NewPool(port.Plaintext(), log)
	defer pool.Close()
	srv := rpc.NewServer(rpc.Config{Router: alone{host}, Pool: pool, Logger: log})
	handle(srv, host)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listener.Run(ctx) })
	group.Go(func() error { return host.Run(ctx) })
	group.Go(func() error { return srv.Run(ctx, listener.RPC()) })
	group.Go(func() error { _, err := host.Bootstrap(peers); return err })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func handle(srv *rpc.Server, host *consensus.Host) {
	rpc.Handle(srv, writeMethod, func(ctx context.Context, c *msg.Chunk) (*msg.WriteMeta, error) {
		return propose(ctx, host, fsm.Command{Kind: fsm.KindUpsertEvals, Body: c.Data})
	})
	rpc.Handle(srv, fillMethod, func(ctx context.Context, c *msg.Chunk) (*msg.WriteMeta, error) {
		return propose(ctx, host, fsm.Command{Kind: fsm.Kind(c.Data[0]), Body: c.Data[1:]})
	})
	rpc.Handle(srv, snapshotMethod, func(ctx context.Context, _ *msg.Empty) (*msg.WriteMeta, error) {
		_, err := host.SaveSnapshot(ctx, io.Discard)
		return &msg.WriteMeta{}, err
	})
	rpc.Handle(srv, leadsMethod, func(context.Context, *msg.Empty) (*msg.BoolResponse, error) {
		return &msg.BoolResponse{Value: host.Leadership().Self}, nil
	})
}

func propose(ctx context.Context, host *consensus.Host, cmd fsm.Command) (*msg.WriteMeta, error) {
	outcomes, err := host.Propose(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return &msg.WriteMeta{Index: outcomes[0].Index}, outcomes[0].Err
}

// command encodes a body as Bench.Fill takes it.
func command(body fsm.Body) ([]byte, error) {
	cmd, err := fsm.NewCommand(body)
	if err != nil {
		return nil, err
	}
	return append([]byte{byte(cmd.Kind)}, cmd.Body...), nil
}

// commandBytes is the size of a measured command.
const commandBytes = 1024

// evalCommand is a command of about a kilobyte: an evaluation that has ended.
func evalCommand(id string) ([]byte, error) {
	e := &model.Evaluation{ID: id, Namespace: model.DefaultNamespace, JobID: "bench", Type: model.JobTypeBatch, Status: model.EvalComplete}
	for {
		cmd, err := fsm.NewCommand(&fsm.UpsertEvals{Evals: []*model.Evaluation{e}})
		if missing := commandBytes - len(cmd.Body); err != nil || missing <= 8 {
			return cmd.Body, err
		} else if e.StatusDescription == "" {
			e.StatusDescription = strings.Repeat("x", missing-4)
		} else {
			e.StatusDescription += strings.Repeat("x", missing)
		}
	}
}
