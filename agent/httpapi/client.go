package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func (s *Server) clientRoutes() []Route {
	return []Route{
		get("/v1/client/fs/ls/{alloc}", "List a directory of an allocation.", s.fsList),
		get("/v1/client/fs/stat/{alloc}", "Describe a file of an allocation.", s.fsStat),
		stream("/v1/client/fs/cat/{alloc}", "Read a file of an allocation.", s.fsCat),
		stream("/v1/client/fs/readat/{alloc}", "Read a part of a file of an allocation.", s.fsReadAt),
		stream("/v1/client/fs/stream/{alloc}", "Follow a file of an allocation.", s.fsStream),
		stream("/v1/client/fs/logs/{alloc}", "Read or follow a task's log.", s.fsLogs),
		get("/v1/client/allocation/{alloc}/stats", "Read an allocation's resource usage.", s.allocStats),
		put("/v1/client/allocation/{alloc}/restart", "Restart the tasks of an allocation in place.", s.allocRestart),
		put("/v1/client/allocation/{alloc}/signal", "Signal the tasks of an allocation.", s.allocSignal),
		here(get("/v1/client/allocation/{alloc}/checks", "Read an allocation's health checks.", s.allocChecks))[0],
		get("/v1/client/allocation/{alloc}/gc", "Remove an ended allocation's directory.", s.allocGC),
		get("/v1/client/stats", "Read a node's resource usage.", s.nodeStats),
		get("/v1/client/gc", "Remove the directories of ended allocations of a node.", s.nodeGC),
	}
}

// callerFor reaches the node that has the allocation: this one, or through a server.
func (q *request) callerFor(alloc string) rpc.Caller {
	s := q.s
	if !q.foreign() && s.cfg.Local != nil && s.cfg.Local.HasAlloc(alloc) {
		return s.cfg.Local.Caller()
	}
	return q.servers()
}

func (q *request) allocID() (string, error) {
	id := q.r.PathValue("alloc")
	if id == "" || len(id) > 64 {
		return "", bad("must provide a valid alloc id")
	}
	return id, nil
}

func (q *request) file() (*msg.AllocFileRequest, error) {
	id, err := q.allocID()
	if err != nil {
		return nil, err
	}
	req := &msg.AllocFileRequest{QueryOptions: q.query, AllocID: id, Path: q.param("path"), Origin: q.param("origin")}
	if req.Path == "" {
		req.Path = "/"
	}
	if req.Offset, err = q.number("offset"); err != nil {
		return nil, err
	}
	if req.Limit, err = q.number("limit"); err != nil {
		return nil, err
	}
	if req.Origin == "" {
		req.Origin = "start"
	}
	if req.Origin != "start" && req.Origin != "end" {
		return nil, bad("Invalid origin: %q is neither start nor end", req.Origin)
	}
	return req, nil
}

func (s *Server) fsList(q *request) (any, error) {
	req, err := q.file()
	if err != nil {
		return nil, err
	}
	out, err := msg.ClientFSList.Call(q.r.Context(), q.callerFor(req.AllocID), req)
	if err != nil {
		return nil, err
	}
	return orEmpty(out.Files), nil
}

func (s *Server) fsStat(q *request) (any, error) {
	req, err := q.file()
	if err != nil {
		return nil, err
	}
	out, err := msg.ClientFSStat.Call(q.r.Context(), q.callerFor(req.AllocID), req)
	if err != nil {
		return nil, err
	}
	if len(out.Files) == 0 {
		return nil, model.Errorf(model.CodeNotFound, "no such file")
	}
	return out.Files[0], nil
}

func (s *Server) fsCat(q *request) (any, error) {
	req, err := q.file()
	if err != nil {
		return nil, err
	}
	req.Offset, req.Limit, req.Origin = 0, 0, "start"
	return nil, s.copyFile(q, req, true)
}

func (s *Server) fsReadAt(q *request) (any, error) {
	req, err := q.file()
	if err != nil {
		return nil, err
	}
	if !q.r.URL.Query().Has("offset") {
		return nil, bad("must provide a file offset")
	}
	return nil, s.copyFile(q, req, true)
}

func (s *Server) fsStream(q *request) (any, error) {
	req, err := q.file()
	if err != nil {
		return nil, err
	}
	req.Follow = true
	if q.r.URL.Query().Has("follow") {
		if req.Follow, err = q.flag("follow"); err != nil {
			return nil, err
		}
	}
	plain, err := q.flag("plain")
	if err != nil {
		return nil, err
	}
	return nil, s.copyFile(q, req, plain)
}

func (s *Server) copyFile(q *request, req *msg.AllocFileRequest, plain bool) error {
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	st, err := msg.ClientFSStream.Open(ctx, q.callerFor(req.AllocID))
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Send(req); err != nil {
		return err
	}
	_ = st.CloseSend()
	return q.frames(st.Recv, plain)
}

func (s *Server) fsLogs(q *request) (any, error) {
	id, err := q.allocID()
	if err != nil {
		return nil, err
	}
	req := &msg.AllocLogsRequest{QueryOptions: q.query, AllocID: id, Task: q.param("task"), Type: q.param("type"), Origin: q.param("origin")}
	if req.Task == "" {
		return nil, bad("must provide task name")
	}
	if req.Type != "stdout" && req.Type != "stderr" {
		return nil, bad("must provide log type (stdout/stderr)")
	}
	if req.Origin == "" {
		req.Origin = "start"
	}
	if req.Origin != "start" && req.Origin != "end" {
		return nil, bad("Invalid origin: %q is neither start nor end", req.Origin)
	}
	if req.Offset, err = q.number("offset"); err != nil {
		return nil, err
	}
	if req.Follow, err = q.flag("follow"); err != nil {
		return nil, err
	}
	plain, err := q.flag("plain")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	st, err := msg.ClientLogs.Open(ctx, q.callerFor(id))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := st.Send(req); err != nil {
		return nil, err
	}
	_ = st.CloseSend()
	return nil, q.frames(st.Recv, plain)
}

// frames copies a stream of file frames to the client: raw bytes, or the API's
// JSON objects one after the other. An error before the first frame is an
// answer; later ones can only end the stream.
func (q *request) frames(recv func() (*msg.FileFrame, error), plain bool) error {
	started := false
	for {
		f, err := recv()
		if errors.Is(err, io.EOF) && started {
			return errDone
		}
		if err != nil && !errors.Is(err, io.EOF) {
			if started {
				q.s.cfg.Logger.Debug("stream ended", "path", q.r.URL.Path, "error", err)
				return errDone
			}
			return err
		}
		if !started {
			started = true
			q.startStream(plain)
		}
		if err != nil {
			return errDone
		}
		if err := q.writeFrame(f, plain); err != nil {
			return errDone // the reader is gone
		}
	}
}

func (q *request) startStream(plain bool) {
	if plain {
		q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		q.w.Header().Set("Content-Type", "application/json")
	}
	q.w.Header().Set("X-Content-Type-Options", "nosniff")
	q.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(q.w).Flush()
}

func (q *request) writeFrame(f *msg.FileFrame, plain bool) error {
	data := f.Data
	if !plain {
		var err error
		if data, err = json.Marshal(f); err != nil {
			return err
		}
	}
	return q.flushed(data)
}

// flushed writes and flushes within StreamWriteLimit.
func (q *request) flushed(data []byte) error {
	ctl := http.NewResponseController(q.w)
	_ = ctl.SetWriteDeadline(time.Now().Add(StreamWriteLimit))
	if len(data) > 0 {
		if _, err := q.w.Write(data); err != nil {
			return err
		}
	}
	return ctl.Flush()
}

func (s *Server) allocStats(q *request) (any, error) {
	id, err := q.allocID()
	if err != nil {
		return nil, err
	}
	out, err := msg.ClientAllocStats.Call(q.r.Context(), q.callerFor(id), &msg.AllocFileRequest{QueryOptions: q.query, AllocID: id, Path: q.param("task")})
	if err != nil {
		return nil, err
	}
	return out.Stats, nil
}

func (s *Server) allocRestart(q *request) (any, error) {
	id, err := q.allocID()
	if err != nil {
		return nil, err
	}
	var body struct {
		TaskName string
		AllTasks bool
	}
	if err := q.body(&body, true); err != nil {
		return nil, err
	}
	if body.TaskName != "" && body.AllTasks {
		return nil, bad("TaskName and AllTasks exclude each other")
	}
	_, err = msg.ClientAllocRestart.Call(q.r.Context(), q.callerFor(id), &msg.AllocRestartRequest{
		WriteOptions: q.writeOptions(), AllocID: id, TaskName: body.TaskName, AllTasks: body.AllTasks,
	})
	return struct{}{}, err
}

func (s *Server) allocSignal(q *request) (any, error) {
	id, err := q.allocID()
	if err != nil {
		return nil, err
	}
	var body struct{ Task, TaskName, Signal string }
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	if body.Task == "" {
		body.Task = body.TaskName
	}
	_, err = msg.ClientAllocSignal.Call(q.r.Context(), q.callerFor(id), &msg.AllocSignalRequest{
		WriteOptions: q.writeOptions(), AllocID: id, Task: body.Task, Signal: body.Signal,
	})
	return struct{}{}, err
}

// allocChecks is empty until services have health checks.
func (s *Server) allocChecks(q *request) (any, error) {
	if _, err := q.allocID(); err != nil {
		return nil, err
	}
	return map[string]any{}, nil
}

func (s *Server) allocGC(q *request) (any, error) {
	id, err := q.allocID()
	if err != nil {
		return nil, err
	}
	_, err = msg.ClientGC.Call(q.r.Context(), q.callerFor(id), &msg.ClientGCRequest{WriteOptions: q.writeOptions(), AllocID: id})
	return nil, err
}

// callerForNode reaches the node named by ?node_id, or this one.
func (s *Server) callerForNode(q *request) (rpc.Caller, string, error) {
	id := q.param("node_id")
	if !q.foreign() && s.cfg.Local != nil && (id == "" || id == s.cfg.Local.NodeID()) {
		return s.cfg.Local.Caller(), s.cfg.Local.NodeID(), nil
	}
	if id == "" {
		return nil, "", bad("this agent runs no client: name a node with ?node_id=")
	}
	if len(id) != 36 {
		return nil, "", model.Errorf(model.CodeNotFound, "Unknown node %q", id)
	}
	return q.servers(), id, nil
}

func (s *Server) nodeStats(q *request) (any, error) {
	caller, id, err := s.callerForNode(q)
	if err != nil {
		return nil, err
	}
	out, err := msg.ClientStats.Call(q.r.Context(), caller, &msg.NodeStatsRequest{QueryOptions: q.query, NodeID: id})
	if err != nil {
		return nil, err
	}
	if out.Stats == nil {
		return nil, fmt.Errorf("node %s sent no statistics", id)
	}
	return out.Stats, nil
}

func (s *Server) nodeGC(q *request) (any, error) {
	caller, id, err := s.callerForNode(q)
	if err != nil {
		return nil, err
	}
	_, err = msg.ClientGC.Call(q.r.Context(), caller, &msg.ClientGCRequest{WriteOptions: q.writeOptions(), NodeID: id})
	return nil, err
}
