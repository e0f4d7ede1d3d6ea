package main

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// reasons is a slog.Handler that counts why sessions ended.
type reasons struct {
	mu     sync.Mutex
	counts map[string]int
}

// numbers are what makes one reason look like many.
var numbers = regexp.MustCompile(`[0-9]+(\.[0-9]+)*(m?s\b)?`)

// maxReasons bounds how many are told.
const maxReasons = 6

// Enabled implements slog.Handler.
func (r *reasons) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements slog.Handler.
func (r *reasons) Handle(_ context.Context, rec slog.Record) error {
	text := rec.Message
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			text += ": " + a.Value.String()
		}
		return true
	})
	text = numbers.ReplaceAllString(text, "N")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[text]++
	return nil
}

// WithAttrs implements slog.Handler.
func (r *reasons) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements slog.Handler.
func (r *reasons) WithGroup(string) slog.Handler { return r }

// take returns the most frequent reasons since the last call.
func (r *reasons) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for text, n := range r.counts {
		lines = append(lines, fmt.Sprintf("%6d %s", n, text))
	}
	clear(r.counts)
	slices.Sort(lines)
	slices.Reverse(lines)
	return strings.Join(lines[:min(len(lines), maxReasons)], "\n")
}
