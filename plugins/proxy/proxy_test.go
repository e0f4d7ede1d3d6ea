package proxy_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/proxy"
	"github.com/steppe-project/steppe/plugins/serve"
	"github.com/steppe-project/steppe/plugins/wire/base"
	"github.com/steppe-project/steppe/plugins/wire/driver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

const patience = 30 * time.Second

// connect serves what register adds, in memory.
func connect(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		<-done
	})
	return conn
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// foreign is a driver plugin as a third party may write it: most calls are not
// there, replies are incomplete, no header comes before the first message.
type foreign struct {
	driver.UnimplementedDriverServer
	start *driver.StartTaskResponse
	wait  *driver.WaitTaskResponse
}

func (f *foreign) StartTask(context.Context, *driver.StartTaskRequest) (*driver.StartTaskResponse, error) {
	return f.start, nil
}

func (f *foreign) WaitTask(context.Context, *driver.WaitTaskRequest) (*driver.WaitTaskResponse, error) {
	return f.wait, nil
}

func (f *foreign) Capabilities(context.Context, *driver.CapabilitiesRequest) (*driver.CapabilitiesResponse, error) {
	return &driver.CapabilitiesResponse{}, nil
}

func (f *foreign) TaskStats(_ *driver.TaskStatsRequest, stream grpc.ServerStreamingServer[driver.TaskStatsResponse]) error {
	nan := &driver.TaskStats{AggResourceUsage: &driver.TaskResourceUsage{Cpu: &driver.CPUUsage{TotalTicks: math.NaN()}}}
	for _, m := range []*driver.TaskStatsResponse{{Stats: nan}, {}} {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return errors.New("no more")
}

func (f *foreign) Fingerprint(_ *driver.FingerprintRequest, stream grpc.ServerStreamingServer[driver.FingerprintResponse]) error {
	return nil
}

func (f *foreign) ExecTaskStreaming(stream grpc.BidiStreamingServer[driver.ExecTaskStreamingRequest, driver.ExecTaskStreamingResponse]) error {
	return nil
}

func (f *foreign) ExecTask(context.Context, *driver.ExecTaskRequest) (*driver.ExecTaskResponse, error) {
	return &driver.ExecTaskResponse{}, nil
}

func TestForeignDriver(t *testing.T) {
	f := &foreign{}
	d := proxy.NewDriver(connect(t, func(s *grpc.Server) { driver.RegisterDriverServer(s, f) }))
	ctx := deadline(t)
	if err := d.Init(ctx); err != nil {
		t.Errorf("Init of a plugin without it: %v", err)
	}
	if err := d.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown of a plugin without it: %v", err)
	}
	if c, err := d.Capabilities(ctx); err != nil || !reflect.DeepEqual(c, &plugins.Capabilities{}) {
		t.Errorf("Capabilities %+v, %v", c, err)
	}
	if err := d.SignalTask(ctx, "x", "SIGHUP"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SignalTask: %v", err)
	}
	if _, err := d.PluginInfo(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("PluginInfo without the service: %v", err)
	}
	if ch, err := d.Fingerprint(ctx); err != nil || receive(ch) != nil {
		t.Errorf("an empty stream of fingerprints: %v", err)
	}
	if ch, err := d.TaskEvents(ctx); err != nil || receive(ch) != nil {
		t.Errorf("refused events: %v", err)
	}
	if _, err := d.ExecTaskStreaming(ctx, "x", &plugins.ExecOptions{Command: []string{"x"}}); err == nil {
		t.Error("an exec without an exit succeeds")
	}
	if out, err := d.ExecTask(ctx, "x", []string{"x"}, time.Second); err != nil || out.Exit.ExitCode != 0 {
		t.Errorf("ExecTask %+v, %v", out, err)
	}
	ch, err := d.TaskStats(ctx, "x", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if u := receive(ch); u == nil || !math.IsNaN(u.Total.CPU.TotalTicks) {
		t.Errorf("usage %+v", u)
	}
	if receive(ch); receive(ch) != nil {
		t.Error("the channel is open after the stream's error")
	}
}

// receive is the next value, or the zero value of a closed channel.
func receive[T any](ch <-chan T) T {
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		panic("nothing within " + patience.String())
	}
}

func TestForeignReplies(t *testing.T) {
	f := &foreign{}
	d := proxy.NewDriver(connect(t, func(s *grpc.Server) { driver.RegisterDriverServer(s, f) }))
	ctx := deadline(t)
	starts := []struct {
		reply *driver.StartTaskResponse
		want  string
		soft  bool
	}{
		{&driver.StartTaskResponse{}, "no handle", false},
		{&driver.StartTaskResponse{Result: driver.StartTaskResponse_RETRY, DriverErrorMsg: "busy"}, "busy", true},
		{&driver.StartTaskResponse{Result: driver.StartTaskResponse_FATAL, DriverErrorMsg: "broken"}, "broken", false},
	}
	for _, c := range starts {
		f.start = c.reply
		_, _, err := d.StartTask(ctx, &plugins.TaskConfig{})
		if err == nil || !strings.Contains(err.Error(), c.want) || plugins.IsRecoverable(err) != c.soft {
			t.Errorf("%s: error %v", c.want, err)
		}
	}
	waits := []struct {
		reply *driver.WaitTaskResponse
		want  *plugins.ExitResult
	}{
		{&driver.WaitTaskResponse{}, nil},
		{&driver.WaitTaskResponse{Err: "lost"}, nil},
		{&driver.WaitTaskResponse{Result: &driver.ExitResult{ExitCode: 3}, Err: "lost"}, &plugins.ExitResult{ExitCode: 3, Err: "lost"}},
	}
	for _, c := range waits {
		f.wait = c.reply
		exit, err := d.WaitTask(ctx, "x")
		if !reflect.DeepEqual(exit, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%v: %+v, %v", c.reply, exit, err)
		}
	}
}

// bare implements plugins.Driver and none of the optional interfaces.
type bare struct{ plugins.Driver }

func TestBareDriver(t *testing.T) {
	d := proxy.NewDriver(connect(t, func(s *grpc.Server) { serve.RegisterDriver(s, bare{}) }))
	ctx := deadline(t)
	if err := errors.Join(d.Init(ctx), d.Shutdown(ctx)); err != nil {
		t.Error(err)
	}
	_, execErr := d.ExecTask(ctx, "x", nil, 0)
	_, streamErr := d.ExecTaskStreaming(ctx, "x", &plugins.ExecOptions{})
	_, _, networkErr := d.CreateNetwork(ctx, "a", "h")
	for call, err := range map[string]error{
		"signal": d.SignalTask(ctx, "x", "SIGHUP"), "exec": execErr, "stream": streamErr,
		"network": networkErr, "no network": d.DestroyNetwork(ctx, "a", nil),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", call, err)
		}
	}
	events, cancel := context.WithCancel(ctx)
	ch, err := d.TaskEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case e, ok := <-ch:
		t.Errorf("an event of a driver without events: %+v, open %v", e, ok)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	receive(ch)
}

// TestExecStreamNeedsSetup speaks to the server without the proxy.
func TestExecStreamNeedsSetup(t *testing.T) {
	conn := connect(t, func(s *grpc.Server) { serve.RegisterDriver(s, execer{}) })
	stream, err := driver.NewDriverClient(conn).ExecTaskStreaming(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&driver.ExecTaskStreamingRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a stream without set-up: %v", err)
	}
}

type execer struct {
	plugins.Driver
	plugins.ExecTasker
}

// gadget is a device plugin.
type gadget struct{ plugins.Device }

var groups = []*plugins.DeviceGroup{{
	Vendor: "acme", Type: "gpu", Name: "rocket",
	Devices:    []*plugins.DetectedDevice{{ID: "0", Healthy: true, PCIBusID: "0000:00:1e.0"}, {ID: "1", Description: "on fire"}},
	Attributes: map[string]plugins.Attribute{"memory": {Int: new(int64(8)), Unit: "GiB"}},
}}

func (gadget) PluginInfo(context.Context) (*plugins.Info, error) {
	return &plugins.Info{Type: plugins.TypeDevice, Name: "gadget", Version: "0.1.0", APIVersions: []string{plugins.APIVersion}}, nil
}

func (gadget) Fingerprint(ctx context.Context) (<-chan []*plugins.DeviceGroup, error) {
	ch := make(chan []*plugins.DeviceGroup, 1)
	ch <- groups
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (gadget) Reserve(_ context.Context, ids []string) (*plugins.Reservation, error) {
	if ids[0] != "0" {
		return nil, errors.New("unknown device " + ids[0])
	}
	return &plugins.Reservation{
		Env:     map[string]string{"GPU": "0"},
		Devices: []*plugins.DeviceNode{{TaskPath: "/dev/gpu", HostPath: "/dev/gpu0", Permissions: "rw"}},
	}, nil
}

func (gadget) Stats(_ context.Context, interval time.Duration) (<-chan []*plugins.DeviceGroupStats, error) {
	if interval <= 0 {
		return nil, errors.New("no interval")
	}
	ch := make(chan []*plugins.DeviceGroupStats, 1)
	ch <- []*plugins.DeviceGroupStats{{Vendor: "acme", Instances: map[string]*plugins.DeviceStats{"0": {Summary: &plugins.StatValue{Float: new(math.NaN()), Unit: "%"}}}}}
	close(ch)
	return ch, nil
}

func TestDevice(t *testing.T) {
	d := proxy.NewDevice(connect(t, func(s *grpc.Server) { serve.RegisterDevice(s, gadget{}) }))
	ctx, cancel := context.WithCancel(deadline(t))
	info, err := d.PluginInfo(ctx)
	if err != nil || info.Type != plugins.TypeDevice {
		t.Errorf("%+v, %v", info, err)
	}
	ch, err := d.Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(ch); !reflect.DeepEqual(got, groups) {
		t.Errorf("devices %+v", got)
	}
	r, err := d.Reserve(ctx, []string{"0"})
	if err != nil || r.Env["GPU"] != "0" || len(r.Devices) != 1 || *r.Devices[0] != (plugins.DeviceNode{TaskPath: "/dev/gpu", HostPath: "/dev/gpu0", Permissions: "rw"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := d.Reserve(ctx, []string{"7"}); err == nil || err.Error() != "unknown device 7" {
		t.Errorf("Reserve of an unknown device: %v", err)
	}
	stats, err := d.Stats(ctx, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(stats); len(got) != 1 || !math.IsNaN(*got[0].Instances["0"].Summary.Float) {
		t.Errorf("statistics %+v", got)
	}
	if got := receive(stats); got != nil {
		t.Errorf("statistics after their end: %+v", got)
	}
	if _, err := d.Stats(ctx, 0); err == nil || err.Error() != "no interval" {
		t.Errorf("Stats without an interval: %v", err)
	}
	cancel()
	receive(ch)
}

// TestServices: the names on the wire are those of the public protocol.
func TestServices(t *testing.T) {
	for got, want := range map[string]string{
		base.BasePlugin_ServiceDesc.ServiceName: "hashicorp.nomad.plugins.base.proto.BasePlugin",
		driver.Driver_ServiceDesc.ServiceName:   "hashicorp.nomad.plugins.drivers.proto.Driver",
	} {
		if got != want {
			t.Errorf("service %s, want %s", got, want)
		}
	}
}
