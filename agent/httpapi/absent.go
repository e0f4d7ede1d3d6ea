package httpapi

import (
	"net/http"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// emptyList answers a list that has nothing in it yet. It blocks as other lists
// do: a client that watches it would else come back without a pause.
func (q *request) emptyList() (any, error) {
	if q.query.MinIndex >= 1 {
		wait := q.query.MaxWait
		if wait == 0 {
			wait = MaxWait
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-q.r.Context().Done():
			return nil, q.r.Context().Err()
		}
	}
	q.meta(msg.QueryMeta{Index: 1, KnownLeader: true})
	return []any{}, nil
}

// absentRoutes answers what clients ask for in passing and this version does not
// have, in the way that they tolerate.
func (s *Server) absentRoutes() []Route {
	enterprise := func(*request) (any, error) {
		return nil, &statusError{http.StatusNotImplemented, "Nomad Enterprise only endpoint"}
	}
	noACL := func(*request) (any, error) { return nil, bad("ACL support disabled") }
	empty := (*request).emptyList
	later := func(what string) Handler {
		return func(*request) (any, error) {
			return nil, &statusError{http.StatusNotImplemented, what + " is not supported by this version"}
		}
	}
	license := get("/v1/operator/license", "No licence is needed.", func(q *request) (any, error) {
		q.w.WriteHeader(http.StatusNoContent)
		return nil, errDone
	}).with(http.MethodPut, enterprise)
	license.Stream = true
	return []Route{
		license,
		get("/v1/quotas", "Later.", enterprise),
		get("/v1/sentinel/policies", "Never.", enterprise),
		get("/v1/recommendations", "Never.", enterprise),
		get("/v1/acl/policies", "Later.", noACL),
		get("/v1/acl/tokens", "Later.", noACL),
		get("/v1/acl/roles", "Later.", noACL),
		put("/v1/acl/bootstrap", "Later.", noACL),
		get("/v1/acl/token/self", "The token everybody has while access control is off.", func(*request) (any, error) {
			return map[string]any{"AccessorID": "", "Name": "Bootstrap Token", "Type": "management", "Policies": nil, "Global": true}, nil
		}),
		get("/v1/services", "No service is registered yet: the catalogue comes later.", empty),
		get("/v1/service/{name}", "No service is registered yet.", empty),
		get("/v1/volumes", "No volumes yet.", empty),
		get("/v1/plugins", "No storage plugins yet.", empty),
		get("/v1/scaling/policies", "No scaling policies yet.", empty),
		get("/v1/vars", "No variables yet.", empty),
		get("/v1/deployment/{id}", "No deployments yet.", func(*request) (any, error) {
			return nil, model.Errorf(model.CodeNotFound, "deployment not found")
		}),
		put("/v1/job/{id}/plan", "Later.", later("job plan")),
		put("/v1/job/{id}/dispatch", "Later.", later("dispatch")),
		put("/v1/job/{id}/revert", "Later.", later("revert")),
		put("/v1/job/{id}/stable", "Later.", later("marking a version stable")),
		put("/v1/job/{id}/periodic/force", "Later.", later("periodic force")),
		put("/v1/node/{id}/drain", "Later.", later("node drain")),
		get("/v1/client/allocation/{alloc}/exec", "Later.", later("alloc exec")),
	}
}
