package agent

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/consensus/datadir"
	"github.com/steppe-project/steppe/agent/gossip"
	"github.com/steppe-project/steppe/agent/httpapi"
	"github.com/steppe-project/steppe/agent/keyring"
	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/internal/version"
	"github.com/steppe-project/steppe/model"
)

// Agent is one process of the cluster.
type Agent struct {
	cfg  *config.Config
	logs *Logs
	log  *slog.Logger

	id       string
	name     string
	dir      *datadir.Dir
	ends     endpoints
	ring     *keyring.Ring
	security *port.Security
	pool     *rpc.Pool
	gossip   *gossip.Pool // of the region
	wan      *gossip.Pool // of the servers of all regions; nil without
	registry *prometheus.Registry

	srv    *serverRole // nil without the role
	cl     *clientRole // nil without the role
	httpLn net.Listener
	// httpTLSConf is the listener's, nil without; its handshakes take httpCerts.
	httpTLSConf *tls.Config
	httpCerts   atomic.Pointer[tls.Config]

	leave      chan struct{} // closed when the agent is to leave for good
	leaving    atomic.Bool
	announced  gossip.Meta // watchMembers only
	outdated   atomic.Pointer[string]
	foundFault string
	started    time.Time
}

// New opens everything that can fail: the data directory, ports, the log. Run
// must follow.
func New(cfg *config.Config, logs *Logs) (*Agent, error) {
	a := &Agent{cfg: cfg, logs: logs, log: logs.Logger(), leave: make(chan struct{}), started: time.Now()}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.release())
	}
	return a, nil
}

func (a *Agent) open() (err error) {
	if a.dir, err = datadir.Open(a.cfg.DataDir); err != nil {
		return err
	}
	a.id = a.dir.ID()
	if a.name = a.cfg.Name; a.name == "" {
		if a.name, err = os.Hostname(); err != nil {
			return fmt.Errorf("the host's name is not known, set name: %w", err)
		}
	}
	if a.ends, err = resolve(a.cfg); err != nil {
		return err
	}
	if a.httpLn, err = listen("http", a.ends.http.bind); err != nil {
		return err
	}
	if a.httpTLSConf, err = a.httpTLS(); err != nil {
		return err
	}
	a.ends.http.advertise = withPort(a.ends.http.advertise, a.httpLn)
	if err := a.openRing(); err != nil {
		return err
	}
	if err := a.secure(); err != nil {
		return err
	}
	a.pool = rpc.NewPool(a.security, a.log.With("component", "rpc"))
	if a.registry, err = newRegistry(); err != nil {
		return err
	}
	if a.cfg.Server.Enabled {
		if err := a.newServer(); err != nil {
			return err
		}
	}
	if err := a.newWAN(); err != nil {
		return err
	}
	if err := a.newGossip(); err != nil {
		return err
	}
	if a.cfg.Client.Enabled {
		if err := a.newClient(); err != nil {
			return err
		}
	}
	return nil
}

// key is the configured one, nil for none.
func (a *Agent) key() ([]byte, error) {
	text := a.cfg.Key()
	if text == "" {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

func (a *Agent) secure() (err error) {
	t, keys := a.cfg.TLS, a.ring.Keys()
	switch {
	case t.RPC:
		a.security, err = port.FromFiles(a.rpcFiles())
	case len(keys) > 0:
		if a.security, err = port.FromKey(keys[0], a.id, a.cfg.Region); err == nil {
			err = a.security.SetKeys(keys[0], keys[1:]...)
		}
	default:
		a.security = port.Plaintext()
	}
	return err
}

// release closes what open opened, for an agent that does not come to run.
func (a *Agent) release() error {
	var errs []error
	for _, p := range []*gossip.Pool{a.gossip, a.wan} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if a.httpLn != nil {
		errs = append(errs, a.httpLn.Close())
	}
	if a.srv != nil && a.srv.host != nil {
		errs = append(errs, a.srv.host.Close())
	}
	if a.pool != nil {
		a.pool.Close()
	}
	if a.dir != nil {
		errs = append(errs, a.dir.Close())
	}
	return errors.Join(errs...)
}

// Run runs the agent until ctx ends or it is told to leave, and stops it in
// order: first what takes requests, last what others depend on.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.leave:
			cancel()
		case <-ctx.Done():
		}
	}()
	parts := append([]*part{{name: "gossip", run: a.gossip.Run}, a.peersPart()}, a.wanParts()...)
	if a.srv != nil {
		parts = append(parts, a.serverParts()...)
	}
	if a.cl != nil {
		parts = append(parts, &part{name: "client", run: a.cl.run})
	}
	parts = append(parts, a.httpPart(), a.farewell())
	a.log.Info("agent started", "name", a.name, "id", a.id, "version", version.Short(), "http", a.httpURL(),
		"server", a.cfg.Server.Enabled, "client", a.cfg.Client.Enabled)
	err := runParts(ctx, a.log, parts)
	a.pool.Close()
	return errors.Join(err, a.dir.Close())
}

// httpURL is where the HTTP API is.
func (a *Agent) httpURL() string {
	if a.cfg.TLS.HTTP {
		return "https://" + a.ends.http.advertise
	}
	return "http://" + a.ends.http.advertise
}

// handOver is how long a leader may take to hand over before it stops.
const handOver = 3 * time.Second

// farewell ends first: it prepares the others for the agent's going.
func (a *Agent) farewell() *part {
	return &part{name: "farewell", run: func(ctx context.Context) error {
		<-ctx.Done()
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), handOver)
		defer cancel()
		if a.srv != nil {
			if err := a.srv.host.Leave(soon); err != nil {
				a.log.Warn("leadership was not handed over", "error", err)
			}
		}
		return nil
	}}
}

func (a *Agent) httpPart() *part {
	conns := 0
	if a.cfg.Limits.HTTPMaxConns != nil {
		conns = *a.cfg.Limits.HTTPMaxConns
	}
	return &part{name: "http", run: func(ctx context.Context) error {
		conf := httpapi.Config{
			Servers: a.servers(), Agent: (*face)(a), Region: a.cfg.Region, Gatherer: a.registry,
			Logger: a.log.With("component", "http"), Headers: a.cfg.HTTPHeaders, Debug: a.cfg.EnableDebug,
			TLS: a.httpTLSConf, MaxConnsPerIP: conns,
		}
		if a.cl != nil {
			conf.Local = a.cl
		}
		return httpapi.New(conf).Run(ctx, a.httpLn)
	}}
}

// servers reaches the region's servers: in process, or any that gossip knows.
func (a *Agent) servers() rpc.Caller {
	if a.srv != nil {
		return a.srv.rpc.Caller()
	}
	return a.pool.Servers(func() []string {
		var out []string
		for _, m := range a.liveServers() {
			out = append(out, m.Meta.RPCAddr)
		}
		return out
	})
}

// Leave leaves the region for good and ends the agent.
func (a *Agent) Leave(ctx context.Context) error {
	if !a.leaving.CompareAndSwap(false, true) {
		return model.Errorf(model.CodeConflict, "the agent is leaving already")
	}
	a.log.Info("leaving for good")
	if a.cl != nil {
		a.cl.stopTasks()
	}
	if a.srv != nil {
		if err := a.srv.host.Leave(ctx); err != nil {
			a.log.Warn("leadership was not handed over", "error", err)
		}
	}
	if a.wan != nil {
		if err := a.wan.Leave(ctx); err != nil {
			a.log.Warn("not all other regions were told of the leaving", "error", err)
		}
	}
	if err := a.gossip.Leave(ctx); err != nil {
		a.log.Warn("not all agents were told of the leaving", "error", err)
	}
	close(a.leave)
	return nil
}
