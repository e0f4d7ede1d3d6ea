package httpapi

import (
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model/feature"
)

// featureLevel is a level that this binary or the cluster knows.
type featureLevel struct {
	Level      int
	Name, Text string
	Active     bool
}

// features tells how far the cluster has agreed to go, as the answering server sees
// it.
func (s *Server) features(q *request) (any, error) {
	out, err := msg.Features.Call(q.r.Context(), q.servers(), q.status())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	levels := []featureLevel{}
	for _, d := range feature.All() {
		levels = append(levels, featureLevel{int(d.Level), d.Name, d.Text, int(d.Level) <= out.Active})
	}
	return struct {
		Active      int
		ActivatedAt int64
		Understood  int
		Possible    int
		Lacking     []string
		HeldBy      []string
		Levels      []featureLevel
		Servers     []*msg.FeatureServer
	}{out.Active, out.ActivatedAt, out.Understands, out.Possible, orEmpty(out.Lacking), orEmpty(out.Held), levels, orEmpty(out.Servers)}, nil
}

// activateFeature activates the level of the body, or the newest possible one.
func (s *Server) activateFeature(q *request) (any, error) {
	var body struct{ Level *int }
	if err := q.body(&body, true); err != nil {
		return nil, err
	}
	level := 0
	if body.Level != nil {
		if level = *body.Level; level < 1 {
			return nil, bad("feature level %d: levels start at 1; leave Level out for the newest that all servers understand", level)
		}
	}
	out, err := msg.FeatureActivate.Call(q.r.Context(), q.servers(), &msg.FeatureActivateRequest{WriteOptions: q.writeOptions(), Level: level})
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return struct {
		Level int
		Index uint64
	}{out.Level, out.Index}, nil
}
