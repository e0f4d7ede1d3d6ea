package httpapi

import (
	"strings"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func (s *Server) allocRoutes() []Route {
	return []Route{
		get("/v1/allocations", "List allocations.", s.listAllocs),
		get("/v1/allocation/{id}", "Read an allocation with its job.", s.getAlloc),
		put("/v1/allocation/{id}/stop", "Stop an allocation; another is placed.", s.stopAlloc),
		get("/v1/allocation/{id}/services", "List an allocation's service registrations.", s.allocServices),
	}
}

func (s *Server) listAllocs(q *request) (any, error) {
	if err := checkPrefix(q.query.Prefix); err != nil {
		return nil, err
	}
	resources, err := q.flag("resources")
	if err != nil {
		return nil, err
	}
	states := true
	if q.r.URL.Query().Has("task_states") {
		if states, err = q.flag("task_states"); err != nil {
			return nil, err
		}
	}
	out, err := msg.AllocList.Call(q.r.Context(), q.servers(), &msg.AllocListRequest{
		QueryOptions: q.query, Resources: resources, TaskStates: states,
	})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Allocs), nil
}

// checkPrefix refuses a prefix that no id can have.
func checkPrefix(p string) error {
	if strings.Trim(p, "0123456789abcdefABCDEF-") != "" {
		return bad("prefix %q is not the beginning of an id (hexadecimal digits and dashes)", p)
	}
	if len(p) > 36 {
		return bad("prefix %q is longer than an id", p)
	}
	return nil
}

func (s *Server) getAlloc(q *request) (any, error) {
	out, err := msg.AllocGet.Call(q.r.Context(), q.servers(), &msg.IDQuery{QueryOptions: q.query, ID: q.r.PathValue("id")})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Alloc == nil {
		return nil, model.Errorf(model.CodeNotFound, "alloc not found")
	}
	return out.Alloc, nil
}

func (s *Server) stopAlloc(q *request) (any, error) {
	noDelay, err := q.flag("no_shutdown_delay")
	if err != nil {
		return nil, err
	}
	out, err := msg.AllocStop.Call(q.r.Context(), q.servers(), &msg.AllocStopRequest{
		WriteOptions: q.writeOptions(), AllocID: q.r.PathValue("id"), NoShutdownDelay: noDelay,
	})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return struct {
		EvalID string
		Index  uint64
	}{out.EvalID, out.Index}, nil
}

// allocServices is empty until the catalogue comes: registrations are derived.
func (s *Server) allocServices(q *request) (any, error) {
	if _, err := s.getAlloc(q); err != nil {
		return nil, err
	}
	return []any{}, nil
}
