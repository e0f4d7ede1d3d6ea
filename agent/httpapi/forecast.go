package httpapi

import (
	"net/http"

	"github.com/steppe-project/steppe/agent/httpapi/whatifjson"
	"github.com/steppe-project/steppe/agent/rpc/msg"
)

func (s *Server) forecastRoutes() []Route {
	return []Route{
		get("/v1/explain/job/{id}", "Explain where a job's instances are, and what keeps others from being placed.", explain(msg.ExplainJob)),
		get("/v1/explain/allocation/{id}", "Explain why an allocation is on its node.", explain(msg.ExplainAlloc)),
		get("/v1/explain/evaluation/{id}", "Explain what an evaluation could not place.", explain(msg.ExplainEval)),
		put("/v1/whatif", "Tell what would happen if nodes were lost, drained or added, or jobs run, scaled or stopped.", s.whatIf),
	}
}

// explain is not a blocking query: what it tells depends on the whole cluster.
func explain(kind string) Handler {
	return func(q *request) (any, error) {
		out, err := msg.Explain.Call(q.r.Context(), q.servers(), &msg.ExplainRequest{QueryOptions: q.query, Kind: kind, ID: q.r.PathValue("id")})
		if err != nil {
			return nil, err
		}
		q.meta(out.QueryMeta)
		return out.Explanation, nil
	}
}

func (s *Server) whatIf(q *request) (any, error) {
	raw, err := q.rawBody(MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	question, warnings, err := whatifjson.Decode(raw)
	if err != nil {
		return nil, &statusError{http.StatusBadRequest, err.Error()}
	}
	out, err := msg.WhatIf.Call(q.r.Context(), q.servers(), &msg.WhatIfRequest{QueryOptions: q.query, Question: question})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	out.Answer.Warnings = append(warnings, out.Answer.Warnings...)
	return out.Answer, nil
}
