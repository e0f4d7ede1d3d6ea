package plugins

import (
	"context"
	"time"
)

// Device offers the devices of one kind on one machine (accelerators, radios,
// disks) to tasks. Implementations are safe for concurrent use.
type Device interface {
	Base
	// Fingerprint sends every device group, in full, at once and whenever
	// something changes, until ctx ends or an error closes the channel.
	Fingerprint(ctx context.Context) (<-chan []*DeviceGroup, error)
	// Reserve prepares the devices with these ids for one task and says what the
	// task needs to reach them.
	Reserve(ctx context.Context, ids []string) (*Reservation, error)
	// Stats sends the statistics of all devices every interval until ctx ends.
	Stats(ctx context.Context, interval time.Duration) (<-chan []*DeviceGroupStats, error)
}

// DeviceGroup is a set of like devices.
type DeviceGroup struct {
	Vendor, Type, Name string
	Devices            []*DetectedDevice
	Attributes         map[string]Attribute
}

// DetectedDevice is one device. ID is stable over restarts; PCIBusID may be empty.
type DetectedDevice struct {
	ID          string
	Healthy     bool
	Description string // of its health
	PCIBusID    string
}

// Reservation is what a task needs to use devices: environment, bind mounts and
// device files.
type Reservation struct {
	Env     map[string]string
	Mounts  []*Mount
	Devices []*DeviceNode
}

// DeviceGroupStats are the statistics of a group, by device id.
type DeviceGroupStats struct {
	Vendor, Type, Name string
	Instances          map[string]*DeviceStats
}

// DeviceStats are the statistics of one device: one value for a summary, and all.
type DeviceStats struct {
	Summary   *StatValue
	Stats     *StatObject
	Timestamp time.Time
}

// StatObject is a tree of statistics.
type StatObject struct {
	Nested     map[string]*StatObject
	Attributes map[string]*StatValue
}

// StatValue is one statistic. A number with a denominator is a fraction.
type StatValue struct {
	Float, FloatDenominator *float64
	Int, IntDenominator     *int64
	String                  *string
	Bool                    *bool
	Unit                    string
	Description             string
}
