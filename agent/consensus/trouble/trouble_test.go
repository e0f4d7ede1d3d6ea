package trouble

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// disk is a log store whose next write fails with err.
type disk struct {
	*raft.InmemStore
	err error
}

func (d *disk) StoreLogs(logs []*raft.Log) error {
	if d.err != nil {
		return d.err
	}
	return d.InmemStore.StoreLogs(logs)
}

// TestFatal: after an error that is no full disk the server ends, once, with words for
// its operator; a full disk is passing.
func TestFatal(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		ends bool
	}{
		"input and output": {fmt.Errorf("fsync: %w", syscall.EIO), true},
		"unknown":          {errors.New("the file is gone"), true},
		"full":             {&fs.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}, false},
	} {
		var told []error
		d := &disk{InmemStore: raft.NewInmemStore(), err: c.err}
		log := New(d, func(err error) { told = append(told, err) }, nil)
		for range 2 {
			if err := log.StoreLog(&raft.Log{Index: 1}); !errors.Is(err, c.err) {
				t.Errorf("%s: raft is told %v", name, err)
			}
		}
		if ends := len(told) == 1; ends != c.ends || len(told) > 1 || ends && !errors.Is(told[0], c.err) {
			t.Errorf("%s: the server ends: %v", name, told)
		}
		if why := log.Why(); why == nil || !errors.Is(*why, c.err) {
			t.Errorf("%s: %v is remembered", name, why)
		}
		d.err = nil
		if err := log.StoreLog(&raft.Log{Index: 1}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVotesEnd: raft's goroutine that has to keep a vote ends where it cannot.
func TestVotesEnd(t *testing.T) {
	log := New(raft.NewInmemStore(), func(error) {}, nil)
	votes := Votes{StableStore: broken{raft.NewInmemStore()}, Log: log}
	ended := make(chan bool)
	go func() {
		defer close(ended)
		_ = votes.Set([]byte("vote"), []byte("x"))
		t.Error("the caller goes on")
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the caller waits")
	}
}

type broken struct{ raft.StableStore }

func (broken) Set([]byte, []byte) error { return syscall.EIO }
