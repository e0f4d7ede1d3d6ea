package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"github.com/steppe-project/steppe/plugins/serve"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	// connBufferBytes are gRPC's buffers for the one connection to a plugin.
	connBufferBytes = 8 << 10
	// attachPing is how long a process has to answer a host that comes back.
	attachPing = 5 * time.Second
	// connectTimeout bounds one attempt to connect; the socket is on this machine.
	connectTimeout = 3 * time.Second
)

// connectParams try again soon: a plugin that lost its connection is back at
// once or not at all.
var connectParams = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: connectTimeout,
}

// Process is a running plugin process and the connection to it.
type Process struct {
	client   *plugin.Client
	conn     *grpc.ClientConn
	kill     func(context.Context) error
	release  func()
	done     <-chan struct{}
	reattach Reattach
}

// Launch starts a process and waits for its handshake. The error of a process
// that ends before has its last words.
func Launch(ctx context.Context, o Options) (*Process, error) {
	lines := &lineLog{log: o.log()}
	c := &child{ctx: ctx, detach: o.Detach, lines: lines, done: make(chan struct{})}
	if err := os.MkdirAll(o.socketDir(), 0o700); o.socketDir() != "" && err != nil {
		return nil, fmt.Errorf("plugin %s: folder for its socket: %w", o.Name, err)
	}
	var dir string
	config := clientConfig(&o, lines)
	config.UnixSocketConfig = &plugin.UnixSocketConfig{TempDir: o.socketDir()}
	config.RunnerFunc = func(_ hclog.Logger, cmd *exec.Cmd, sockets string) (runner.Runner, error) {
		// go-plugin made cmd for its environment alone, and the folder.
		dir = sockets
		c.cmd = exec.Command(o.Path, o.Args...)
		c.cmd.Env = append(o.environ(), cmd.Env...)
		return c, nil
	}
	client := plugin.NewClient(config)
	// The client knows no context: the end of ctx ends the process.
	stop := context.AfterFunc(ctx, func() { _ = c.Kill(ctx) })
	defer stop()
	p, err := connect(client)
	if err == nil {
		p.kill, p.release, p.done = c.Kill, c.release, c.done
		err = p.identify(c.process.Load().Pid, dir)
	}
	if err != nil {
		client.Kill()
		if c.process.Load() != nil {
			<-c.done
		}
		removeSockets("", "", dir)
		return nil, startError(ctx, &o, lines, err)
	}
	return p, nil
}

// startError tells why a process did not start, with what it said.
func startError(ctx context.Context, o *Options, lines *lineLog, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("plugin %s: %w", o.Name, ctx.Err())
	}
	if last := lines.last(); last != "" {
		return fmt.Errorf("plugin %s: %w\nIts last words:\n%s", o.Name, err, last)
	}
	return fmt.Errorf("plugin %s: %w", o.Name, err)
}

// Attach connects to a process that an earlier host started. ErrGone when it
// does not run any more, or ran without answering and has been killed; what it
// left of sockets is removed then.
func Attach(ctx context.Context, o Options, r Reattach) (*Process, error) {
	lines := &lineLog{log: o.log()}
	addr, err := parseAddr(r.Network, r.Addr)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", o.Name, err)
	}
	a, err := attach(&r, lines)
	if err != nil {
		removeSockets(r.Network, r.Addr, r.SocketDir)
		return nil, fmt.Errorf("plugin %s: %w", o.Name, err)
	}
	config := clientConfig(&o, lines)
	config.Reattach = &plugin.ReattachConfig{
		Protocol: plugin.ProtocolGRPC, ProtocolVersion: serve.ProtocolVersion, Addr: addr, Pid: r.PID,
		ReattachFunc: func() (runner.AttachedRunner, error) { return a, nil },
	}
	p, err := connect(plugin.NewClient(config))
	if err == nil {
		p.kill, p.release, p.done, p.reattach = a.Kill, a.release, a.done, r
		err = p.firstPing(ctx)
	}
	if err == nil {
		return p, nil
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), p.Release())
	}
	err = errors.Join(fmt.Errorf("%w: process %d did not answer and was killed: %w", ErrGone, r.PID, err), a.Kill(ctx))
	<-a.done
	removeSockets(r.Network, r.Addr, r.SocketDir)
	return nil, fmt.Errorf("plugin %s: %w", o.Name, err)
}

// firstPing bounds the ping of a process that may hang.
func (p *Process) firstPing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attachPing)
	defer cancel()
	return p.Ping(ctx)
}

// clientConfig is what both ways to a process have in common. go-plugin's own
// log is of its inner life; what matters of it comes back as errors.
func clientConfig(o *Options, lines *lineLog) *plugin.ClientConfig {
	handshake := serve.Handshake()
	return &plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugin.PluginSet{},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		StartTimeout:     o.startTimeout(),
		SkipHostEnv:      true,
		SyncStdout:       &lineLog{log: lines.log},
		SyncStderr:       lines,
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithConnectParams(connectParams),
			grpc.WithReadBufferSize(connBufferBytes),
			grpc.WithWriteBufferSize(connBufferBytes),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(serve.MaxMessageBytes), grpc.MaxCallSendMsgSize(serve.MaxMessageBytes)),
		},
	}
}

// connect starts client and takes its connection.
func connect(client *plugin.Client) (*Process, error) {
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	rpc, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return nil, errors.New("the plugin does not speak gRPC")
	}
	return &Process{client: client, conn: rpc.Conn}, nil
}

// identify notes what finds the process again.
func (p *Process) identify(pid int, dir string) error {
	ticks, err := startTicks(pid)
	if err != nil {
		return err
	}
	addr := p.client.ReattachConfig().Addr
	p.reattach = Reattach{Network: addr.Network(), Addr: addr.String(), PID: pid, StartTicks: ticks, SocketDir: dir}
	return nil
}

func parseAddr(network, addr string) (net.Addr, error) {
	switch network {
	case "unix":
		return net.ResolveUnixAddr(network, addr)
	case "tcp":
		return net.ResolveTCPAddr(network, addr)
	}
	return nil, fmt.Errorf("unknown network %q", network)
}

// Conn is the connection to the plugin, for proxy.NewDriver; it ends with the
// process.
func (p *Process) Conn() *grpc.ClientConn { return p.conn }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID of the process.
func (p *Process) PID() int { return p.reattach.PID }

// Reattach finds the process again, also from another host process.
func (p *Process) Reattach() Reattach { return p.reattach }

// Ping asks the plugin's health service.
func (p *Process) Ping(ctx context.Context) error {
	r, err := grpc_health_v1.NewHealthClient(p.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return err
	}
	if r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("it says that it is %s", r.Status)
	}
	return nil
}

// Stop asks the process to end, kills it after two seconds or at the end of
// ctx, waits for its end and removes its socket.
func (p *Process) Stop(ctx context.Context) error {
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		p.client.Kill()
	}()
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	err := p.kill(ctx)
	<-p.done
	<-asked
	removeSockets(p.reattach.Network, p.reattach.Addr, p.reattach.SocketDir)
	return err
}

// Release closes the connection and leaves the process, and its log, alone.
func (p *Process) Release() error {
	if p == nil {
		return nil
	}
	p.release()
	if err := p.conn.Close(); status.Code(err) != codes.Canceled {
		return err
	}
	return nil // it was closed before
}

// removeSockets removes what a process that has ended may have left: its socket,
// where it is one, and the folder that Launch made for it.
func removeSockets(network, addr, dir string) {
	if network == "unix" && filepath.IsAbs(addr) {
		if info, err := os.Lstat(addr); err == nil && info.Mode()&os.ModeSocket != 0 {
			_ = os.Remove(addr)
		}
	}
	if dir != "" && strings.HasPrefix(filepath.Base(dir), "plugin") {
		_ = os.RemoveAll(dir)
	}
}
