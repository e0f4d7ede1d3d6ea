package httpapi

import (
	"slices"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// foreign reports whether the request is for another region than the agent's.
func (q *request) foreign() bool { return q.query.Region != "" && q.query.Region != q.s.cfg.Region }

// servers reaches those of the region that the request is for.
func (q *request) servers() rpc.Caller {
	if q.foreign() {
		return rpc.InRegion(q.s.cfg.Servers, q.query.Region)
	}
	return q.s.cfg.Servers
}

// knownRegion fails when nobody has heard of the region that the request is for.
func (q *request) knownRegion() error {
	out, err := msg.StatusRegions.Call(q.r.Context(), q.s.cfg.Servers, &msg.StatusRequest{})
	if err != nil {
		return err
	}
	if !slices.Contains(out.Values, q.query.Region) {
		return model.Errorf(model.CodeInternal, rpc.NoPathToRegion)
	}
	return nil
}

// own refuses a request that would change this agent, or follow it, when it is
// for another region.
func own(h Handler) Handler {
	return func(q *request) (any, error) {
		if q.foreign() {
			return nil, bad("this is about the agent that is asked, which is of region %q: ask an agent of region %q", q.s.cfg.Region, q.query.Region)
		}
		return h(q)
	}
}
