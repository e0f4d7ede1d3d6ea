package broker

import (
	"time"

	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/feature"
	"github.com/steppe-project/steppe/model/stateful"
	"github.com/steppe-project/steppe/sched"
)

const (
	// MaxAttempts bounds how often an evaluation is handed out without progress.
	// With the backoff between them that is about ten seconds: longer than any
	// passing cause, short enough that a person still watches.
	MaxAttempts = 8
	// backoffMin and backoffMax pace the attempts; the first repetition is for
	// a lost race against another plan and needs next to no wait.
	backoffMin = 20 * time.Millisecond
	backoffMax = 4 * time.Second
	// AnswerTimeout is how long an evaluation may be out: far more than any
	// decision and commit takes, so that it only ends what has died.
	AnswerTimeout = time.Minute
	// FollowUpDelay is how long after a dead letter a job is looked at again.
	FollowUpDelay = time.Minute
	// MaxWakes bounds how many blocked evaluations one step wakes, most urgent
	// first: what was freed serves few of them, and the others' turn comes
	// when those have been decided.
	MaxWakes = 256
	// MaxCommandEvals bounds the evaluations of one command, so that it stays
	// far below the size limit of a log entry.
	MaxCommandEvals = 1024
)

// Broker is the component. Its methods must not be called concurrently.
type Broker struct {
	evals map[string]*entry
	jobs  map[jobKey]*jobQueue
	fresh []*entry

	delayed entryHeap
	ready   entryHeap
	running entryHeap
	counts  [placeDead + 1]int

	superseded map[*entry]struct{}
	dead       map[*entry]struct{}
	idle       map[*entry]struct{} // blocked ones with a newer one beside them
	blocked    blockedTable
	paused     bool
	level      feature.Level
}

// New makes a broker that knows nothing; Reset starts it.
func New() *Broker {
	b := new(Broker)
	b.clear()
	return b
}

func (b *Broker) clear() {
	*b = Broker{
		evals:      make(map[string]*entry),
		jobs:       make(map[jobKey]*jobQueue),
		superseded: make(map[*entry]struct{}),
		dead:       make(map[*entry]struct{}),
		idle:       make(map[*entry]struct{}),
		delayed:    entryHeap{less: byDue},
		ready:      entryHeap{less: byUrgency},
		running:    entryHeap{less: byDue},
		blocked:    newBlockedTable(),
	}
}

// Name implements loop.Component.
func (b *Broker) Name() string { return "broker" }

// Reads implements loop.Component.
func (b *Broker) Reads() []state.Table {
	return []state.Table{state.TableEvals, state.TableNodes, state.TableAllocs, state.TableJobs, state.TableConfig}
}

// Reset implements loop.Component.
func (b *Broker) Reset(snap *state.Snapshot) {
	b.clear()
	config := snap.SchedulerConfig()
	b.observeConfig(config)
	b.blocked.allAt, b.level = config.ModifyIndex, snap.FeatureLevel()
	for n := range snap.Nodes(state.Range{}) {
		b.blocked.observeNode(n.ID, n, n.ModifyIndex)
	}
	blocked := false
	for e := range snap.EvalsByStatus(model.EvalBlocked) {
		if !blocked {
			// What was freed while nobody watched is found in the allocations'
			// history; worth reading only when somebody waits for it.
			b.blocked.readHistory(snap)
			for job := range snap.Jobs(state.Range{}) {
				if stateful.Any(job) { // its priority may have been lowered meanwhile
					b.blocked.allAt = max(b.blocked.allAt, job.JobModifyIndex)
				}
			}
			blocked = true
		}
		b.track(e)
	}
	for e := range snap.EvalsByStatus(model.EvalPending) {
		b.track(e)
	}
}

// Observe implements loop.Component.
func (b *Broker) Observe(changes []state.Change) {
	for i := range changes {
		c := &changes[i]
		switch c.Table {
		case state.TableEvals:
			after, _ := c.After.(*model.Evaluation)
			b.observeEval(c.Key, after)
		case state.TableNodes:
			after, _ := c.After.(*model.Node)
			b.blocked.observeNode(c.Key, after, c.Index)
		case state.TableAllocs:
			before, _ := c.Before.(*model.Allocation)
			after, _ := c.After.(*model.Allocation)
			b.blocked.observeAlloc(before, after, c.Index)
		case state.TableJobs:
			before, _ := c.Before.(*model.Job)
			after, _ := c.After.(*model.Job)
			if before != nil && after != nil && after.Priority < before.Priority {
				// What stays at an older version, below a partition for example, matters as
				// much as the newest one: it may have to give way from now on.
				b.blocked.observeAll(c.Index)
			}
		case state.TableConfig:
			switch after := c.After.(type) {
			case *model.SchedulerConfiguration:
				b.observeConfig(after)
				b.blocked.observeAll(c.Index)
			case *feature.Active: // others may have to give way from now on
				b.level = after.Level
				b.blocked.observeAll(c.Index)
			}
		}
	}
}

func (b *Broker) observeConfig(config *model.SchedulerConfiguration) {
	b.paused = config != nil && config.PauseEvalBroker
	b.blocked.preempts = func(jobType string) bool {
		return b.level >= feature.Preemption && sched.Preempts(config, jobType)
	}
}

func (b *Broker) observeEval(id string, after *model.Evaluation) {
	if e := b.evals[id]; e != nil {
		b.drop(e)
	}
	if after == nil {
		return
	}
	if after.Status == model.EvalPending || after.Status == model.EvalBlocked {
		b.track(after)
	}
}

// track takes in an evaluation that is not over.
func (b *Broker) track(eval *model.Evaluation) {
	key := jobKey{eval.Namespace, eval.JobID}
	q := b.jobs[key]
	if q == nil {
		q = &jobQueue{key: key}
		b.jobs[key] = q
	}
	e := &entry{eval: eval, job: q, pos: -1, place: placeFresh}
	q.size++
	b.counts[placeFresh]++
	b.evals[eval.ID] = e
	if eval.Status == model.EvalBlocked {
		b.block(e)
		return
	}
	b.fresh = append(b.fresh, e)
}

// move notes that e is elsewhere; the structures of both places are the caller's.
func (b *Broker) move(e *entry, to place) {
	b.counts[e.place]--
	b.counts[to]++
	e.place = to
}

// block makes e its job's blocked evaluation, or has it canceled if there is a
// newer one.
func (b *Broker) block(e *entry) {
	b.move(e, placeBlocked)
	old := e.job.blocked
	if old != nil && newer(old.eval, e.eval) {
		e.by = old.eval.ID
		b.idle[e] = struct{}{}
		return
	}
	if old != nil {
		old.by = e.eval.ID
		b.idle[old] = struct{}{}
	}
	e.job.blocked = e
	b.blocked.add(e)
}

// drop forgets e, wherever it is.
func (b *Broker) drop(e *entry) {
	q := e.job
	delete(b.evals, e.eval.ID)
	b.counts[e.place]--
	switch e.place {
	case placeFresh:
		b.fresh = remove(b.fresh, e)
	case placeDelayed:
		b.delayed.remove(e)
	case placeWaiting:
		b.ready.remove(e)
		q.head = nil
	case placeRunning:
		b.running.remove(e)
		q.running = nil
		if q.head != nil {
			b.ready.add(q.head)
		}
	case placeBlocked:
		delete(b.idle, e)
		b.blocked.remove(e)
		if q.blocked == e {
			q.blocked = nil
		}
	case placeSuperseded:
		delete(b.superseded, e)
	case placeDead:
		delete(b.dead, e)
	}
	if q.size--; q.size == 0 {
		delete(b.jobs, q.key)
	}
}

func remove(list []*entry, e *entry) []*entry {
	for i := range list {
		if list[i] == e {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

// Counts are how many evaluations are where.
type Counts struct{ Ready, Waiting, Running, Delayed, Blocked int }

// Counts returns the sizes of the queues: Ready ones wait for a worker only,
// Waiting ones for another evaluation of their job too.
func (b *Broker) Counts() Counts {
	return Counts{
		Ready:   b.ready.Len(),
		Waiting: b.counts[placeWaiting] + b.counts[placeFresh] - b.ready.Len(),
		Running: b.counts[placeRunning],
		Delayed: b.counts[placeDelayed],
		Blocked: b.counts[placeBlocked],
	}
}
