package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// Handler answers one request: a value to be sent as JSON, or an error. A
// handler that has written the answer itself returns errDone.
type Handler func(*request) (any, error)

// Route is one path of the API.
type Route struct {
	Path    string // net/http pattern without method
	Methods map[string]Handler
	Doc     string // a sentence for the reference
	// FaultStatus answers invalid and conflicting writes where clients expect
	// another status than 400 and 409 (jobs: 500).
	FaultStatus int
	// Here marks what this agent answers by itself, whatever the region.
	Here bool
	// Stream marks answers that are not one JSON body.
	Stream bool
}

// get is a read-only route.
func get(path, doc string, h Handler) Route {
	return Route{Path: path, Doc: doc, Methods: map[string]Handler{http.MethodGet: h}}
}

// put is a write: PUT and POST are the same.
func put(path, doc string, h Handler) Route {
	return Route{Path: path, Doc: doc, Methods: map[string]Handler{http.MethodPut: h, http.MethodPost: h}}
}

// stream is a read whose answer is a stream.
func stream(path, doc string, h Handler) Route {
	r := get(path, doc, h)
	r.Stream = true
	return r
}

// with adds a method to a route.
func (r Route) with(method string, h Handler) Route {
	m := map[string]Handler{method: h}
	if method == http.MethodPut {
		m[http.MethodPost] = h
	}
	for k, v := range r.Methods {
		m[k] = v
	}
	r.Methods = m
	return r
}

// here sets Here for routes.
func here(routes ...Route) []Route {
	for i := range routes {
		routes[i].Here = true
	}
	return routes
}

// faults sets FaultStatus.
func (r Route) faults(status int) Route {
	r.FaultStatus = status
	return r
}

// Verbs lists the route's methods.
func (r Route) Verbs() string {
	var v []string
	for m := range r.Methods {
		v = append(v, m)
	}
	slices.Sort(v)
	return strings.Join(v, ", ")
}

func (s *Server) serve(r *Route) http.HandlerFunc {
	h := func(w http.ResponseWriter, req *http.Request) {
		handler := r.Methods[req.Method]
		if handler == nil && req.Method == http.MethodHead {
			handler = r.Methods[http.MethodGet]
		}
		if handler == nil {
			http.Error(w, "Invalid method", http.StatusMethodNotAllowed)
			return
		}
		q := &request{s: s, w: w, r: req, route: r}
		out, err := q.run(handler)
		switch {
		case err == errDone:
		case err != nil:
			q.writeError(err)
		default:
			q.writeJSON(out)
		}
	}
	if r.Stream {
		return h
	}
	return compressed(http.HandlerFunc(h))
}

// table is every route of the API.
func (s *Server) table() []Route {
	var all []Route
	for _, part := range [][]Route{
		s.jobRoutes(), s.allocRoutes(), s.nodeRoutes(), s.tenantRoutes(), s.evalRoutes(), s.clientRoutes(), s.agentRoutes(),
		s.operatorRoutes(), s.keyringRoutes(), s.forecastRoutes(), s.rolloutRoutes(), s.statusRoutes(), s.absentRoutes(),
	} {
		all = append(all, part...)
	}
	return all
}
