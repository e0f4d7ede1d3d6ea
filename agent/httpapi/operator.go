package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func (s *Server) operatorRoutes() []Route {
	peer := Route{Path: "/v1/operator/raft/peer", Doc: "Remove a raft server.", Methods: map[string]Handler{http.MethodDelete: s.removePeer}}
	scheduler := get("/v1/operator/scheduler/configuration", "Read or set the scheduler configuration.", s.schedulerConfig).
		with(http.MethodPut, s.setSchedulerConfig)
	return []Route{
		get("/v1/operator/raft/configuration", "List the raft servers.", s.raftConfiguration),
		get("/v1/operator/state-hash", "Read the digest of the answering server's own state, and its index: equal on all servers at an index.", s.stateHash),
		peer,
		put("/v1/operator/raft/transfer-leadership", "Hand leadership to another server.", s.transferLeadership),
		scheduler,
		get("/v1/operator/brake", "Read how the brake on mass loss stands.", s.brake),
		put("/v1/operator/brake/release", "Give up at once what the brake holds.", s.releaseBrake),
		get("/v1/operator/autopilot/configuration", "Read or set the autopilot configuration.", s.autopilotConfig).
			with(http.MethodPut, s.setAutopilotConfig),
		get("/v1/operator/feature", "Read the cluster's feature level, and what each server understands.", s.features),
		put("/v1/operator/feature/activate", "Activate a feature level that all servers understand.", s.activateFeature),
		get("/v1/operator/autopilot/health", "Read autopilot's view of the servers.", s.autopilotHealth),
		stream("/v1/operator/snapshot", "Save the state, or restore it.", s.saveSnapshot).with(http.MethodPut, s.restoreSnapshot),
		put("/v1/system/gc", "Collect what is over at once.", s.systemGC),
		put("/v1/system/reconcile/summaries", "Recompute the job summaries.", s.reconcileSummaries),
	}
}

func (q *request) status() *msg.StatusRequest { return &msg.StatusRequest{QueryOptions: q.query} }

func (s *Server) raftConfiguration(q *request) (any, error) {
	out, err := msg.RaftConfiguration.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return struct {
		Servers []*msg.RaftServer
		Index   uint64
	}{orEmpty(out.Servers), out.Index}, nil
}

func (s *Server) stateHash(q *request) (any, error) {
	out, err := msg.StateHash.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return out, nil
}

func (q *request) peer() (*msg.RaftPeerRequest, error) {
	req := &msg.RaftPeerRequest{WriteOptions: q.writeOptions(), ID: q.param("id"), Address: q.param("address")}
	if (req.ID == "") == (req.Address == "") {
		return nil, bad("must specify either ?id or ?address of the server")
	}
	return req, nil
}

func (s *Server) removePeer(q *request) (any, error) {
	req, err := q.peer()
	if err != nil {
		return nil, err
	}
	_, err = msg.RaftRemovePeer.Call(q.r.Context(), q.servers(), req)
	return nil, err
}

func (s *Server) transferLeadership(q *request) (any, error) {
	req := &msg.RaftPeerRequest{WriteOptions: q.writeOptions(), ID: q.param("id"), Address: q.param("address")}
	_, err := msg.RaftTransfer.Call(q.r.Context(), q.servers(), req)
	return struct{}{}, err
}

func (s *Server) schedulerConfig(q *request) (any, error) {
	out, err := msg.SchedulerGet.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return struct {
		SchedulerConfig *model.SchedulerConfiguration
		Index           uint64
		LastContact     time.Duration
		KnownLeader     bool
	}{out.Config, out.Index, out.LastContact, out.KnownLeader}, nil
}

func (s *Server) brake(q *request) (any, error) {
	out, err := msg.BrakeGet.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	out.Brake.Held = orEmpty(out.Brake.Held)
	return out.Brake, nil
}

func (s *Server) releaseBrake(q *request) (any, error) {
	out, err := msg.BrakeRelease.Call(q.r.Context(), q.servers(), &msg.BrakeReleaseRequest{WriteOptions: q.writeOptions()})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return casReply{out.Updated, out.Index}, nil
}

// cas reads ?cas=N.
func (q *request) cas() (bool, uint64, error) {
	v := q.param("cas")
	if v == "" {
		return false, 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return false, 0, bad("Error parsing cas value: %v", err)
	}
	return true, n, nil
}

type casReply struct {
	Updated bool
	Index   uint64
}

func (s *Server) setSchedulerConfig(q *request) (any, error) {
	var conf model.SchedulerConfiguration
	if err := q.body(&conf, false); err != nil {
		return nil, err
	}
	cas, index, err := q.cas()
	if err != nil {
		return nil, err
	}
	if cas {
		conf.ModifyIndex = index
	}
	out, err := msg.SchedulerSet.Call(q.r.Context(), q.servers(), &msg.SchedulerConfigRequest{WriteOptions: q.writeOptions(), Config: conf, CAS: cas})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return casReply{out.Updated || !cas, out.Index}, nil
}

// saveSnapshot spools the archive first: clients want its digest as a header, and
// a fault on the way becomes an answer instead of half a file.
func (s *Server) saveSnapshot(q *request) (any, error) {
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	if q.query.Stale {
		ctx = rpc.AllowStale(ctx)
	}
	st, err := msg.SnapshotSave.Open(ctx, q.servers())
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := st.Send(q.status()); err != nil {
		return nil, err
	}
	_ = st.CloseSend()
	spool, err := os.CreateTemp("", "steppe-snapshot-")
	if err != nil {
		return nil, model.Errorf(model.CodeInternal, "no room to prepare the snapshot: %w", err)
	}
	defer spool.Close()
	if err := os.Remove(spool.Name()); err != nil { // it lives as long as it is open
		return nil, err
	}
	sum := sha256.New()
	size, err := spoolChunks(io.MultiWriter(spool, sum), st.Recv)
	if err != nil {
		return nil, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	h := q.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Digest", "sha-256="+base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	_, _ = io.Copy(q.w, spool) // a reader that is gone needs no answer
	return nil, errDone
}

func spoolChunks(w io.Writer, recv func() (*msg.Chunk, error)) (size int64, err error) {
	for {
		c, err := recv()
		switch {
		case errors.Is(err, io.EOF):
			return size, nil
		case err != nil:
			return 0, err
		case c.Err != "":
			return 0, model.Errorf(model.CodeInternal, "%s", c.Err)
		}
		n, err := w.Write(c.Data)
		if err != nil {
			return 0, model.Errorf(model.CodeInternal, "no room to prepare the snapshot: %w", err)
		}
		if size += int64(n); c.Done {
			return size, nil
		}
	}
}

func (s *Server) restoreSnapshot(q *request) (any, error) {
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	st, err := msg.SnapshotRestore.Open(ctx, q.servers())
	if err != nil {
		return nil, err
	}
	defer st.Close()
	body := http.MaxBytesReader(q.w, q.r.Body, MaxSnapshotBytes)
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if sendErr := st.Send(&msg.Chunk{Data: append([]byte(nil), buf[:n]...)}); sendErr != nil {
				break // Recv tells why
			}
		}
		if errors.Is(err, io.EOF) {
			if err := st.Send(&msg.Chunk{Done: true}); err != nil {
				break
			}
			break
		}
		if err != nil {
			return nil, bad("the snapshot ended early, nothing was restored: %v", err)
		}
	}
	_ = st.CloseSend()
	out, err := st.Recv()
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return struct{ Index uint64 }{out.Index}, nil
}

func (s *Server) systemGC(q *request) (any, error) {
	_, err := msg.SystemGC.Call(q.r.Context(), q.servers(), &msg.SystemGCRequest{WriteOptions: q.writeOptions()})
	return nil, err
}

func (s *Server) reconcileSummaries(q *request) (any, error) {
	_, err := msg.SystemReconcile.Call(q.r.Context(), q.servers(), &msg.SystemGCRequest{WriteOptions: q.writeOptions()})
	return nil, err
}
