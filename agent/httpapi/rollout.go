package httpapi

import (
	"net/http"

	"github.com/steppe-project/steppe/agent/httpapi/rollout"
)

func (s *Server) rolloutRoutes() []Route {
	write := func(path, doc string, h func(*rollout.Call) (any, error)) Route {
		return put(path, doc, rolled(h)).faults(http.StatusInternalServerError)
	}
	return []Route{
		get("/v1/deployments", "List deployments.", rolled(rollout.List)),
		get("/v1/deployment/{id}", "Read a deployment.", rolled(rollout.Get)),
		get("/v1/deployment/allocations/{id}", "List a deployment's allocations.", rolled(rollout.Allocations)),
		write("/v1/deployment/fail/{id}", "Fail a deployment.", rollout.Fail),
		write("/v1/deployment/pause/{id}", "Pause a deployment, or have it go on.", rollout.Pause),
		write("/v1/deployment/promote/{id}", "Promote a deployment's canaries.", rollout.Promote),
		write("/v1/deployment/allocation-health/{id}", "Say which allocations of a deployment are healthy.", rollout.Health),
		write("/v1/deployment/unblock/{id}", "Refused: no deployment waits for those of other regions.", rollout.Unblock),
		get("/v1/job/{id}/deployments", "List a job's deployments.", rolled(rollout.OfJob)),
		get("/v1/job/{id}/deployment", "Read a job's newest deployment.", rolled(rollout.Newest)),
		write("/v1/job/{id}/revert", "Take a job back to an older version.", rollout.Revert),
		write("/v1/job/{id}/stable", "Mark a job's version as one to go back to, or not.", rollout.Stable),
		write("/v1/job/{id}/versions/{tag}/tag", "Give a job's version a name.", rollout.Tag).with(http.MethodDelete, rolled(rollout.Untag)),
	}
}

// rolled has package rollout answer.
func rolled(h func(*rollout.Call) (any, error)) Handler {
	return func(q *request) (any, error) {
		if err := checkPrefix(q.query.Prefix); err != nil {
			return nil, err
		}
		body := func(v any, optional bool) error { return asBadRequest(q.body(v, optional)) }
		all, err := q.flag("all")
		if err != nil {
			return nil, err
		}
		return h(&rollout.Call{
			Context: q.r.Context(), Servers: q.servers(), Query: q.query, All: all, Write: q.writeOptions(),
			Path: q.r.PathValue, Body: body, Meta: q.meta, Index: q.index,
		})
	}
}
