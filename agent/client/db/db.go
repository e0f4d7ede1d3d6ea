package db

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/steppe-project/steppe/agent/rpc/msg"
)

const (
	// format is the version of the file's layout: 1 had no checksums.
	format = 2
	// lockTimeout is how long Open waits for another process to let go of the
	// file: a restarting agent's predecessor may be in its last moments.
	lockTimeout = 2 * time.Second
	// reserve is written and freed once in a new file: the pages are then
	// overwritten in place, which commits much faster than growing a file.
	reserve = 2 << 20
)

// Errors of Open, to be matched with errors.Is.
var (
	ErrCorrupt = errors.New("client state file is damaged")
	ErrNewer   = errors.New("client state file was written by a newer version")
	ErrLocked  = errors.New("client state file is in use by another agent")
)

// DB is an open state file. Its methods may be called from any goroutine.
type DB struct {
	bolt     *bolt.DB
	contents *Contents
	queue    queue
}

// Open opens or creates the file and reads all of it. The errors that callers
// act on are ErrCorrupt, ErrNewer and ErrLocked.
func Open(path string) (*DB, error) {
	d := &DB{queue: newQueue(), contents: newContents()}
	info, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0
	if !fresh {
		// Reading comes first, through a read-only handle: a writable one walks
		// the pages in a goroutine of its own, where a damaged one cannot be caught.
		if err := guard(func() error { return d.read(path) }); err != nil {
			return nil, err
		}
	}
	err = guard(func() error {
		d.bolt, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
		})
		if err != nil {
			return classify(path, err)
		}
		if !fresh {
			return upgrade(d.bolt)
		}
		if err := create(d.bolt); err != nil {
			return errors.Join(fmt.Errorf("create client state file %s: %w", path, err), d.bolt.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// read fills contents from the file.
func (d *DB) read(path string) (err error) {
	b, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return classify(path, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return load(b, d.contents)
}

// Contents is what the file held when it was opened.
func (d *DB) Contents() *Contents { return d.contents }

// Forget frees Contents once it has been used.
func (d *DB) Forget() { d.contents = nil }

// guard turns a crash inside bbolt (it trusts its pages) into ErrCorrupt.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return f()
}

func classify(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: %s", ErrLocked, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return fmt.Errorf("open client state file: %w", err)
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
}

// create lays out a new file.
func create(b *bolt.DB) error {
	filler := []byte("filler")
	err := b.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketAllocs, bucketTasks, bucketDrivers} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put([]byte("format"), []byte(strconv.Itoa(format))); err != nil {
			return err
		}
		return meta.Put(filler, make([]byte, reserve))
	})
	if err != nil {
		return err
	}
	return b.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Delete(filler) })
}

func newContents() *Contents {
	return &Contents{
		Allocs: map[string]*msg.AssignedAlloc{}, Tasks: map[string]map[string]*TaskRecord{}, Drivers: map[string][]byte{},
	}
}

// load reads everything, so that damage is found now.
func load(b *bolt.DB, c *Contents) error {
	return b.View(func(tx *bolt.Tx) error {
		found, err := checkFormat(tx)
		if err != nil {
			return err
		}
		unseal := unseal
		if found < 2 {
			unseal = func(_, v []byte) ([]byte, error) { return v, nil }
		}
		if v := tx.Bucket(bucketMeta).Get(keyLease); v != nil {
			if v, err = unseal(keyLease, v); err == nil {
				c.Lease = new(LeaseRecord)
				err = json.Unmarshal(v, c.Lease)
			}
			if err != nil {
				return fmt.Errorf("%w: lease: %w", ErrCorrupt, err)
			}
		}
		err = tx.Bucket(bucketAllocs).ForEach(func(k, v []byte) error {
			v, err := unseal(k, v)
			if err != nil {
				return err
			}
			a, err := decodeAlloc(k, v)
			if err == nil {
				c.Allocs[string(k)] = a
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		err = tx.Bucket(bucketTasks).ForEach(func(k, v []byte) error {
			v, err := unseal(k, v)
			if err != nil {
				return err
			}
			id, name, r, err := decodeTask(k, v)
			if err != nil {
				return err
			}
			if c.Tasks[id] == nil {
				c.Tasks[id] = map[string]*TaskRecord{}
			}
			c.Tasks[id][name] = r
			return nil
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return tx.Bucket(bucketDrivers).ForEach(func(k, v []byte) error {
			v, err := unseal(k, v)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			c.Drivers[string(k)] = bytes.Clone(v)
			return nil
		})
	})
}

func checkFormat(tx *bolt.Tx) (int, error) {
	for _, name := range [][]byte{bucketMeta, bucketAllocs, bucketTasks, bucketDrivers} {
		if tx.Bucket(name) == nil {
			return 0, fmt.Errorf("%w: table %s is missing", ErrCorrupt, name)
		}
	}
	text := string(tx.Bucket(bucketMeta).Get([]byte("format")))
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 1:
		return 0, fmt.Errorf("%w: format %q", ErrCorrupt, text)
	case n > format:
		return 0, fmt.Errorf("%w: format %d, this version reads up to %d", ErrNewer, n, format)
	}
	return n, nil
}

// upgrade brings a file of an earlier format to this one: its records get
// checksums.
func upgrade(b *bolt.DB) error {
	return b.Update(func(tx *bolt.Tx) error {
		if found, err := checkFormat(tx); err != nil || found == format {
			return err
		}
		for _, name := range [][]byte{bucketAllocs, bucketTasks, bucketDrivers} {
			bucket, all := tx.Bucket(name), map[string][]byte{}
			err := bucket.ForEach(func(k, v []byte) error { all[string(k)] = seal(k, v); return nil })
			for k, v := range all {
				err = errors.Join(err, bucket.Put([]byte(k), v))
			}
			if err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put([]byte("format"), []byte(strconv.Itoa(format)))
	})
}

// Write makes the changes durable, all or none of them.
func (d *DB) Write(ctx context.Context, ops ...Op) error {
	done, err := d.Begin(ctx, ops...)
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Begin is Write without the waiting: the outcome comes on the channel. The
// order of changes is that of the calls of Begin, Write and WriteLater.
func (d *DB) Begin(ctx context.Context, ops ...Op) (<-chan error, error) {
	if err := firstError(ops); err != nil {
		return nil, err
	}
	return d.queue.add(ctx, ops, true)
}

// WriteLater makes the changes durable soon. It blocks only while very many
// changes wait (the disk is stuck).
func (d *DB) WriteLater(ctx context.Context, ops ...Op) error {
	if err := firstError(ops); err != nil {
		return err
	}
	_, err := d.queue.add(ctx, ops, false)
	return err
}

func firstError(ops []Op) error {
	for _, op := range ops {
		if op.err != nil {
			return fmt.Errorf("encode client state: %w", op.err)
		}
	}
	return nil
}

// Run commits until ctx ends, then commits what waits and closes the file.
func (d *DB) Run(ctx context.Context) error {
	err := d.queue.run(ctx, d.commit)
	return errors.Join(err, d.bolt.Close())
}

// commit applies writes in order, as one transaction.
func (d *DB) commit(writes []*write) error {
	return guard(func() error {
		return d.bolt.Update(func(tx *bolt.Tx) error {
			for _, w := range writes {
				for _, op := range w.ops {
					if err := apply(tx, op); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

func apply(tx *bolt.Tx, op Op) error {
	b := tx.Bucket(op.bucket)
	switch {
	case op.prefix:
		c := b.Cursor()
		for k, _ := c.Seek(op.key); k != nil && bytes.HasPrefix(k, op.key); k, _ = c.Seek(op.key) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	case op.value == nil:
		return b.Delete(op.key)
	}
	return b.Put(op.key, seal(op.key, op.value))
}
