package host

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
)

const (
	// maxLogLine is the longest line of a plugin that is logged whole; go-plugin's
	// own hosts read as much.
	maxLogLine = 64 << 10
	// tailBytes of what a plugin said last are told when it does not start.
	tailBytes = 2 << 10
)

// lineLog logs what a plugin writes, line by line. Lines in hclog's JSON keep
// their level and attributes; others are logged as debug, from a panic on as
// error. It never fails and never blocks longer than the logger.
type lineLog struct {
	log *slog.Logger

	mu      sync.Mutex
	pending []byte
	tail    []byte
	panicky bool
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if len(l.tail) > tailBytes {
		l.tail = append([]byte(nil), l.tail[len(l.tail)-tailBytes:]...)
	}
	l.pending = append(l.pending, p...)
	for {
		line, rest, ok := bytes.Cut(l.pending, []byte("\n"))
		if !ok {
			break
		}
		l.line(line)
		l.pending = rest
	}
	if len(l.pending) > maxLogLine {
		l.line(l.pending)
		l.pending = nil
	}
	if len(l.pending) == 0 {
		l.pending = nil
	}
	return len(p), nil
}

// last is the end of what was written, without empty lines.
func (l *lineLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.tail))
}

func (l *lineLog) line(line []byte) {
	line = bytes.TrimRight(line, "\r")
	if len(line) == 0 {
		return
	}
	var fields map[string]any
	if line[0] == '{' && json.Unmarshal(line, &fields) == nil {
		if message, ok := fields["@message"].(string); ok {
			l.structured(message, fields)
			return
		}
	}
	text := string(line)
	if strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ") {
		l.panicky = true
	}
	level := slog.LevelDebug
	if l.panicky {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, text)
}

// structured logs one of hclog's lines. The plugin's time stays out: the host's
// differs by no more than the pipe takes.
func (l *lineLog) structured(message string, fields map[string]any) {
	name, _ := fields["@level"].(string)
	level := hclogLevel(name)
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	var attrs []any
	if module, ok := fields["@module"].(string); ok && module != "" {
		attrs = append(attrs, "module", module)
	}
	for _, key := range sortedKeys(fields) {
		if !strings.HasPrefix(key, "@") {
			attrs = append(attrs, key, fields[key])
		}
	}
	l.log.Log(context.Background(), level, message, attrs...)
}

func hclogLevel(name string) slog.Level {
	switch name {
	case "info":
		return slog.LevelInfo
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelDebug
}
