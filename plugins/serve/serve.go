// Package serve is the plugin's side of the wire: it turns an implementation of
// a contract in package plugins into a plugin process, or registers it with a
// gRPC server.
//
//	func main() { serve.Driver(mydriver.New()) }
//
// The process speaks the go-plugin handshake (core protocol 1, application
// protocol 2, gRPC only) on its standard output, so that an existing
// Nomad-style host can run it as well. Invariants: the process outlives its
// host unless told otherwise; losing the host's end of stderr never kills it;
// interrupts are ignored; it ends when the host asks its GRPCController to.
//
// Log with the logger of Logger: its lines reach the host's log.
package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/steppe-project/steppe/plugins"
	"google.golang.org/grpc"
)

// The handshake of the plugin protocol. The cookie is no secret: it tells a
// process that it was started as a plugin.
const (
	// ProtocolVersion is go-plugin's application protocol version.
	ProtocolVersion = 2
	// CookieKey and CookieValue are the environment variable of a plugin process.
	CookieKey   = "NOMAD_PLUGIN_MAGIC_COOKIE"
	CookieValue = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
)

// MaxMessageBytes bounds one message from the host. A task's configuration and
// environment travel in one; gRPC's own limit of 4 MiB is small for jobs with
// large templates, and more than this is a mistake.
const MaxMessageBytes = 64 << 20

const (
	// bufferBytes are gRPC's read and write buffers for each connection, of which
	// a plugin has one; messages are small, memory counts.
	bufferBytes = 8 << 10
	// gcPercent trades a little processor for memory: a plugin process idles.
	gcPercent = 40
	// settleAfter is when start-up's garbage goes back to the system: the host's
	// first calls are over by then.
	settleAfter = 3 * time.Second
)

// Handshake is the go-plugin form of the constants above.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   CookieKey,
		MagicCookieValue: CookieValue,
	}
}

// Launched tells whether this process was started as a plugin.
func Launched() bool { return os.Getenv(CookieKey) == CookieValue }

// Driver serves d until the host ends the process. Started by anything but a
// plugin host, it says so on stderr and exits 1.
func Driver(d plugins.Driver) {
	run(func(s *grpc.Server) { RegisterDriver(s, d) })
}

// Device serves d until the host ends the process, like Driver.
func Device(d plugins.Device) {
	run(func(s *grpc.Server) { RegisterDevice(s, d) })
}

// run serves what register adds and does not return before the host's word.
func run(register func(*grpc.Server)) {
	if !Launched() {
		fmt.Fprintln(os.Stderr, "This program is a plugin: put it in the agent's plugin_dir and name it in a plugin block; the agent starts it.")
		os.Exit(1)
	}
	// A handler, not SIG_IGN: with it a lost host makes writes fail instead of
	// killing the process, and tasks do not inherit it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	settle := time.AfterFunc(settleAfter, debug.FreeOSMemory)
	defer settle.Stop()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         plugin.PluginSet{"plugin": &registration{register: register}},
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "plugin", Level: hclog.Warn, Output: stderr, JSONFormat: true,
		}),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts,
				grpc.MaxRecvMsgSize(MaxMessageBytes),
				grpc.ReadBufferSize(bufferBytes),
				grpc.WriteBufferSize(bufferBytes),
			)...)
		},
	})
}

// registration is the go-plugin form of "register these services".
type registration struct {
	plugin.NetRPCUnsupportedPlugin
	register func(*grpc.Server)
}

// GRPCServer is called by go-plugin with the server it made.
func (r *registration) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	r.register(s)
	return nil
}

// GRPCClient makes registration a go-plugin gRPC plugin; hosts take the
// connection instead.
func (r *registration) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

var _ plugin.GRPCPlugin = (*registration)(nil)
