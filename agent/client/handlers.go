package client

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/steppe-project/steppe/agent/client/alloc"
	"github.com/steppe-project/steppe/agent/client/fs"
	"github.com/steppe-project/steppe/agent/client/stats"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// maxStreams bounds the files and logs that are being read at a time: each
// holds a buffer and a file.
const maxStreams = 256

// handle adds the client's handlers to a table.
func (c *Client) handle(srv *rpc.Server) {
	rpc.Handle(srv, msg.ClientFSList, c.fsList)
	rpc.Handle(srv, msg.ClientFSStat, c.fsStat)
	rpc.HandleStream(srv, msg.ClientFSStream, c.fsStream)
	rpc.HandleStream(srv, msg.ClientLogs, c.logs)
	rpc.Handle(srv, msg.ClientAllocStats, c.allocStats)
	rpc.Handle(srv, msg.ClientAllocRestart, c.allocRestart)
	rpc.Handle(srv, msg.ClientAllocSignal, c.allocSignal)
	rpc.Handle(srv, msg.ClientStats, c.hostStats)
	rpc.Handle(srv, msg.ClientGC, c.collect)
}

// files opens an allocation's directory.
func (c *Client) files(id string) (*alloc.Runner, *os.Root, error) {
	r, err := c.allocs.Get(id)
	if err != nil {
		return nil, nil, err
	}
	root, err := r.Dir().Open()
	return r, root, err
}

func (c *Client) fsList(_ context.Context, req *msg.AllocFileRequest) (*msg.FileInfosResponse, error) {
	_, root, err := c.files(req.AllocID)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	list, err := fs.List(root, req.Path)
	return &msg.FileInfosResponse{Files: list}, err
}

func (c *Client) fsStat(_ context.Context, req *msg.AllocFileRequest) (*msg.FileInfosResponse, error) {
	_, root, err := c.files(req.AllocID)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := fs.Stat(root, req.Path)
	return &msg.FileInfosResponse{Files: []*msg.FileInfo{info}}, err
}

// stream admits one more stream, if there is room.
func (c *Client) stream() (done func(), err error) {
	select {
	case c.streams <- struct{}{}:
		return func() { <-c.streams }, nil
	default:
		return nil, model.Errorf(model.CodeUnavailable, "%d files are being read on this node already", maxStreams)
	}
}

func (c *Client) fsStream(ctx context.Context, st *rpc.Stream[msg.FileFrame, msg.AllocFileRequest]) error {
	req, err := st.Recv()
	if err != nil {
		return err
	}
	done, err := c.stream()
	if err != nil {
		return err
	}
	defer done()
	r, root, err := c.files(req.AllocID)
	if err != nil {
		return err
	}
	defer root.Close()
	return quiet(fs.Stream(ctx, root, fs.FileRequest{
		Path: req.Path, Offset: req.Offset, Limit: req.Limit, Origin: req.Origin, Follow: req.Follow,
		Over: func() bool { return !r.EndedAt().IsZero() },
	}, st.Send))
}

func (c *Client) logs(ctx context.Context, st *rpc.Stream[msg.FileFrame, msg.AllocLogsRequest]) error {
	req, err := st.Recv()
	if err != nil {
		return err
	}
	done, err := c.stream()
	if err != nil {
		return err
	}
	defer done()
	r, root, err := c.files(req.AllocID)
	if err != nil {
		return err
	}
	defer root.Close()
	if !r.Has(req.Task) {
		return model.Errorf(model.CodeNotFound, "unknown task name %q", req.Task)
	}
	return quiet(fs.Logs(ctx, root, fs.LogRequest{
		Task: req.Task, Type: req.Type, Offset: req.Offset, Origin: req.Origin, Follow: req.Follow,
		Over: func() bool { return r.Dead(req.Task) },
	}, st.Send))
}

// quiet takes a reader's leaving for what it is.
func quiet(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (c *Client) allocStats(ctx context.Context, req *msg.AllocFileRequest) (*msg.AllocStatsResponse, error) {
	r, err := c.allocs.Get(req.AllocID)
	if err != nil {
		return nil, err
	}
	live, err := r.Live(ctx, req.Path)
	if err != nil {
		return nil, err
	}
	usages := make(map[string]*msg.TaskResourceUsage, len(live))
	for _, l := range live {
		d, err := r.Driver(ctx, l)
		if err != nil {
			return nil, err
		}
		usage, err := c.tasks.Read(ctx, d, l.ID)
		if err != nil {
			c.log.Debug("task is not measured", "task", l.ID, "error", err)
			continue
		}
		usages[l.Task] = usage
	}
	return &msg.AllocStatsResponse{Stats: stats.Sum(usages, time.Now())}, nil
}

func (c *Client) allocRestart(ctx context.Context, req *msg.AllocRestartRequest) (*msg.WriteMeta, error) {
	r, err := c.allocs.Get(req.AllocID)
	if err != nil {
		return nil, err
	}
	return &msg.WriteMeta{}, r.Restart(ctx, req.TaskName, req.AllTasks)
}

func (c *Client) allocSignal(ctx context.Context, req *msg.AllocSignalRequest) (*msg.WriteMeta, error) {
	r, err := c.allocs.Get(req.AllocID)
	if err != nil {
		return nil, err
	}
	return &msg.WriteMeta{}, r.Signal(ctx, req.Task, req.Signal)
}

func (c *Client) hostStats(ctx context.Context, _ *msg.NodeStatsRequest) (*msg.HostStatsResponse, error) {
	s, err := c.host.Read(ctx)
	return &msg.HostStatsResponse{Stats: s}, err
}

func (c *Client) collect(ctx context.Context, req *msg.ClientGCRequest) (*msg.WriteMeta, error) {
	return &msg.WriteMeta{}, c.gc.Collect(ctx, req.AllocID)
}
