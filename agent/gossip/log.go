package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// repeatQuiet is how long a line is not repeated: a stranger sends several
	// datagrams a second.
	repeatQuiet = time.Minute
	// maxQuiet bounds the lines remembered for that.
	maxQuiet = 256
)

// sink passes memberlist's log lines on to slog.
type sink struct {
	log *slog.Logger

	mu    sync.Mutex
	quiet map[string]time.Time // line without its peer's port, until when
}

// newLogger makes the logger that memberlist wants.
func newLogger(l *slog.Logger) *log.Logger {
	return log.New(&sink{log: l, quiet: make(map[string]time.Time)}, "", 0)
}

// prefixes are the levels memberlist writes.
var prefixes = []struct {
	text  string
	level slog.Level
}{
	{"[DEBUG] ", slog.LevelDebug}, {"[INFO] ", slog.LevelInfo}, {"[WARN] ", slog.LevelWarn}, {"[ERR] ", slog.LevelError}, {"[ERROR] ", slog.LevelError},
}

// meanings give words to what memberlist says of strangers. It is their only
// trace: the library reports them nowhere else.
var meanings = []struct{ text, means string }{
	{"no installed keys could decrypt the message", "an agent of another cluster was refused: its encrypt key differs (or one of the two missed a change of the key)"},
	{"encryption is configured but remote state is not encrypted", "an agent was refused: it has no encrypt key, this cluster has one"},
	{"remote state is encrypted and encryption is not configured", "an agent was refused: it has an encrypt key, this agent has none"},
	{"discarding packet with unacceptable label", "an agent of another region was refused"},
	{"discarding stream with unacceptable label", "an agent of another region was refused"},
	{"unexpected double packet label header", "an agent of another region was refused"},
}

// Write implements io.Writer; the log package calls it once per line.
func (s *sink) Write(p []byte) (int, error) {
	line := strings.TrimPrefix(string(bytes.TrimSpace(p)), "memberlist: ")
	level := slog.LevelInfo
	for _, pre := range prefixes {
		if rest, ok := strings.CutPrefix(line, pre.text); ok {
			line, level = rest, pre.level
			break
		}
	}
	line = strings.TrimPrefix(line, "memberlist: ")
	for _, m := range meanings {
		if strings.Contains(line, m.text) {
			if s.repeated(m.means + peerOf(line)) {
				return len(p), nil
			}
			s.log.Warn(m.means, "from", peerOf(line), "detail", line)
			return len(p), nil
		}
	}
	s.log.Log(context.Background(), level, line, "component", "gossip")
	return len(p), nil
}

// repeated reports whether line was written lately, and notes it if not.
func (s *sink) repeated(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.quiet[line]) {
		return true
	}
	if len(s.quiet) >= maxQuiet {
		clear(s.quiet)
	}
	s.quiet[line] = now.Add(repeatQuiet)
	return false
}

// peerOf is the host in memberlist's "from=host:port" at the end of a line.
func peerOf(line string) string {
	_, from, ok := strings.Cut(line, "from=")
	if !ok {
		return ""
	}
	from, _, _ = strings.Cut(from, " ")
	if i := strings.LastIndexByte(from, ':'); i > 0 {
		from = from[:i]
	}
	return from
}
