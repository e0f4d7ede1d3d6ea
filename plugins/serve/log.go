package serve

import (
	"io"
	"log/slog"
	"os"
	"strings"
)

// LogLevelEnv is the environment variable that sets the level of Logger: debug,
// info (the default), warn or error.
const LogLevelEnv = "STEPPE_LOG_LEVEL"

// stderr is the descriptor that the host reads; go-plugin replaces os.Stderr.
var stderr = os.Stderr

// Logger writes what a plugin logs in the form that plugin hosts read: one JSON
// object a line with @level, @message, @timestamp, and @module for name.
func Logger(name string) *slog.Logger { return newLogger(stderr, name) }

func newLogger(w io.Writer, name string) *slog.Logger {
	var level slog.LevelVar
	if text := os.Getenv(LogLevelEnv); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			level.Set(slog.LevelInfo)
		}
	}
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: &level, ReplaceAttr: hclogKeys})
	return slog.New(h).With("@module", name)
}

// hclogKeys renames slog's own attributes to hclog's.
func hclogKeys(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		a.Key = "@timestamp"
	case slog.LevelKey:
		a = slog.String("@level", strings.ToLower(a.Value.String()))
	case slog.MessageKey:
		a.Key = "@message"
	}
	return a
}
