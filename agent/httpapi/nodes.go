package httpapi

import (
	"net/http"
	"strconv"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

func (s *Server) nodeRoutes() []Route {
	return []Route{
		get("/v1/nodes", "List nodes.", s.listNodes),
		get("/v1/node/{id}", "Read a node.", s.getNode),
		get("/v1/node/{id}/allocations", "List a node's allocations, whole.", s.nodeAllocs),
		put("/v1/node/{id}/eligibility", "Open or close a node for new work.", s.nodeEligibility),
		put("/v1/node/{id}/drain", "Empty a node, or call that off.", s.nodeDrain),
		put("/v1/node/{id}/purge", "Forget a node.", s.purgeNode),
		put("/v1/node/{id}/evaluate", "Have the jobs of a node looked at.", s.evaluateNode),
		get("/v1/node/pool/{name}/nodes", "List the nodes of a pool.", s.poolNodes),
		get("/v1/node/pool/{name}/jobs", "List the jobs of a pool.", s.poolJobs),
		get("/v1/client/metadata", "Read a node's metadata.", s.nodeMeta).with(http.MethodPut, later("changing a node's metadata is")),
	}
}

func (s *Server) nodeList(q *request, pool string) (any, error) {
	if err := checkPrefix(q.query.Prefix); err != nil {
		return nil, err
	}
	resources, err := q.flag("resources")
	if err != nil {
		return nil, err
	}
	attributes, err := q.flag("os")
	if err != nil {
		return nil, err
	}
	out, err := msg.NodeList.Call(q.r.Context(), q.servers(), &msg.NodeListRequest{
		QueryOptions: q.query, Pool: pool, Resources: resources, Attributes: attributes,
	})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Nodes), nil
}

func (s *Server) listNodes(q *request) (any, error) { return s.nodeList(q, "") }

func (s *Server) poolNodes(q *request) (any, error) { return s.nodeList(q, q.r.PathValue("name")) }

func (s *Server) poolJobs(q *request) (any, error) {
	filter := "NodePool == " + strconv.Quote(q.r.PathValue("name"))
	if q.query.Filter != "" {
		filter += " and (" + q.query.Filter + ")"
	}
	q.query.Filter = filter
	return s.listJobs(q)
}

// nodeMeta is the metadata of a node, this one without ?node_id. None of it is
// dynamic yet.
func (s *Server) nodeMeta(q *request) (any, error) {
	id := q.param("node_id")
	if id == "" && s.cfg.Local != nil {
		id = s.cfg.Local.NodeID()
	}
	out, err := msg.NodeGet.Call(q.r.Context(), q.servers(), &msg.IDQuery{QueryOptions: q.query, ID: id})
	if err != nil {
		return nil, err
	}
	if out.Node == nil {
		return nil, model.Errorf(model.CodeNotFound, "node not found")
	}
	return map[string]any{"Meta": out.Node.Meta, "Static": out.Node.Meta, "Dynamic": map[string]any{}}, nil
}

// nodeID is the path's id; a malformed one is refused in the words clients know.
func (q *request) nodeID() (string, error) {
	id := q.r.PathValue("id")
	if len(id) != 36 {
		return "", model.Errorf(model.CodeInternal, "node lookup failed: index error: UUID must be 36 characters")
	}
	return id, nil
}

func (s *Server) getNode(q *request) (any, error) {
	id, err := q.nodeID()
	if err != nil {
		return nil, err
	}
	out, err := msg.NodeGet.Call(q.r.Context(), q.servers(), &msg.IDQuery{QueryOptions: q.query, ID: id})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Node == nil {
		return nil, model.Errorf(model.CodeNotFound, "node not found")
	}
	return out.Node, nil
}

func (s *Server) nodeAllocs(q *request) (any, error) {
	id, err := q.nodeID()
	if err != nil {
		return nil, err
	}
	out, err := msg.NodeAllocs.Call(q.r.Context(), q.servers(), &msg.IDQuery{QueryOptions: q.query, ID: id})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Allocs), nil
}

func (s *Server) nodeDrain(q *request) (any, error) {
	id, err := q.nodeID()
	if err != nil {
		return nil, err
	}
	var body struct {
		NodeID       string
		DrainSpec    *model.DrainSpec
		MarkEligible bool
		Meta         map[string]string
	}
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	if body.NodeID != "" && body.NodeID != id {
		return nil, bad("Node ID does not match")
	}
	out, err := msg.NodeDrain.Call(q.r.Context(), q.servers(), &msg.NodeDrainRequest{
		WriteOptions: q.writeOptions(), NodeID: id, Spec: body.DrainSpec, MarkEligible: body.MarkEligible, Meta: body.Meta,
	})
	return q.nodeWritten(out, err)
}

func (s *Server) nodeEligibility(q *request) (any, error) {
	id, err := q.nodeID()
	if err != nil {
		return nil, err
	}
	var body struct{ NodeID, Eligibility string }
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	if body.NodeID != "" && body.NodeID != id {
		return nil, bad("Node ID does not match")
	}
	out, err := msg.NodeEligibility.Call(q.r.Context(), q.servers(), &msg.NodeEligibilityRequest{
		WriteOptions: q.writeOptions(), NodeID: id, Eligibility: body.Eligibility,
	})
	return q.nodeWritten(out, err)
}

func (q *request) nodeWritten(out *msg.NodeWriteResponse, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return struct {
		EvalIDs         []string
		EvalCreateIndex uint64
		NodeModifyIndex uint64
		Index           uint64
	}{out.EvalIDs, out.EvalCreateIndex, out.NodeModifyIndex, out.Index}, nil
}

func (s *Server) purgeNode(q *request) (any, error) {
	id, err := q.nodeID()
	if err != nil {
		return nil, err
	}
	out, err := msg.NodePurge.Call(q.r.Context(), q.servers(), &msg.NodeWriteRequest{WriteOptions: q.writeOptions(), NodeID: id})
	return q.nodeWritten(out, err)
}

func (s *Server) evaluateNode(q *request) (any, error) {
	id, err := q.nodeID()
	if err != nil {
		return nil, err
	}
	out, err := msg.NodeEvaluate.Call(q.r.Context(), q.servers(), &msg.NodeWriteRequest{WriteOptions: q.writeOptions(), NodeID: id})
	return q.nodeWritten(out, err)
}
