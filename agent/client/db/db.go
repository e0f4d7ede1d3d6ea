package db

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/internal/durable"
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
	mark     *durable.Mark // the number of the last transaction
	contents *Contents
	queue    queue
}

// Open opens or creates the file and reads all of it. The errors that callers
// act on are ErrCorrupt, ErrNewer and ErrLocked.
func Open(path string) (*DB, error) {
	d := &DB{queue: newQueue(), contents: newContents()}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("create client state file %s: %w", path, err)
		}
	}
	// Reading comes first, through a read-only handle: a writable one walks
	// the pages in a goroutine of its own, where a damaged one cannot be caught.
	if err := guard(func() error { return d.read(path) }); err != nil {
		return nil, err
	}
	err = guard(func() error {
		d.bolt, err = bolt.Open(path, 0o600, boltOptions())
		if err != nil {
			return classify(path, err)
		}
		return upgrade(d.bolt)
	})
	if err != nil {
		return nil, err
	}
	if d.mark, err = openMark(path); err != nil {
		return nil, errors.Join(err, d.bolt.Close())
	}
	return d, nil
}

// openMark opens what remembers how far the file went.
func openMark(path string) (*durable.Mark, error) {
	m, err := durable.OpenMark(path+".mark", "STEPPEc1", 1)
	if err != nil {
		return nil, fmt.Errorf("open client state file's mark: %w", err)
	}
	return m, nil
}

// checkMark compares the file with its mark.
func checkMark(path string, b *bolt.DB) error {
	m, err := openMark(path)
	if err != nil {
		return err
	}
	var have uint64
	err = b.View(func(tx *bolt.Tx) error { have = uint64(tx.ID()); return nil })
	if noted := m.Values()[0]; err == nil && have < noted {
		err = fmt.Errorf("%w: it ends with transaction %d, there were %d", ErrCorrupt, have, noted)
	}
	return errors.Join(err, m.Close())
}

func boltOptions() *bolt.Options {
	return &bolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bolt.FreelistMapType}
}

// read fills contents from the file.
func (d *DB) read(path string) (err error) {
	b, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return classify(path, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := checkMark(path, b); err != nil {
		return err
	}
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

// create makes a new file, which gets its name when it is complete.
func create(path string) error {
	fresh := path + ".new"
	for _, old := range []string{fresh, path + ".mark"} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	b, err := bolt.Open(fresh, 0o600, boltOptions())
	if err != nil {
		return err
	}
	if err := errors.Join(layOut(b), b.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// layOut makes the tables.
func layOut(b *bolt.DB) error {
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
		err = tx.Bucket(bucketDrivers).ForEach(func(k, v []byte) error {
			v, err := unseal(k, v)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			c.Drivers[string(k)] = bytes.Clone(v)
			return nil
		})
		if err != nil {
			return err
		}
		count, err := readCensus(tx)
		if err != nil {
			return err
		}
		return count.check(c.count())
	})
}

// count is the census of what was read.
func (c *Contents) count() census {
	tasks := 0
	for _, records := range c.Tasks {
		tasks += len(records)
	}
	return census{string(bucketAllocs): len(c.Allocs), string(bucketTasks): tasks, string(bucketDrivers): len(c.Drivers)}
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

// Run commits until ctx ends, then commits what waits and closes the file. It ends
// with an error when the disk fails otherwise than by being full: what of the file
// is on disk is not known then, and the next start will see.
func (d *DB) Run(ctx context.Context) error {
	err := d.queue.run(ctx, d.commit)
	return errors.Join(err, d.bolt.Close(), d.mark.Close())
}

// commit applies writes in order, as one transaction.
func (d *DB) commit(writes []*write) error {
	return guard(func() error {
		var id uint64
		err := d.bolt.Update(func(tx *bolt.Tx) error {
			id = uint64(tx.ID())
			count, err := readCensus(tx)
			if err != nil {
				return err
			}
			for _, w := range writes {
				for _, op := range w.ops {
					if err := apply(tx, op, count); err != nil {
						return err
					}
				}
			}
			return count.write(tx)
		})
		if err != nil {
			return err
		}
		return d.mark.Note(func(v []uint64) { v[0] = id }, false)
	})
}

func apply(tx *bolt.Tx, op Op, count census) error {
	b, table := tx.Bucket(op.bucket), string(op.bucket)
	switch {
	case op.prefix:
		c := b.Cursor()
		for k, _ := c.Seek(op.key); k != nil && bytes.HasPrefix(k, op.key); k, _ = c.Seek(op.key) {
			if err := c.Delete(); err != nil {
				return err
			}
			count[table]--
		}
		return nil
	case op.value == nil:
		if b.Get(op.key) != nil {
			count[table]--
		}
		return b.Delete(op.key)
	}
	if b.Get(op.key) == nil {
		count[table]++
	}
	return b.Put(op.key, seal(op.key, op.value))
}
