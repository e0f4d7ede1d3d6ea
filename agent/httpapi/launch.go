package httpapi

import (
	"github.com/google/uuid"

	"github.com/steppe-project/steppe/agent/httpapi/jobjson"
	"github.com/steppe-project/steppe/agent/rpc/msg"
)

// dispatchJob launches a parameterized job. The idempotency token stands for one child
// of this job, as long as the child exists; elsewhere it stands for one write.
func (s *Server) dispatchJob(q *request) (any, error) {
	var body struct {
		JobID            string
		Payload          []byte
		Meta             map[string]string
		IdPrefixTemplate string
		Priority         int
	}
	if err := q.body(&body, true); err != nil {
		return nil, err
	}
	id := q.r.PathValue("id")
	if body.JobID != "" && body.JobID != id {
		return nil, bad("Job ID does not match")
	}
	options := q.writeOptions()
	if options.RequestID = ""; q.foreign() {
		options.RequestID = uuid.NewString()
	}
	out, err := msg.JobDispatch.Call(q.r.Context(), q.servers(), &msg.JobDispatchRequest{
		WriteOptions: options, JobID: id, Payload: body.Payload, Meta: body.Meta,
		IDPrefix: body.IdPrefixTemplate, Priority: body.Priority, Token: q.param("idempotency_token"),
	})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return jobjson.Dispatched{
		DispatchedJobID: out.JobID, EvalID: out.EvalID, EvalCreateIndex: out.EvalCreateIndex,
		JobCreateIndex: out.JobCreateIndex, Index: out.Index,
	}, nil
}

// forceJob launches a periodic job, whatever its schedule says.
func (s *Server) forceJob(q *request) (any, error) {
	out, err := msg.JobForce.Call(q.r.Context(), q.servers(), &msg.JobForceRequest{WriteOptions: q.writeOptions(), JobID: q.r.PathValue("id")})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return jobjson.Forced{EvalID: out.EvalID, EvalCreateIndex: out.EvalCreateIndex, LaunchedJobID: out.JobID, Index: out.Index}, nil
}
