package agent

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/model"
)

// levelTrace is below slog's own levels, for names that configurations use.
const levelTrace = slog.LevelDebug - 4

// maxMonitorLines is what a slow reader of the log may lag behind before it
// loses lines: enough for a burst, little to hold.
const maxMonitorLines = 512

func parseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return levelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error", "err":
		return slog.LevelError, nil
	}
	return 0, model.Errorf(model.CodeInvalid, "Unknown log level: %q is not one of trace, debug, info, warn, error", name)
}

// Logs is the agent's log: one handler that writes to the configured outputs
// and to whoever monitors.
type Logs struct {
	mu       sync.RWMutex
	monitors map[*monitor]struct{}
	out      slog.Handler
}

type monitor struct {
	handler slog.Handler
	buf     *lineBuffer
}

// lineBuffer turns a handler's writes into messages on a channel.
type lineBuffer struct {
	mu      sync.Mutex
	lines   chan []byte
	dropped int
}

func (b *lineBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped > 0 {
		select {
		case b.lines <- []byte("[some lines were dropped: the reader is too slow]\n"):
			b.dropped = 0
		default:
		}
	}
	select {
	case b.lines <- bytes.Clone(p):
	default:
		b.dropped++
	}
	return len(p), nil
}

// NewLogs writes to w in the configured form.
func NewLogs(cfg *config.Config, w io.Writer) (*Logs, error) {
	level, err := parseLevel(cfg.LogLevel)
	if err != nil {
		return nil, err
	}
	return &Logs{monitors: map[*monitor]struct{}{}, out: newHandler(w, level, cfg.LogJSON)}, nil
}

func newHandler(w io.Writer, level slog.Level, asJSON bool) slog.Handler {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey && a.Value.Any() == levelTrace {
			a.Value = slog.StringValue("TRACE")
		}
		return a
	}}
	if asJSON {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// Logger is the root logger.
func (l *Logs) Logger() *slog.Logger { return slog.New(&fanout{logs: l, out: l.out}) }

// Monitor sends lines of at least the level until ctx ends.
func (l *Logs) Monitor(ctx context.Context, level string, asJSON bool) (<-chan []byte, error) {
	lv, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	m := &monitor{buf: &lineBuffer{lines: make(chan []byte, maxMonitorLines)}}
	m.handler = newHandler(m.buf, lv, asJSON)
	l.mu.Lock()
	l.monitors[m] = struct{}{}
	l.mu.Unlock()
	out := make(chan []byte)
	go func() {
		defer close(out)
		defer func() {
			l.mu.Lock()
			delete(l.monitors, m)
			l.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case line := <-m.buf.lines:
				select {
				case out <- line:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// fanout is the handler: the output, and a copy for every monitor with the same
// attributes and groups.
type fanout struct {
	logs *Logs
	out  slog.Handler
	wrap []func(slog.Handler) slog.Handler
}

// Enabled is true when the output or any monitor wants the level.
func (f *fanout) Enabled(ctx context.Context, level slog.Level) bool {
	if f.out.Enabled(ctx, level) {
		return true
	}
	f.logs.mu.RLock()
	defer f.logs.mu.RUnlock()
	for m := range f.logs.monitors {
		if m.handler.Enabled(ctx, level) {
			return true
		}
	}
	return false
}

// Handle writes the record everywhere it is wanted.
func (f *fanout) Handle(ctx context.Context, r slog.Record) error {
	f.logs.mu.RLock()
	for m := range f.logs.monitors {
		if !m.handler.Enabled(ctx, r.Level) {
			continue
		}
		h := m.handler
		for _, w := range f.wrap {
			h = w(h)
		}
		_ = h.Handle(ctx, r) // a lineBuffer does not fail
	}
	f.logs.mu.RUnlock()
	if !f.out.Enabled(ctx, r.Level) {
		return nil
	}
	return f.out.Handle(ctx, r)
}

func (f *fanout) with(wrap func(slog.Handler) slog.Handler) slog.Handler {
	return &fanout{logs: f.logs, out: wrap(f.out), wrap: append(f.wrap[:len(f.wrap):len(f.wrap)], wrap)}
}

// WithAttrs implements slog.Handler.
func (f *fanout) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (f *fanout) WithGroup(name string) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}
