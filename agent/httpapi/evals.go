package httpapi

import (
	"net/http"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func (s *Server) evalRoutes() []Route {
	return []Route{
		get("/v1/evaluations", "List evaluations.", s.listEvals).with(http.MethodDelete, later("deleting evaluations is")),
		get("/v1/evaluations/count", "Count evaluations.", s.countEvals),
		get("/v1/evaluation/{id}", "Read an evaluation.", s.getEval),
		get("/v1/evaluation/{id}/allocations", "List an evaluation's allocations.", s.evalAllocs),
	}
}

func (q *request) evalList() *msg.EvalListRequest {
	return &msg.EvalListRequest{QueryOptions: q.query, Status: q.param("status"), JobID: q.param("job")}
}

func (s *Server) listEvals(q *request) (any, error) {
	if err := checkPrefix(q.query.Prefix); err != nil {
		return nil, err
	}
	out, err := msg.EvalList.Call(q.r.Context(), q.servers(), q.evalList())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Evals), nil
}

func (s *Server) countEvals(q *request) (any, error) {
	out, err := msg.EvalCount.Call(q.r.Context(), q.servers(), q.evalList())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return struct{ Count int }{out.Count}, nil
}

func (s *Server) getEval(q *request) (any, error) {
	related, err := q.flag("related")
	if err != nil {
		return nil, err
	}
	out, err := msg.EvalGet.Call(q.r.Context(), q.servers(), &msg.IDQuery{QueryOptions: q.query, ID: q.r.PathValue("id"), Related: related})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Eval == nil {
		return nil, model.Errorf(model.CodeNotFound, "eval not found")
	}
	return out.Eval, nil
}

func (s *Server) evalAllocs(q *request) (any, error) {
	out, err := msg.AllocList.Call(q.r.Context(), q.servers(), &msg.AllocListRequest{
		QueryOptions: q.query, EvalID: q.r.PathValue("id"), TaskStates: true,
	})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Allocs), nil
}
