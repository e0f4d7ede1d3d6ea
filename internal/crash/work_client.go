package crash

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/steppe-project/steppe/agent/client/allocdir"
	"github.com/steppe-project/steppe/agent/client/db"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/internal/durable"
	"github.com/steppe-project/steppe/model"
)

// Client is what a client keeps: its identity, the state file, records beside
// tasks.
var Client = &Work{Name: "client", Run: runClient, Look: lookClient, Judge: judgeClient}

// stateDB is a state file that runs.
type stateDB struct {
	*db.DB
	end  context.CancelFunc
	done chan error
	say  func(string, ...any)
}

func openStateDB(path string, say func(string, ...any)) (*stateDB, error) {
	store, err := db.Open(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &stateDB{DB: store, end: cancel, done: make(chan error, 1), say: say}
	go func() { s.done <- s.Run(ctx) }()
	return s, nil
}

func (s *stateDB) close() error {
	s.end()
	return <-s.done
}

// write keeps version v of an allocation with its task, 0 = forgets both.
func (s *stateDB) write(id string, v int) {
	ops := db.DeleteAlloc(id)
	if v > 0 {
		alloc := &model.Allocation{ID: id, TaskGroup: "g", ModifyIndex: uint64(v)}
		ops = []db.Op{
			db.PutAlloc(&msg.AssignedAlloc{Alloc: alloc, Job: &model.Job{ID: "job"}}),
			db.PutTask(id, "web", &db.TaskRecord{ID: strconv.Itoa(v)}),
		}
	}
	s.say("try %s %d", id, v)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Write(ctx, ops...); err != nil {
		s.say("no %s %d %v", id, v, err)
		return
	}
	s.say("ok %s %d", id, v)
}

func runClient(dir string, say func(string, ...any)) error {
	if err := durable.MkdirAll(filepath.Join(dir, "client"), 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, "client", "client-id"), []byte("me\n"), 0o600); err != nil {
		return err
	}
	say("identity")
	for round := range 2 {
		s, err := openStateDB(filepath.Join(dir, "client", "client.db"), say)
		if err != nil {
			return err
		}
		for v := 1; v <= 3; v++ {
			for _, id := range []string{"a", "b", "c"} {
				s.write(id, 10*round+v)
			}
		}
		s.write("b", 0)
		if err := s.WriteLater(context.Background(), db.PutDriver("raw_exec", []byte("{}"))); err != nil {
			return errors.Join(err, s.close())
		}
		if err := keepRecord(dir, round); err != nil {
			say("no record %v", err)
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	return nil
}

// keepRecord keeps what a task is found by when the state file is lost.
func keepRecord(dir string, round int) error {
	alloc, err := allocdir.New(filepath.Join(dir, "alloc"), "a")
	if err != nil {
		return err
	}
	if err := errors.Join(alloc.Build(), alloc.BuildTask("web", allocdir.Owner{})); err != nil {
		return err
	}
	return alloc.SaveRecord("web", []byte(fmt.Sprintf("round %d", round)))
}

func lookClient(dir string, say func(string, ...any)) error {
	path := filepath.Join(dir, "client")
	if err := durable.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if id, err := durable.ReadFile(filepath.Join(path, "client-id")); err != nil {
		return err
	} else if len(id) > 0 {
		say("identity")
	}
	s, err := openStateDB(filepath.Join(path, "client.db"), say)
	if err != nil {
		return err
	}
	for id, a := range s.Contents().Allocs {
		task := s.Contents().Tasks[id]["web"]
		if task == nil || task.ID != strconv.FormatUint(a.Alloc.ModifyIndex, 10) {
			say("half %s", id)
		}
		say("have %s %d", id, a.Alloc.ModifyIndex)
	}
	s.Forget()
	s.write("z", 1)
	return s.close()
}

// judgeClient checks that of every allocation the newest acknowledged version is
// there, or a later one that was tried; and both of its records.
func judgeClient(said, seen []string) error {
	acked, tried, have := map[string]int{}, map[string][]int{}, map[string]int{}
	identity := false
	for _, line := range said {
		f := strings.Fields(line)
		switch {
		case line == "identity":
			identity = true
		case len(f) == 3 && f[0] == "try":
			n, err := strconv.Atoi(f[2])
			if err != nil {
				return err
			}
			tried[f[1]] = append(tried[f[1]], n)
		case len(f) == 3 && f[0] == "ok":
			tried[f[1]] = tried[f[1]][len(tried[f[1]])-1:]
			acked[f[1]] = tried[f[1]][0]
		}
	}
	for _, line := range seen {
		f := strings.Fields(line)
		switch {
		case line == "identity":
			identity = false
		case len(f) == 3 && f[0] == "have":
			n, err := strconv.Atoi(f[2])
			if err != nil {
				return err
			}
			have[f[1]] = n
		case len(f) > 0 && (f[0] == "half" || f[0] == "no"):
			return fmt.Errorf("the fresh client: %s", line)
		}
	}
	if identity {
		return errors.New("the identity is lost")
	}
	for id, versions := range tried {
		ok := have[id] == acked[id]
		for _, v := range versions {
			ok = ok || have[id] == v
		}
		if !ok {
			return fmt.Errorf("%s: version %d was acknowledged, %v tried since, %d is there", id, acked[id], versions, have[id])
		}
	}
	return nil
}

// settle is how long a look waits for what ends by itself.
const settle = 10 * time.Second
