package tasks

import (
	"context"
	"sync"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

// maxEvents bounds what is kept for a slow or absent reader of events; older
// ones are dropped, because they are news and not a record.
const maxEvents = 256

// Events hands messages on tasks to whoever listens. Before anyone does, they
// are kept.
type Events struct {
	mu      sync.Mutex
	waiting []*plugins.TaskEvent
	readers map[chan *plugins.TaskEvent]bool
}

func newEvents() *Events { return &Events{readers: map[chan *plugins.TaskEvent]bool{}} }

// Emit sends a message on a task; it never blocks.
func (e *Events) Emit(c *plugins.TaskConfig, message string, annotations map[string]string) {
	ev := &plugins.TaskEvent{
		TaskID: c.ID, AllocID: c.AllocID, TaskName: c.Name,
		Timestamp: time.Now(), Message: message, Annotations: annotations,
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.readers) == 0 {
		if len(e.waiting) == maxEvents {
			e.waiting = e.waiting[1:]
		}
		e.waiting = append(e.waiting, ev)
		return
	}
	for r := range e.readers {
		push(r, ev)
	}
}

// push drops the oldest event of a full channel; only one sender holds the lock.
func push(r chan *plugins.TaskEvent, ev *plugins.TaskEvent) {
	for {
		select {
		case r <- ev:
			return
		default:
		}
		select {
		case <-r:
		default:
		}
	}
}

// Subscribe returns a channel that is closed when ctx ends.
func (e *Events) Subscribe(ctx context.Context) <-chan *plugins.TaskEvent {
	r := make(chan *plugins.TaskEvent, maxEvents)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.waiting {
		push(r, ev)
	}
	e.waiting = nil
	e.readers[r] = true
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.readers, r)
		close(r)
	})
	return r
}
