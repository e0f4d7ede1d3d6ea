package httpapi

import (
	"net/http"

	"github.com/steppe-project/steppe/agent/httpapi/pilotjson"
	"github.com/steppe-project/steppe/agent/rpc/msg"
)

func (s *Server) autopilotConfig(q *request) (any, error) {
	out, err := msg.AutopilotGet.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return pilotjson.Of(out.Config), nil
}

func (s *Server) setAutopilotConfig(q *request) (any, error) {
	var b pilotjson.Config
	if err := q.body(&b, false); err != nil {
		return nil, err
	}
	cas, index, err := q.cas()
	if err != nil {
		return nil, err
	}
	conf, err := b.Settings()
	if err != nil {
		return nil, bad("%v", err)
	}
	conf.ModifyIndex = index
	out, err := msg.AutopilotSet.Call(q.r.Context(), q.servers(), &msg.AutopilotConfigRequest{WriteOptions: q.writeOptions(), Config: *conf, CAS: cas})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return out.Updated || !cas, nil
}

func (s *Server) autopilotHealth(q *request) (any, error) {
	out, err := msg.AutopilotHealth.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if !out.Healthy {
		q.w.Header().Set("Content-Type", "application/json")
		q.w.WriteHeader(http.StatusTooManyRequests)
	}
	return pilotjson.Health(out), nil
}
