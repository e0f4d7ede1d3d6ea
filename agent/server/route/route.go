// Package route carries requests for client agents to the node concerned,
// through whichever server holds its tunnel.
//
// Contract and invariants:
//
//   - A request about an allocation goes to the node that the state says it is
//     on; one that this server does not know (yet) is asked of the leader.
//   - Streams pass as fast as the slower side takes them; nothing piles up here.
//   - A node connected nowhere is CodeUnavailable, an unknown allocation or node
//     CodeNotFound, as clients of the API know the words.
//
// Example:
//
//	route.New(route.Config{Store: store, Server: server}).Register(server)
package route

import (
	"context"
	"errors"
	"io"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Config is what Routes need. All fields are required.
type Config struct {
	Store *state.Store
	// Server reaches nodes and the leader.
	Server *rpc.Server
	// Tunnels are the nodes connected here.
	Tunnels *rpc.Tunnels
}

// Routes holds the handlers.
type Routes struct{ cfg Config }

// New makes the handlers.
func New(cfg Config) *Routes { return &Routes{cfg: cfg} }

// Register adds the handlers to srv.
func (t *Routes) Register(srv *rpc.Server) {
	rpc.Handle(srv, msg.ClientFSList, call(t, msg.ClientFSList, fileNode))
	rpc.Handle(srv, msg.ClientFSStat, call(t, msg.ClientFSStat, fileNode))
	rpc.Handle(srv, msg.ClientAllocStats, call(t, msg.ClientAllocStats, fileNode))
	rpc.Handle(srv, msg.ClientAllocRestart, call(t, msg.ClientAllocRestart,
		func(r *msg.AllocRestartRequest) (string, string) { return r.AllocID, "" }))
	rpc.Handle(srv, msg.ClientAllocSignal, call(t, msg.ClientAllocSignal,
		func(r *msg.AllocSignalRequest) (string, string) { return r.AllocID, "" }))
	rpc.Handle(srv, msg.ClientStats, call(t, msg.ClientStats,
		func(r *msg.NodeStatsRequest) (string, string) { return "", r.NodeID }))
	rpc.Handle(srv, msg.ClientGC, call(t, msg.ClientGC,
		func(r *msg.ClientGCRequest) (string, string) { return r.AllocID, r.NodeID }))
	rpc.HandleStream(srv, msg.ClientFSStream, pass(t, msg.ClientFSStream, fileNode))
	rpc.HandleStream(srv, msg.ClientLogs, pass(t, msg.ClientLogs,
		func(r *msg.AllocLogsRequest) (string, string) { return r.AllocID, "" }))
	rpc.Handle(srv, msg.HasNode, func(_ context.Context, r *msg.HasNodeRequest) (*msg.BoolResponse, error) {
		_, here := t.cfg.Tunnels.Get(r.NodeID)
		return &msg.BoolResponse{Value: here}, nil
	})
}

func fileNode(r *msg.AllocFileRequest) (allocID, nodeID string) { return r.AllocID, "" }

// call is a handler that hands a call on. of says which allocation or node the
// request is about.
func call[Req, Resp any](t *Routes, m rpc.Method[Req, Resp], of func(*Req) (allocID, nodeID string),
) func(context.Context, *Req) (*Resp, error) {
	return func(ctx context.Context, r *Req) (*Resp, error) {
		node, err := routeOf(ctx, t, of, r)
		if err != nil {
			return nil, err
		}
		return m.Call(ctx, node, r)
	}
}

// pass is a handler that hands a stream on: one request up, many answers down.
func pass[In, Out any](t *Routes, m rpc.StreamMethod[In, Out], of func(*In) (allocID, nodeID string),
) func(context.Context, *rpc.Stream[Out, In]) error {
	return func(ctx context.Context, down *rpc.Stream[Out, In]) error {
		first, err := down.Recv()
		if err != nil {
			return err
		}
		node, err := routeOf(ctx, t, of, first)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		up, err := m.Open(ctx, node)
		if err != nil {
			return err
		}
		defer up.Close()
		if err := up.Send(first); err != nil && !errors.Is(err, io.EOF) {
			return err // on EOF Recv tells why the node ended it
		}
		if err := up.CloseSend(); err != nil {
			return err
		}
		for {
			out, err := up.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := down.Send(out); err != nil {
				return err
			}
		}
	}
}

// routeOf finds the way to the node that a request is about.
func routeOf[Req any](ctx context.Context, t *Routes, of func(*Req) (allocID, nodeID string), r *Req) (rpc.Caller, error) {
	allocID, nodeID := of(r)
	if allocID != "" {
		alloc, err := t.alloc(ctx, allocID)
		if err != nil {
			return nil, err
		}
		nodeID = alloc.NodeID
	}
	if nodeID == "" {
		return nil, model.Errorf(model.CodeInvalid, "the request names no allocation and no node")
	}
	if t.cfg.Store.Snapshot().Node(nodeID) == nil {
		if _, here := t.cfg.Tunnels.Get(nodeID); !here {
			return nil, model.Errorf(model.CodeNotFound, "Unknown node %q", nodeID)
		}
	}
	return t.cfg.Server.Node(nodeID), nil
}

// alloc finds an allocation here, or else where the newest state is.
func (t *Routes) alloc(ctx context.Context, id string) (*model.Allocation, error) {
	if a := t.cfg.Store.Snapshot().Alloc(id); a != nil {
		return a, nil
	}
	query := &msg.IDQuery{ID: id}
	query.Namespace = model.AllNamespaces
	resp, err := msg.AllocGet.Call(ctx, t.cfg.Server.Caller(), query)
	if err != nil {
		return nil, err
	}
	if resp.Alloc == nil {
		return nil, model.Errorf(model.CodeNotFound, "Unknown allocation %q", id)
	}
	return resp.Alloc, nil
}
