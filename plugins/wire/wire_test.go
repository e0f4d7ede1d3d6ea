package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/base"
	"github.com/steppe-project/steppe/plugins/wire/device"
	"github.com/steppe-project/steppe/plugins/wire/driver"
	"github.com/steppe-project/steppe/plugins/wire/hclspec"
	"github.com/steppe-project/steppe/plugins/wire/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// attributes draws a value with exactly one field set, or none.
var attributes = rapid.Custom(func(t *rapid.T) plugins.Attribute {
	a := plugins.Attribute{Unit: rapid.String().Draw(t, "unit")}
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		a.Float = new(rapid.Float64().Draw(t, "float"))
	case 1:
		a.Int = new(rapid.Int64().Draw(t, "int"))
	case 2:
		a.String = new(rapid.String().Draw(t, "string"))
	case 3:
		a.Bool = new(rapid.Bool().Draw(t, "bool"))
	}
	return a
})

var times = rapid.Custom(func(t *rapid.T) time.Time {
	sec := rapid.Int64Range(-62135596800, 253402300799).Draw(t, "sec")
	at := time.Unix(sec, rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	if at.IsZero() {
		return time.Time{}
	}
	return at
})

// generate draws a T whose numbers fit the wire, with the given overrides.
func generate[T any](t *rapid.T, fields map[reflect.Type]map[string]*rapid.Generator[any]) T {
	none := rapid.Just[error](nil).AsAny()
	return rapid.MakeCustom[T](rapid.MakeConfig{
		Types: map[reflect.Type]*rapid.Generator[any]{
			reflect.TypeFor[plugins.Attribute](): attributes.AsAny(),
			reflect.TypeFor[time.Time]():         times.AsAny(),
			reflect.TypeFor[error]():             none,
		},
		Kinds: map[reflect.Kind]*rapid.Generator[any]{
			reflect.Int: rapid.Custom(func(t *rapid.T) int { return int(rapid.Int32().Draw(t, "n")) }).AsAny(),
		},
		Fields: fields,
	}).Draw(t, "value")
}

// settle makes v what a round trip gives: empty containers nil.
func settle(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			settle(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			settle(v.Field(i))
		}
	case reflect.Slice:
		if v.Len() == 0 && v.CanSet() {
			v.SetZero()
		}
		for i := range v.Len() {
			settle(v.Index(i))
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		for _, k := range v.MapKeys() {
			elem := reflect.New(v.Type().Elem()).Elem()
			elem.Set(v.MapIndex(k))
			settle(elem)
			v.SetMapIndex(k, elem)
		}
	}
}

// check carries x over the wire in bytes and back and compares.
func check[T any, P proto.Message](t *rapid.T, x *T, to func(*T) P, from func(P) *T) {
	settle(reflect.ValueOf(x))
	sent := to(x)
	data, err := proto.Marshal(sent)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	got := sent.ProtoReflect().New().Interface().(P)
	if err := proto.Unmarshal(data, got); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	if back := from(got); !reflect.DeepEqual(back, x) {
		sent, _ := json.Marshal(x)
		got, _ := json.Marshal(back)
		t.Fatalf("round trip\n sent %s\n got  %s", sent, got)
	}
}

// noNil keeps nil out of slices of pointers: the contract has none there.
func noNil(c *plugins.TaskConfig) {
	c.Mounts = compact(c.Mounts)
	c.Devices = compact(c.Devices)
}

func compact[T any](in []*T) []*T {
	var out []*T
	for _, v := range in {
		if v != nil {
			out = append(out, v)
		}
	}
	return out
}

func TestRoundTripTask(t *testing.T) {
	ports := rapid.SliceOf(rapid.Custom(func(t *rapid.T) plugins.PortMapping {
		return plugins.PortMapping{Label: rapid.String().Draw(t, "label"), Value: int(rapid.Int32().Draw(t, "value"))}
	})).AsAny()
	fields := map[reflect.Type]map[string]*rapid.Generator[any]{
		reflect.TypeFor[plugins.TaskNetwork](): {"ReservedPorts": ports, "DynPorts": ports},
	}
	rapid.Check(t, func(t *rapid.T) {
		c := generate[plugins.TaskConfig](t, fields)
		noNil(&c)
		check(t, &c, ToTaskConfig, FromTaskConfig)
		h := generate[plugins.TaskHandle](t, fields)
		if h.Config != nil {
			noNil(h.Config)
		}
		check(t, &h, ToHandle, FromHandle)
	})
}

func TestRoundTripDriver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := generate[plugins.Capabilities](t, nil)
		check(t, &c, ToCapabilities, FromCapabilities)
		n := generate[plugins.NetworkOverride](t, nil)
		check(t, &n, ToNetworkOverride, FromNetworkOverride)
		i := generate[plugins.NetworkIsolation](t, nil)
		check(t, &i, ToIsolation, FromIsolation)
		e := generate[plugins.ExitResult](t, nil)
		check(t, &e, ToExit, FromExit)
		s := generate[plugins.TaskStatus](t, nil)
		if s.State != plugins.StateExited {
			s.Exit = nil
		}
		check(t, &s, ToStatus, FromStatus)
		ev := generate[plugins.TaskEvent](t, nil)
		check(t, &ev, ToEvent, FromEvent)
		f := generate[plugins.Fingerprint](t, nil)
		check(t, &f, ToFingerprint, FromFingerprint)
		info := generate[plugins.Info](t, nil)
		check(t, &info, ToInfo, FromInfo)
	})
}

func TestRoundTripUsage(t *testing.T) {
	measured := map[reflect.Type]map[string]*rapid.Generator[any]{
		reflect.TypeFor[plugins.CPUUsage]():    {"Measured": rapid.SliceOf(rapid.SampledFrom(cpuFields)).AsAny()},
		reflect.TypeFor[plugins.MemoryUsage](): {"Measured": rapid.SliceOf(rapid.SampledFrom(memoryFields)).AsAny()},
	}
	rapid.Check(t, func(t *rapid.T) {
		u := generate[plugins.TaskUsage](t, measured)
		check(t, &u, func(u *plugins.TaskUsage) *driver.TaskStats { return ToUsage("x", u) }, FromUsage)
	})
}

func TestRoundTripConfig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plugins.Config{
			Msgpack:    rapid.SliceOf(rapid.Byte()).Draw(t, "msgpack"),
			APIVersion: rapid.String().Draw(t, "version"),
			MinPort:    rapid.IntRange(0, math.MaxUint32).Draw(t, "min"),
			MaxPort:    rapid.IntRange(0, math.MaxUint32).Draw(t, "max"),
		}
		if rapid.Bool().Draw(t, "topology") {
			top := generate[plugins.Topology](t, nil)
			n := rapid.IntRange(0, 4).Draw(t, "nodes")
			top.Distances = nil
			for range n {
				top.Distances = append(top.Distances, rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "row"))
			}
			c.Topology = &top
		}
		check(t, &c, ToConfig, FromConfig)
	})
}

func TestRoundTripDevice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := generate[plugins.DeviceGroup](t, nil)
		g.Devices = compact(g.Devices)
		check(t, &g, ToDeviceGroup, FromDeviceGroup)
		v := generate[plugins.StatValue](t, nil)
		leaf := &plugins.StatObject{Attributes: map[string]*plugins.StatValue{"v": &v}}
		o := plugins.StatObject{Nested: map[string]*plugins.StatObject{"a": leaf}}
		check(t, &o, ToStatObject, FromStatObject)
		s := plugins.DeviceGroupStats{
			Vendor:    rapid.String().Draw(t, "vendor"),
			Instances: map[string]*plugins.DeviceStats{"id": {Summary: &v, Stats: &o, Timestamp: times.Draw(t, "at")}},
		}
		check(t, &s, ToDeviceGroupStats, FromDeviceGroupStats)
		r := plugins.Reservation{
			Env:     map[string]string{"A": rapid.String().Draw(t, "env")},
			Mounts:  []*plugins.Mount{{TaskPath: "/a", HostPath: "/b", ReadOnly: rapid.Bool().Draw(t, "ro")}},
			Devices: []*plugins.DeviceNode{{TaskPath: "/c", HostPath: "/d", Permissions: "rw"}},
		}
		check(t, &r, ToReservation, FromReservation)
	})
}

// specs draws a schema of at most depth levels.
func specs(depth int) *rapid.Generator[*plugins.Spec] {
	return rapid.Custom(func(t *rapid.T) *plugins.Spec {
		kinds := 9
		if depth <= 0 {
			kinds = 2
		}
		name := rapid.String().Draw(t, "name")
		block := func() *plugins.BlockSpec {
			return &plugins.BlockSpec{Name: name, Nested: specs(depth-1).Draw(t, "nested")}
		}
		switch rapid.IntRange(0, kinds).Draw(t, "kind") {
		case 0:
			return plugins.Attr(name, "string", rapid.Bool().Draw(t, "required"))
		case 1:
			return &plugins.Spec{Literal: &name}
		case 2:
			return &plugins.Spec{BlockAttrs: &plugins.AttrSpec{Name: name, Type: "any", Required: true}}
		case 3:
			return &plugins.Spec{Object: rapid.MapOf(rapid.String(), specs(depth-1)).Draw(t, "object")}
		case 4:
			return &plugins.Spec{Array: rapid.SliceOf(specs(depth-1)).Draw(t, "array")}
		case 5:
			b := block()
			b.Required = rapid.Bool().Draw(t, "required")
			return &plugins.Spec{Block: b}
		case 6:
			b := block()
			b.Min, b.Max = rapid.Uint64().Draw(t, "min"), rapid.Uint64().Draw(t, "max")
			return &plugins.Spec{BlockList: b}
		case 7:
			b := block()
			b.Min = rapid.Uint64().Draw(t, "min")
			return &plugins.Spec{BlockSet: b}
		case 8:
			b := block()
			b.Labels = []string{"one", "two"}
			return &plugins.Spec{BlockMap: b}
		}
		return &plugins.Spec{Default: &plugins.DefaultSpec{Primary: specs(depth-1).Draw(t, "primary"), Default: specs(depth-1).Draw(t, "default")}}
	})
}

func TestRoundTripSpec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := specs(3).Draw(t, "spec")
		data, err := proto.Marshal(ToSpec(s))
		if err != nil {
			t.Fatal(err)
		}
		var got hclspec.Spec
		if err := proto.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if back := FromSpec(&got); !reflect.DeepEqual(back, s) {
			t.Fatalf("round trip\n sent %+v\n got  %+v", s, back)
		}
	})
}

func TestNilGivesNil(t *testing.T) {
	results := map[string]any{
		"task": ToTaskConfig(nil), "task back": FromTaskConfig(nil),
		"handle": ToHandle(nil), "handle back": FromHandle(nil),
		"status": ToStatus(nil), "status back": FromStatus(nil),
		"exit": ToExit(nil), "exit back": FromExit(nil),
		"usage": ToUsage("", nil), "usage back": FromUsage(nil),
		"spec": ToSpec(nil), "spec back": FromSpec(nil),
		"capabilities": ToCapabilities(nil), "capabilities back": FromCapabilities(nil),
		"config": ToConfig(nil), "config back": FromConfig(nil),
		"info": ToInfo(nil), "info back": FromInfo(nil),
		"isolation": ToIsolation(nil), "isolation back": FromIsolation(nil),
		"override": ToNetworkOverride(nil), "override back": FromNetworkOverride(nil),
		"event": ToEvent(nil), "event back": FromEvent(nil),
		"fingerprint": ToFingerprint(nil), "fingerprint back": FromFingerprint(nil),
		"group": ToDeviceGroup(nil), "group back": FromDeviceGroup(nil),
		"reservation": ToReservation(nil), "reservation back": FromReservation(nil),
	}
	for name, v := range results {
		if !reflect.ValueOf(v).IsNil() {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// TestForeignMessages feeds what a careless plugin might send.
func TestForeignMessages(t *testing.T) {
	u := FromUsage(&driver.TaskStats{AggResourceUsage: &driver.TaskResourceUsage{Cpu: &driver.CPUUsage{
		TotalTicks: math.NaN(), MeasuredFields: []driver.CPUUsage_Fields{-1, 2, 99},
	}}})
	if !math.IsNaN(u.Total.CPU.TotalTicks) || !reflect.DeepEqual(u.Total.CPU.Measured, []string{plugins.MeasuredTotalTicks}) {
		t.Errorf("usage %+v", u)
	}
	if s := FromStatus(&driver.InspectTaskResponse{}); s.ID != "" || s.Exit != nil {
		t.Errorf("status %+v", s)
	}
	running := &driver.TaskStatus{State: driver.TaskState_RUNNING, Result: &driver.ExitResult{}}
	if s := FromStatus(&driver.InspectTaskResponse{Task: running}); s.Exit != nil {
		t.Errorf("a running task has a result: %+v", s.Exit)
	}
	bad := &base.ClientTopologySLIT{Dimension: math.MaxUint32, Values: []uint32{1}}
	c := FromConfig(&base.SetConfigRequest{NomadConfig: &base.NomadConfig{Driver: &base.NomadDriverConfig{Topology: &base.ClientTopology{Distances: bad}}}})
	if c.Topology.Distances != nil {
		t.Errorf("distances %v", c.Topology.Distances)
	}
	if at := FromTime(&timestamppb.Timestamp{Seconds: math.MaxInt64}); !at.IsZero() {
		t.Errorf("time %v", at)
	}
	if g := FromDeviceGroupStats(&device.DeviceGroupStats{InstanceStats: map[string]*device.DeviceStats{"a": nil}}); g.Instances["a"] == nil {
		t.Errorf("stats %+v", g)
	}
	if a := FromAttribute(&shared.Attribute{}); a != (plugins.Attribute{}) {
		t.Errorf("attribute %+v", a)
	}
	ragged := &plugins.Config{Topology: &plugins.Topology{Distances: [][]uint32{{1, 2, 3}, nil}}}
	slit := ToConfig(ragged).NomadConfig.Driver.Topology.Distances
	if int(slit.Dimension*slit.Dimension) != len(slit.Values) {
		t.Errorf("a matrix that is not square reached the wire: %v", slit)
	}
}

func TestErrors(t *testing.T) {
	cases := []struct {
		name string
		in   error
		text string
		is   error
		code codes.Code
		soft bool
	}{
		{"plain", errors.New("disk on fire"), "disk on fire", nil, codes.Unknown, false},
		{"not found", plugins.ErrTaskNotFound, "task not found for given id", plugins.ErrTaskNotFound, codes.Unknown, false},
		{"not found, wrapped", fmt.Errorf("stop: %w", plugins.ErrTaskNotFound), "stop: task not found for given id", plugins.ErrTaskNotFound, codes.Unknown, false},
		{"recoverable", plugins.Recoverable(errors.New("pull failed")), "pull failed", nil, codes.FailedPrecondition, true},
		{"unsupported", fmt.Errorf("exec: %w", errors.ErrUnsupported), "exec: unsupported operation", errors.ErrUnsupported, codes.Unimplemented, false},
		{"canceled", context.Canceled, "context canceled", context.Canceled, codes.Canceled, false},
		{"late", context.DeadlineExceeded, "context deadline exceeded", context.DeadlineExceeded, codes.DeadlineExceeded, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sent := ToError(c.in)
			if got := status.Code(sent); got != c.code {
				t.Errorf("code %v, want %v", got, c.code)
			}
			back := FromError(sent)
			if back.Error() != c.text {
				t.Errorf("text %q, want %q", back, c.text)
			}
			if c.is != nil && !errors.Is(back, c.is) {
				t.Errorf("%v is not %v", back, c.is)
			}
			if plugins.IsRecoverable(back) != c.soft {
				t.Errorf("recoverable %v", !c.soft)
			}
		})
	}
	if ToError(nil) != nil || FromError(nil) != nil {
		t.Error("nil became an error")
	}
	if err := FromError(status.Error(codes.Unavailable, "gone")); !errors.Is(err, plugins.ErrUnavailable) || strings.Contains(err.Error(), "rpc error") {
		t.Errorf("unavailable: %v", err)
	}
}
