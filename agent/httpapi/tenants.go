package httpapi

import "github.com/steppe-project/steppe/agent/httpapi/tenants"

// tenantRoutes are those of namespaces, node pools and quotas.
func (s *Server) tenantRoutes() []Route {
	var out []Route
	for _, r := range tenants.Routes() {
		route := Route{Path: r.Path, Doc: r.Doc}
		for method, h := range r.Methods {
			route = route.with(method, tenant(h))
		}
		out = append(out, route)
	}
	return out
}

func tenant(h tenants.Handler) Handler {
	return func(q *request) (any, error) {
		return h(&tenants.Call{
			Ctx: q.r.Context(), Servers: q.servers(), Query: q.query, Write: q.writeOptions(), Name: q.r.PathValue("name"),
			Body: func() ([]byte, error) { return q.rawBody(MaxBodyBytes) }, Meta: q.meta, Index: q.index,
		})
	}
}
