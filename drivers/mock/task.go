package mock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/steppe-project/steppe/plugins"
)

// maxOutput bounds what a task writes in all, repetitions included.
const maxOutput = 64 << 20

// task is one scripted task.
//
//	running --run_for passed, or killed--> exited (done is closed)
type task struct {
	config  *plugins.TaskConfig
	conf    *taskConfig
	started time.Time
	done    chan struct{}

	mu       sync.Mutex
	end      *time.Timer
	printer  chan struct{} // closed when the writer of repetitions has ended
	exit     plugins.ExitResult
	finished time.Time
}

func newTask(c *plugins.TaskConfig, conf *taskConfig, started time.Time) *task {
	return &task{config: c, conf: conf, started: started, done: make(chan struct{})}
}

// run lets the task end when its time is over; a recovered task's time has run
// since its first start.
func (t *task) run(fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.started.Add(t.conf.runFor)
	t.end = time.AfterFunc(time.Until(end), func() { t.finish(t.conf.exit(), end) })
	t.printer = make(chan struct{})
	go t.repeat(fresh)
}

// finish ends the task, unless it has ended before.
func (t *task) finish(e plugins.ExitResult, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.done:
		return
	default:
	}
	t.end.Stop()
	t.exit, t.finished = e, at
	close(t.done)
}

func (t *task) exited() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// status is a copy of what is known.
func (t *task) status() *plugins.TaskStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &plugins.TaskStatus{
		ID: t.config.ID, Name: t.config.Name, State: plugins.StateRunning, StartedAt: t.started, Network: t.conf.network(),
	}
	if t.exited() {
		exit := t.exit
		s.State, s.Exit, s.CompletedAt = plugins.StateExited, &exit, t.finished
	}
	return s
}

// write puts stdout_string, with variables of the task's environment, where the
// host wants output.
func (t *task) write() error {
	if t.conf.stdout == "" {
		return nil
	}
	path, flags := t.config.StdoutPath, os.O_WRONLY|os.O_APPEND
	switch l := t.config.Logs; {
	case l != nil:
		path, flags = filepath.Join(l.Dir, l.Name+".stdout.0"), flags|os.O_CREATE
	case path == "":
		return nil
	default:
		flags = os.O_RDWR // a FIFO opens at once, reader or not
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return fmt.Errorf("write the task's output: %w", err)
	}
	_, err = f.WriteString(os.Expand(t.conf.stdout, t.getenv))
	return errors.Join(err, f.Close())
}

// getenv keeps what is no variable of the task as it is.
func (t *task) getenv(name string) string {
	if v, ok := t.config.Env[name]; ok {
		return v
	}
	return "$" + strings.TrimPrefix(name, "$")
}

// repeat writes stdout_string again, stdout_repeat times. A recovered task has
// written it all before.
func (t *task) repeat(fresh bool) {
	defer close(t.printer)
	n := t.conf.repeat
	if !fresh || t.conf.stdout == "" || n == 0 {
		return
	}
	n = min(n, maxOutput/len(t.conf.stdout))
	for range n {
		if t.conf.repeatEvery > 0 {
			select {
			case <-t.done:
				return
			case <-time.After(t.conf.repeatEvery):
			}
		}
		if t.exited() && t.conf.repeatEvery > 0 || t.write() != nil {
			return
		}
	}
}
