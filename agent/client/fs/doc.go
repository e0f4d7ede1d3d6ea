// Package fs reads the files of allocations for people: listings, files, and
// logs across their rotation, once or as they grow.
//
// Contract and invariants:
//
//   - Every path is inside the allocation's directory, whatever links tasks have
//     made. What lies in a task's secrets and private directories is refused.
//   - Frames hold at most MaxFrame bytes. An empty frame is a heartbeat; while
//     something is followed, one comes at least every Heartbeat.
//   - Following ends when the reader goes, the file is deleted, or its writer has
//     ended and everything was sent. A reader that is slow slows only itself.
//
// Example:
//
//	err := fs.Logs(ctx, root, fs.LogRequest{Task: "web", Type: "stdout", Follow: true, Over: over}, stream.Send)
package fs

import "time"

const (
	// MaxFrame is the largest piece of a file in one frame.
	MaxFrame = 64 << 10
	// Heartbeat is how often a reader of a silent file hears something.
	Heartbeat = time.Second
	// poll is how often a followed file is looked at: people do not notice, and
	// it costs nothing that could be measured. Watches of the kernel are few.
	poll = 100 * time.Millisecond
	// MaxEntries bounds a listing.
	MaxEntries = 10_000
	// sniffed is how much of a file tells its type.
	sniffed = 512
)
