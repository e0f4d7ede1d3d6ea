package db

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// Buckets. Keys: meta by name, allocs by id, tasks by "<alloc id>/<task>",
// drivers by name.
var (
	bucketMeta    = []byte("meta")
	bucketAllocs  = []byte("allocs")
	bucketTasks   = []byte("tasks")
	bucketDrivers = []byte("drivers")
)

// TaskRecord is what is kept of one task.
type TaskRecord struct {
	// ID is the driver's id of the task, written before the task is started:
	// with an ID and no Handle a start was under way.
	ID     string
	Status task.Status
	Events []*model.TaskEvent
	// Handle finds the running task again; nil before it has started.
	Handle *plugins.TaskHandle `json:",omitempty"`
}

// LeaseRecord is when the newest confirmed renewal of the node's lease was sent:
// after the start of the machine, which Boot names, and by the calendar; and how
// long the servers said that it lasts.
type LeaseRecord struct {
	Boot  string
	After time.Duration
	At    time.Time
	TTL   time.Duration `json:",omitempty"`
}

// Contents is all that a file held when it was opened.
type Contents struct {
	Allocs  map[string]*msg.AssignedAlloc
	Tasks   map[string]map[string]*TaskRecord // by allocation id and task name
	Drivers map[string][]byte                 // reattach information by driver
	Lease   *LeaseRecord                      // nil: none was kept
}

// Op is one change of a record.
type Op struct {
	bucket, key, value []byte // value nil = delete
	prefix             bool   // delete all keys with this prefix
	err                error  // of encoding
}

// PutAlloc keeps an assignment.
func PutAlloc(a *msg.AssignedAlloc) Op {
	value, err := a.MarshalMsg(nil)
	return Op{bucket: bucketAllocs, key: []byte(a.Alloc.ID), value: value, err: err}
}

// PutTask keeps a task's record.
func PutTask(allocID, name string, r *TaskRecord) Op {
	value, err := json.Marshal(r)
	return Op{bucket: bucketTasks, key: []byte(allocID + "/" + name), value: value, err: err}
}

// keyLease is the lease's key in meta.
var keyLease = []byte("lease")

// PutLease keeps when the lease was last confirmed.
func PutLease(r *LeaseRecord) Op {
	value, err := json.Marshal(r)
	return Op{bucket: bucketMeta, key: keyLease, value: value, err: err}
}

// PutDriver keeps how to reach a driver's process.
func PutDriver(name string, reattach []byte) Op {
	return Op{bucket: bucketDrivers, key: []byte(name), value: reattach}
}

// DeleteDriver forgets a driver's process.
func DeleteDriver(name string) Op { return Op{bucket: bucketDrivers, key: []byte(name)} }

// DeleteAlloc forgets an allocation and its tasks.
func DeleteAlloc(id string) []Op {
	return []Op{
		{bucket: bucketAllocs, key: []byte(id)},
		{bucket: bucketTasks, key: []byte(id + "/"), prefix: true},
	}
}

// decodeAlloc reads an assignment as PutAlloc wrote it.
func decodeAlloc(key, value []byte) (*msg.AssignedAlloc, error) {
	a := new(msg.AssignedAlloc)
	rest, err := a.UnmarshalMsg(value)
	switch {
	case err != nil:
		return nil, fmt.Errorf("allocation %q: %w", key, err)
	case len(rest) != 0 || a.Alloc == nil || a.Job == nil || a.Alloc.ID != string(key):
		return nil, fmt.Errorf("allocation %q: damaged record", key)
	}
	a.Alloc.Job = a.Job
	return a, nil
}

// decodeTask reads a record as PutTask wrote it.
func decodeTask(key, value []byte) (allocID, name string, r *TaskRecord, err error) {
	allocID, name, ok := strings.Cut(string(key), "/")
	if !ok || allocID == "" || name == "" {
		return "", "", nil, fmt.Errorf("task record with key %q", key)
	}
	r = new(TaskRecord)
	if err := json.Unmarshal(value, r); err != nil {
		return "", "", nil, fmt.Errorf("task %q: %w", key, err)
	}
	if r.Status.Phase > task.Dead {
		return "", "", nil, fmt.Errorf("task %q: unknown phase %d", key, r.Status.Phase)
	}
	if r.Handle != nil && r.Handle.Config == nil {
		return "", "", nil, fmt.Errorf("task %q: handle without configuration", key)
	}
	return allocID, name, r, nil
}

// sealed opens a value with a checksum.
const sealed = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts a checksum of key and value before the value: a bit that flips on
// disk must not become another process id.
func seal(key, value []byte) []byte {
	out := append(make([]byte, 0, 5+len(value)), sealed)
	out = binary.BigEndian.AppendUint32(out, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
	return append(out, value...)
}

// unseal checks and removes it.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < 5 || value[0] != sealed || binary.BigEndian.Uint32(value[1:]) != crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[5:]) {
		return nil, fmt.Errorf("record %q does not have its checksum", key)
	}
	return value[5:], nil
}
