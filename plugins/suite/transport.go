package suite

import (
	"context"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
	"github.com/steppe-project/steppe/plugins/proxy"
	"github.com/steppe-project/steppe/plugins/serve"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Main is a TestMain for a package that runs the suite over every transport: it
// serves the driver when this test binary was started as a plugin, else it runs
// the tests.
func Main(m *testing.M, newDriver func() plugins.Driver) {
	if serve.Launched() {
		serve.Driver(newDriver())
		return
	}
	os.Exit(m.Run())
}

// All runs the suite over every transport: in process, through the proxy, and
// as a subprocess, for which the package needs Main.
func All(t *testing.T, newDriver func() plugins.Driver, opts Options) {
	t.Run("inprocess", func(t *testing.T) { Driver(t, InProcess(newDriver), opts) })
	t.Run("proxy", func(t *testing.T) { Driver(t, Proxied(newDriver), opts) })
	t.Run("subprocess", func(t *testing.T) { Driver(t, Subprocess(host.Options{}), opts) })
}

// InProcess calls the driver directly.
func InProcess(newDriver func() plugins.Driver) Maker {
	return func(*testing.T) plugins.Driver { return newDriver() }
}

// Subprocess calls the driver in a process of its own, by default this test
// binary, which needs Main.
func Subprocess(o host.Options) Maker {
	if o.Path == "" {
		o.Path = host.Self
	}
	return func(t *testing.T) plugins.Driver {
		o := o
		if o.Name == "" {
			o.Name = t.Name()
		}
		if o.Log == nil {
			o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		}
		p, err := host.Launch(deadline(t), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Stop(context.Background()); err != nil {
				t.Errorf("stopping the driver's process: %v", err)
			}
		})
		return &processDriver{Driver: proxy.NewDriver(p.Conn()), process: p}
	}
}

// processDriver is a driver whose process can be killed.
type processDriver struct {
	*proxy.Driver
	process *host.Process
}

// Crash kills the process, as a fault of its own would.
func (d *processDriver) Crash() {
	// The process may have ended already; the wait is what counts.
	_ = syscall.Kill(d.process.PID(), syscall.SIGKILL)
	<-d.process.Done()
}

// bufferBytes is the capacity of the in-memory connection.
const bufferBytes = 1 << 20

// Proxied calls the driver through server, wire and proxy over a connection in
// memory.
func Proxied(newDriver func() plugins.Driver) Maker {
	return func(t *testing.T) plugins.Driver {
		return proxy.NewDriver(connect(t, func(s *grpc.Server) { serve.RegisterDriver(s, newDriver()) }))
	}
}

// connect serves what register adds and gives a connection to it, both for the
// time of t.
func connect(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(bufferBytes)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(serve.MaxMessageBytes))
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("closing the connection: %v", err)
		}
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return conn
}
