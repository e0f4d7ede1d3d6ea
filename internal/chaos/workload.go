package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/internal/faults"
	"github.com/steppe-project/steppe/model"
)

const (
	// callers of a workload: enough that operations overlap, few enough that the
	// search for an order stays short.
	callers = 5
	// keysAtATime are written to at a time, for keyLife; then come others, so that
	// what is unknown of old ones does not widen the search for ever.
	keysAtATime = 3
	keyLife     = 2 * time.Second
	// callLimit bounds one request. It is shorter than a server waits for a leader:
	// callers that give up are what makes outcomes unknown.
	callLimit = 2 * time.Second
	// maxAttempts with one token.
	maxAttempts = 4
	// pause between two operations of a caller, at most.
	pause = 40 * time.Millisecond
)

// Workload is callers that read and write registers through all servers.
type Workload struct {
	c       *Cluster
	history *History
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	values  atomic.Int64
	tokens  string

	mu      sync.Mutex
	servers []*faults.Agent
	lives   map[string]int // by server: its processes so far
	seen    map[string]uint64
}

// Begin starts the callers. End must follow.
func (c *Cluster) Begin(seed uint64) *Workload {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Workload{
		c: c, history: NewHistory(), cancel: cancel, lives: map[string]int{}, seen: map[string]uint64{},
		tokens: c.Site.Tag(), servers: slices.Clone(c.Servers),
	}
	for i := range callers {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		w.wg.Go(func() { w.call(ctx, i, r) })
	}
	return w
}

// End stops the callers and returns what they saw.
func (w *Workload) End() *History {
	w.cancel()
	w.wg.Wait()
	return w.history
}

// NewLife notes that a server's process ended: what it said from memory is over.
func (w *Workload) NewLife(a *faults.Agent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives[a.Name]++
}

// Use replaces the servers that are called.
func (w *Workload) Use(servers []*faults.Agent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers = slices.Clone(servers)
}

func (w *Workload) pick(r *rand.Rand) (a *faults.Agent, life int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a = w.servers[r.IntN(len(w.servers))]
	return a, w.lives[a.Name]
}

func (w *Workload) life(a *faults.Agent) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lives[a.Name]
}

// learn keeps the newest index of a key that anybody saw, for compare-and-set.
func (w *Workload) learn(key string, index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[key] = max(w.seen[key], index)
}

func (w *Workload) newest(key string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[key]
}

func (w *Workload) call(ctx context.Context, client int, r *rand.Rand) {
	for ctx.Err() == nil {
		op := Op{Client: client, Key: fmt.Sprintf("r%d-%d", w.history.Now()/keyLife, r.IntN(keysAtATime))}
		op.Kind = []Kind{Write, Write, CAS, CAS, Read, Read, Read, Linear, Linear, Stale}[r.IntN(10)]
		if op.Kind <= CAS {
			w.write(&op, r)
		} else {
			w.read(&op, r)
		}
		w.history.add(op)
		if op.Outcome == OK {
			w.learn(op.Key, op.Index)
		}
		time.Sleep(rand.N(pause))
	}
}

// write sends a write; half of them have a token and are repeated through other
// servers until their outcome is known.
func (w *Workload) write(op *Op, r *rand.Rand) {
	op.Value = int(w.values.Add(1))
	if op.Kind == CAS {
		op.Expect = w.newest(op.Key)
	}
	token, attempts := "", 1
	if r.IntN(2) == 0 {
		token, attempts = fmt.Sprintf("%s-%d", w.tokens, op.Value), maxAttempts
	}
	op.Call = w.history.Now()
	for op.Attempts < attempts {
		a, _ := w.pick(r)
		op.Attempts, op.Server = op.Attempts+1, a.Name
		if op.Index, op.Outcome, op.Note = w.put(a, op, token); op.Outcome != Unknown {
			break
		}
		time.Sleep(20 * time.Millisecond) // a dead server refuses at once
	}
	op.Return = w.history.Now()
}

// put sends a registration once.
func (w *Workload) put(a *faults.Agent, op *Op, token string) (uint64, Outcome, string) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	in := struct {
		Job            *model.Job
		EnforceIndex   bool
		JobModifyIndex uint64
	}{w.c.register(op.Key, op.Value), op.Kind == CAS, op.Expect}
	q := &api.Query{Params: map[string]string{}}
	if token != "" {
		q.Params["idempotency_token"] = token
	}
	var out api.Registered
	_, err := a.API.Put(ctx, "/v1/jobs", q, in, &out)
	switch {
	case err == nil && out.JobModifyIndex > 0:
		return out.JobModifyIndex, OK, ""
	case err == nil:
		return 0, Unknown, "an answer without an index"
	case op.Kind == CAS && strings.Contains(err.Error(), "Enforcing job modify index"):
		return 0, Conflict, ""
	}
	return 0, Unknown, err.Error()
}

func (w *Workload) read(op *Op, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	q := &api.Query{Stale: op.Kind == Stale, Params: map[string]string{}}
	if op.Kind == Linear {
		q.Params["consistent"] = ""
	}
	a, life := w.pick(r)
	op.Server, op.Life, op.Attempts, op.Call = a.Name, life, 1, w.history.Now()
	job, _, err := a.API.Jobs().Get(ctx, op.Key, q)
	op.Return, op.LifeAtTheEnd = w.history.Now(), w.life(a)
	switch {
	case model.CodeOf(err) == model.CodeNotFound:
	case err != nil:
		op.Outcome, op.Note = Unknown, err.Error()
	default:
		op.Index = job.JobModifyIndex
		if op.Value, err = strconv.Atoi(job.Meta["value"]); err != nil || op.Value == 0 {
			op.Outcome, op.Note = Unknown, "a value that nobody wrote: "+job.Meta["value"]
		}
	}
}

// CheckKept reads every register once more: the last acknowledged write, or a
// later one, must be there, and no value in two versions.
func (w *Workload) CheckKept(a *faults.Agent) error {
	newest := map[string]uint64{}
	for _, o := range w.history.Ops() {
		if o.Kind <= CAS && o.Outcome == OK {
			newest[o.Key] = max(newest[o.Key], o.Index)
		}
	}
	var errs []error
	for key, index := range newest {
		ctx, cancel := context.WithTimeout(context.Background(), faults.Patience)
		versions, _, err := a.API.Jobs().Versions(ctx, key, nil)
		cancel()
		if err != nil || len(versions) == 0 {
			errs = append(errs, fmt.Errorf("%s was written at index %d and is gone: %w", key, index, err))
			continue
		}
		if versions[0].JobModifyIndex < index {
			errs = append(errs, fmt.Errorf("%s is of index %d; the write at %d is lost", key, versions[0].JobModifyIndex, index))
		}
		values := map[string]bool{}
		for _, v := range versions {
			if values[v.Meta["value"]] {
				errs = append(errs, fmt.Errorf("%s has two versions of value %s", key, v.Meta["value"]))
			}
			values[v.Meta["value"]] = true
		}
	}
	return errors.Join(errs...)
}
