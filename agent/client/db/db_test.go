package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/client/task"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// open opens path and runs it; the returned function closes it.
func open(t testing.TB, path string) (*DB, func()) {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return d, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func assigned(id string) *msg.AssignedAlloc {
	return &msg.AssignedAlloc{Alloc: &model.Allocation{ID: id, TaskGroup: "g"}, Job: &model.Job{ID: "job"}}
}

func TestRoundTrip(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "client.db"), context.Background()
	d, closeDB := open(t, path)
	record := &TaskRecord{
		ID: "a/web/1", Status: task.Status{Phase: task.Running, Restarts: 2, StartedAt: time.Unix(5, 0).UTC()},
		Events: []*model.TaskEvent{{Type: model.EventStarted}},
		Handle: &plugins.TaskHandle{Version: 1, Config: &plugins.TaskConfig{ID: "a/web/1", Msgpack: []byte{1, 2}}, DriverState: []byte("x")},
	}
	if err := d.Write(ctx, PutAlloc(assigned("a")), PutAlloc(assigned("b")), PutTask("a", "web", record)); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteLater(ctx, PutTask("b", "web", record), PutTask("bb", "web", record), PutDriver("raw_exec", []byte("{}"))); err != nil {
		t.Fatal(err)
	}
	confirmed := &LeaseRecord{Boot: "b", After: time.Hour, At: time.Unix(7, 0).UTC()}
	if err := d.WriteLater(ctx, PutLease(confirmed)); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteLater(ctx, DeleteAlloc("b")...); err != nil {
		t.Fatal(err)
	}
	closeDB()
	d, closeDB = open(t, path)
	defer closeDB()
	c := d.Contents()
	if c.Lease == nil || *c.Lease != *confirmed {
		t.Errorf("the lease came back as %+v", c.Lease)
	}
	if len(c.Allocs) != 1 || c.Allocs["a"].Alloc.Job.ID != "job" || len(c.Tasks) != 2 || string(c.Drivers["raw_exec"]) != "{}" {
		t.Fatalf("contents %+v", c)
	}
	got := c.Tasks["a"]["web"]
	if got.Status != record.Status || got.Handle.Config.ID != "a/web/1" || string(got.Handle.DriverState) != "x" || len(got.Events) != 1 {
		t.Fatalf("record %+v", got)
	}
}

func TestTwoAgents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.db")
	_, closeDB := open(t, path)
	defer closeDB()
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
}

func TestNewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.db")
	_, closeDB := open(t, path)
	closeDB()
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put([]byte("format"), []byte(strconv.Itoa(format+1)))
	})
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrNewer) {
		t.Fatalf("%v", err)
	}
}

// TestDamage: whatever is broken in the file, Open says so and never crashes.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "client.db")
	d, closeDB := open(t, path)
	for i := range 200 {
		if err := d.WriteLater(context.Background(), PutAlloc(assigned(fmt.Sprint("alloc-", i)))); err != nil {
			t.Fatal(err)
		}
	}
	closeDB()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for i, change := range []func([]byte) []byte{
		func([]byte) []byte { return []byte("not a database, but long enough to be read as a page") },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { return b[:9000] },
		func(b []byte) []byte { clear(b[:8192]); return b },
		func(b []byte) []byte { clear(b[8192:]); return b },
		func(b []byte) []byte {
			for i := 8192; i < len(b); i += 7 {
				b[i] ^= 0x5a
			}
			return b
		},
	} {
		bad := filepath.Join(dir, fmt.Sprint("bad", i))
		if err := os.WriteFile(bad, change(append([]byte(nil), good...)), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(bad)
		switch {
		case err == nil: // the damage was in a free page
			if err := d.bolt.Close(); err != nil {
				t.Fatal(err)
			}
		case errors.Is(err, ErrCorrupt):
			damaged++
		default:
			t.Errorf("case %d: %v", i, err)
		}
	}
	if damaged < 4 {
		t.Errorf("only %d damages noticed", damaged)
	}
}

// TestFlippedBits: one bit that flips is noticed, or was in a free page; it never
// becomes another record.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "client.db")
	d, closeDB := open(t, path)
	for _, id := range []string{"a", "b", "c"} {
		if err := d.Write(t.Context(), PutAlloc(assigned(id)), PutTask(id, "web", &TaskRecord{ID: id + "/web/1"}), PutDriver(id, []byte("pid 4711"))); err != nil {
			t.Fatal(err)
		}
	}
	closeDB()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(path + ".mark")
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 1))
	noticed := 0
	var used []int // most of the file is free
	for i, v := range good {
		if v != 0 {
			used = append(used, i)
		}
	}
	for i := range 300 {
		b := bytes.Clone(good)
		b[used[dice.IntN(len(used))]] ^= 1 << dice.IntN(8)
		bad := filepath.Join(dir, "bad")
		if err := errors.Join(os.WriteFile(bad, b, 0o600), os.WriteFile(bad+".mark", mark, 0o600)); err != nil {
			t.Fatal(err)
		}
		d, err := Open(bad)
		switch {
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrNewer):
			noticed++
			continue
		case err != nil:
			t.Fatalf("case %d: %v", i, err)
		}
		for _, id := range []string{"a", "b", "c"} {
			c := d.Contents()
			if a, r := c.Allocs[id], c.Tasks[id]["web"]; a == nil || a.Alloc.ID != id || r == nil || r.ID != id+"/web/1" || string(c.Drivers[id]) != "pid 4711" {
				t.Fatalf("case %d: %s is not what was written", i, id)
			}
		}
		if err := d.bolt.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if noticed < 5 {
		t.Errorf("only %d of 300 were noticed", noticed)
	}
}

// TestUpgrade: a file of format 1 gets checksums.
func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.db")
	_, closeDB := open(t, path)
	closeDB()
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketMeta).Put([]byte("format"), []byte("1")),
			tx.Bucket(bucketTasks).Put([]byte("a/web"), []byte(`{"ID":"a/web/1"}`)),
		)
	})
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, closeDB := open(t, path)
		if r := d.Contents().Tasks["a"]["web"]; r == nil || r.ID != "a/web/1" {
			t.Errorf("task record %+v", r)
		}
		closeDB()
	}
}

// TestFailingDisk: lazy writes survive failing commits, waiting ones are told.
func TestFailingDisk(t *testing.T) {
	q := newQueue()
	ctx, cancel := context.WithCancel(context.Background())
	broken := &fs.PathError{Op: "write", Path: "client.db", Err: syscall.ENOSPC}
	var mu sync.Mutex
	fail, committed := true, 0
	commit := func(writes []*write) error {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			return broken
		}
		committed += len(writes)
		return nil
	}
	if _, err := q.add(ctx, nil, false); err != nil {
		t.Fatal(err)
	}
	done, err := q.add(ctx, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- q.run(ctx, commit) }()
	if err := <-done; !errors.Is(err, broken) {
		t.Fatal(err)
	}
	mu.Lock()
	fail = false
	mu.Unlock()
	cancel()
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	if committed != 1 {
		t.Fatalf("%d committed", committed)
	}
	if _, err := q.add(context.Background(), nil, true); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
}

func FuzzDecodeTask(f *testing.F) {
	f.Add([]byte("a/web"), []byte(`{"ID":"x","Status":{"Phase":2}}`))
	f.Add([]byte("a/web"), []byte(`{"Handle":{"Config":{}}}`))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		id, name, r, err := decodeTask(k, v)
		if err == nil && (id == "" || name == "" || r.Status.Phase > task.Dead || r.Handle != nil && r.Handle.Config == nil) {
			t.Fatalf("accepted %q %q", k, v)
		}
	})
}

func FuzzDecodeAlloc(f *testing.F) {
	good, err := assigned("a").MarshalMsg(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("a"), good)
	f.Add([]byte("a"), good[:len(good)/2])
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if a, err := decodeAlloc(k, v); err == nil && (a.Alloc.ID != string(k) || a.Job == nil) {
			t.Fatalf("accepted %q", k)
		}
	})
}

// BenchmarkWrite is the cost of making one small record durable, alone and with
// a hundred writers at once.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 100} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			d, closeDB := open(b, filepath.Join(b.TempDir(), "client.db"))
			defer closeDB()
			record := &TaskRecord{ID: "x", Events: []*model.TaskEvent{{Type: model.EventStarted}}}
			b.SetParallelism((writers + 1) / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := d.Write(context.Background(), PutTask("a", "web", record)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// TestFullDisk: on a full disk writes are refused with the reason, and taken again
// when there is room; nothing acknowledged is lost.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	mnt := t.TempDir()
	if err := unix.Mount("steppe-test", mnt, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast, path := filepath.Join(mnt, "ballast"), filepath.Join(mnt, "client.db")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, closeDB := open(t, path)
	acked := 0
	put := func() error {
		a := assigned(fmt.Sprint("alloc-", acked))
		a.Job.Meta = map[string]string{"filling": string(bytes.Repeat([]byte("x"), 64<<10))}
		err := d.Write(t.Context(), PutAlloc(a))
		if err == nil {
			acked++
		}
		return err
	}
	var err error
	for err == nil && acked < 1000 {
		err = put()
	}
	if !outOfSpace(err) {
		t.Fatalf("on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := put(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	closeDB()
	d, closeDB = open(t, path)
	defer closeDB()
	if have := len(d.Contents().Allocs); have != acked {
		t.Errorf("%d allocations, %d were acknowledged", have, acked)
	}
}
