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

// enterprise, noACL, later and missing answer what this version does not have, in
// the way that clients tolerate.
func enterprise(*request) (any, error) {
	return nil, &statusError{http.StatusNotImplemented, "Nomad Enterprise only endpoint"}
}

func noACL(*request) (any, error) { return nil, bad("ACL support disabled") }

func later(what string) Handler {
	return func(*request) (any, error) {
		return nil, &statusError{http.StatusNotImplemented, what + " not supported by this version"}
	}
}

// missing is the answer about one thing of a kind of which there is none.
func missing(what string) Handler {
	return func(q *request) (any, error) {
		q.meta(msg.QueryMeta{Index: 1, KnownLeader: true})
		return nil, model.Errorf(model.CodeNotFound, "%s not found", what)
	}
}

// every is a route that answers all methods alike.
func every(path, doc string, h Handler) Route {
	return get(path, doc, h).with(http.MethodPut, h).with(http.MethodDelete, h)
}

// absentRoutes are those that clients ask for in passing.
func (s *Server) absentRoutes() []Route {
	var all []Route
	for _, part := range [][]Route{s.neverRoutes(), s.aclRoutes(), s.volumeRoutes(), s.laterRoutes()} {
		all = append(all, here(part...)...)
	}
	return all
}

// neverRoutes are of an edition that Steppe has no counterpart of.
func (s *Server) neverRoutes() []Route {
	license := get("/v1/operator/license", "No licence is needed.", func(q *request) (any, error) {
		q.w.WriteHeader(http.StatusNoContent)
		return nil, errDone
	}).with(http.MethodPut, enterprise)
	license.Stream = true
	pause := func(*request) (any, error) { return nil, model.Errorf(model.CodeInternal, "Enterprise only") }
	return []Route{
		license,
		get("/v1/sentinel/policies", "Never.", enterprise),
		every("/v1/sentinel/policy/{name}", "Never.", enterprise),
		get("/v1/recommendations", "Never.", enterprise),
		every("/v1/recommendation", "Never.", enterprise),
		every("/v1/recommendation/{id}", "Never.", enterprise),
		every("/v1/operator/utilization", "Never.", enterprise),
		every("/v1/client/allocation/{alloc}/pause", "Never.", pause),
	}
}

// aclRoutes answer that access control is off.
func (s *Server) aclRoutes() []Route {
	return []Route{
		every("/v1/acl/{rest...}", "Access control comes later.", noACL),
		get("/v1/acl/token/self", "The token everybody has while access control is off.", func(*request) (any, error) {
			return map[string]any{"AccessorID": "", "Name": "Bootstrap Token", "Type": "management", "Policies": nil, "Global": true}, nil
		}),
	}
}

// volumeRoutes answer that there are no volumes.
func (s *Server) volumeRoutes() []Route {
	empty := (*request).emptyList
	page := func(list string) Handler {
		return func(q *request) (any, error) {
			q.meta(msg.QueryMeta{Index: 1, KnownLeader: true})
			return map[string]any{list: []any{}, "NextToken": ""}, nil
		}
	}
	noVolumes := later("volumes are")
	return []Route{
		get("/v1/volumes", "No volumes yet.", empty).with(http.MethodPut, noVolumes),
		get("/v1/volumes/external", "No volumes yet.", page("Volumes")),
		get("/v1/volumes/snapshot", "No snapshots yet.", page("Snapshots")).with(http.MethodPut, noVolumes).with(http.MethodDelete, noVolumes),
		get("/v1/volumes/claims", "No claims yet.", empty),
		every("/v1/volumes/claim/{id}", "No claims yet.", missing("volume claim")),
		get("/v1/volume/{kind}/{id}", "No volumes yet.", missing("volume")).with(http.MethodPut, noVolumes).with(http.MethodDelete, missing("volume")),
		put("/v1/volume/{kind}/{id}/{action}", "No volumes yet.", noVolumes).with(http.MethodDelete, missing("volume")),
		get("/v1/plugins", "No storage plugins yet.", empty),
		get("/v1/plugin/csi/{id}", "No storage plugins yet.", missing("plugin")),
	}
}

// laterRoutes are what later versions have.
func (s *Server) laterRoutes() []Route {
	empty := (*request).emptyList
	keyring, variables := later("the keyring over HTTP is"), later("variables are")
	return []Route{
		get("/v1/services", "No service is registered yet: the catalogue comes later.", empty),
		get("/v1/service/{name}", "No service is registered yet.", empty),
		every("/v1/service/{name}/{id}", "No service is registered yet.", missing("service registration")),
		get("/v1/job/{id}/services", "No service is registered yet.", empty),
		get("/v1/allocation/{id}/checks", "No checks yet.", func(*request) (any, error) { return struct{}{}, nil }),
		get("/v1/job/{id}/actions", "No actions yet.", empty),
		get("/v1/scaling/policies", "No scaling policies yet.", empty),
		get("/v1/scaling/policy/{id}", "No scaling policies yet.", missing("policy")),
		get("/v1/vars", "No variables yet.", empty),
		get("/v1/var/{path...}", "No variables yet.", missing("variable")).with(http.MethodPut, variables).with(http.MethodDelete, variables),
		get("/v1/jobs/statuses", "Later.", later("statuses of jobs are")).with(http.MethodPut, later("statuses of jobs are")),
		get("/v1/client/allocation/{alloc}/exec", "Later.", later("alloc exec is")),
		get("/v1/client/allocation/{alloc}/snapshot", "Later.", later("moving an allocation's data is")),
		every("/v1/client/identity", "Later.", later("identities of nodes are")),
		put("/v1/client/identity/renew", "Later.", later("identities of nodes are")),
		get("/v1/agent/monitor/export", "Later.", later("export of logs is")),
		every("/v1/operator/keyring/{rest...}", "Later.", keyring),
		get("/v1/operator/upgrade-check/{check}", "Later.", later("upgrade checks are")),
	}
}
