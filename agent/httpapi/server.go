// Package httpapi serves the HTTP API: one table of routes onto RPC methods,
// with blocking queries, pagination, streams and the errors that existing
// clients expect. It holds no state of its own and any agent serves it: requests
// go through a Caller, which answers in process, or reaches a server.
//
// Invariants:
//   - every route is in routes(), with its methods and its documentation line;
//   - an error's code becomes a status in one place (writeError);
//   - a body is bounded before it is read, a slow reader by a write deadline.
package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/httpapi/conns"
	"github.com/steppe-project/steppe/agent/rpc"
)

// Limits of the listener. Each is there so that no client can hold up others.
const (
	MaxBodyBytes      = 10 << 20         // a job is rarely over 1 MB
	MaxSnapshotBytes  = 16 << 30         // a snapshot is streamed, never held
	MaxHeaderBytes    = 64 << 10         // tokens and filters are short
	ReadHeaderTimeout = 10 * time.Second // a client that says nothing is cut
	IdleTimeout       = 2 * time.Minute
	StreamWriteLimit  = 40 * time.Second // for one frame to a stream's reader
	ShutdownGrace     = 2 * time.Second
)

// Local answers what concerns the node of this very agent; nil without the
// client role.
type Local interface {
	// NodeID is the agent's node.
	NodeID() string
	// HasAlloc tells whether the allocation's directory is on this machine.
	HasAlloc(id string) bool
	// Caller reaches the node's own handlers.
	Caller() rpc.Caller
}

// Config is what the API needs of its agent.
type Config struct {
	// Servers reaches the region's servers, or their handlers in process.
	Servers rpc.Caller
	Local   Local
	Agent   Agent
	Region  string
	// Gatherer has the metrics of /v1/metrics.
	Gatherer prometheus.Gatherer
	Logger   *slog.Logger
	Headers  map[string]string
	Debug    bool
	TLS      *tls.Config
	// MaxConnsPerIP bounds the open connections of one address; when it is
	// reached the longest idle one is closed. 0 = no bound.
	MaxConnsPerIP int
}

// Server is the HTTP side of an agent.
type Server struct {
	cfg     Config
	handler http.Handler
	routes  []Route
}

// New builds the routes.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	s.routes = s.table()
	// A node may not be called "pool", but the mux cannot know: pools have their own.
	mux, pools := http.NewServeMux(), http.NewServeMux()
	for i := range s.routes {
		r := &s.routes[i]
		if strings.HasPrefix(r.Path, poolPrefix) {
			pools.HandleFunc(r.Path, s.serve(r))
			continue
		}
		mux.HandleFunc(r.Path, s.serve(r))
	}
	s.debugRoutes(mux)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/ui/", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("GET /ui/", servePage)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.handler = s.headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, poolPrefix) {
			pools.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return s
}

const poolPrefix = "/v1/node/pool/"

// Routes is the table, for documentation and its tests.
func (s *Server) Routes() []Route { return s.routes }

// Handler is the whole API.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for k, v := range s.cfg.Headers {
			w.Header().Set(k, v)
		}
		next.ServeHTTP(w, r)
	})
}

// Run serves l until ctx ends; open requests then get ShutdownGrace.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: ReadHeaderTimeout, IdleTimeout: IdleTimeout,
		MaxHeaderBytes: MaxHeaderBytes, ConnState: conns.New(s.cfg.MaxConnsPerIP).Observe, TLSConfig: s.cfg.TLS,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() {
		if s.cfg.TLS != nil {
			done <- srv.ServeTLS(l, "", "")
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	cancel()
	grace, stop := context.WithTimeout(context.Background(), ShutdownGrace)
	defer stop()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // readers of streams that do not go are cut
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// compressed wraps handlers whose answers are plain bodies (not streams).
var compressed = func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1024))
	if err != nil {
		panic(err) // constant options
	}
	return wrap
}()
