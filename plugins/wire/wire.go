// Package wire is the gRPC form of the plugin contracts: generated messages and
// services in its subpackages, and here the conversions between them and the
// types of package plugins.
//
// To* functions turn a contract value into a message, From* functions the
// reverse. Both accept nil and give nil. From(To(x)) equals x except that empty
// maps, slices and byte slices come back nil, numbers outside of the wire's
// range are clamped to it, and times lose their location and monotonic part.
// From accepts whatever a foreign process may have sent: nil sub-messages,
// unknown enum values, NaN.
//
//	reply := &driver.CapabilitiesResponse{Capabilities: wire.ToCapabilities(caps)}
//	caps := wire.FromCapabilities(reply.GetCapabilities())
package wire

//go:generate go run ../../internal/protogen plugins/wire/shared/shared.proto plugins/wire/hclspec/hclspec.proto plugins/wire/base/base.proto plugins/wire/device/device.proto plugins/wire/driver/driver.proto

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ToTime gives nil for the zero time.
func ToTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// FromTime gives the zero time for nil and for a timestamp outside of the years
// 1 to 9999; else a time in UTC.
func FromTime(t *timestamppb.Timestamp) time.Time {
	if t == nil || t.CheckValid() != nil {
		return time.Time{}
	}
	return t.AsTime()
}

// FromDuration gives 0 for nil and clamps what time.Duration cannot hold.
func FromDuration(d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.AsDuration()
}

// int32Of clamps n to the wire's 32 bits.
func int32Of(n int) int32 {
	return int32(max(math.MinInt32, min(math.MaxInt32, n)))
}

// uint32Of clamps n to the wire's unsigned 32 bits.
func uint32Of(n int) uint32 {
	return uint32(max(0, min(math.MaxUint32, n)))
}

// each maps convert over in; empty becomes nil.
func each[A, B any](in []A, convert func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = convert(v)
	}
	return out
}

// eachValue maps convert over the values of in; empty becomes nil.
func eachValue[A, B any](in map[string]A, convert func(A) B) map[string]B {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]B, len(in))
	for k, v := range in {
		out[k] = convert(v)
	}
	return out
}

// filled gives nil for an empty slice, so that both directions agree.
func filled[T any](in []T) []T {
	if len(in) == 0 {
		return nil
	}
	return in
}

// filledMap gives nil for an empty map.
func filledMap[T any](in map[string]T) map[string]T {
	if len(in) == 0 {
		return nil
	}
	return in
}
