// Package space keeps room on a server's disk, so that a full one still lets
// operators act: a file that takes up space and is given up when space runs out.
//
//	    free < mark (and what of the reserve is missing), or a write failed
//	                                               free < mark with the reserve given up
//	Ample ───────────────────────────────► Short ──────────────────────► Scarce
//	  ▲     the reserve is given up          │ ▲                            │
//	  └──────────────────────────────────────┘ └────────────────────────────┘
//	     there is room for reserve and mark
//
// Contract and invariants:
//
//   - While Short, callers refuse what brings in new work; what is needed to end
//     work and to follow it goes on, in the room that the reserve left.
//   - While Scarce, callers refuse all but what removes something.
//   - The reserve is made again by itself, twice its mark above the state's edge, so
//     that states do not flap.
//   - A file system that cannot allocate has no reserve; the states hold all the same.
//
// Example:
//
//	s, err := space.Open(space.Config{Dir: dir, Logger: log})
//	go s.Run(ctx)
//	if err := s.Refuse(); err != nil { return err }
package space

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/model"
)

const (
	// DefaultReserve holds a snapshot of some hundred thousand allocations, or
	// hours of the writes that end work.
	DefaultReserve = 64 << 20
	// MinReserve is less than what one write of a large plan may need.
	MinReserve = 1 << 20
	// MaxReserve bounds what is taken away from everything else.
	MaxReserve = 16 << 30
	// maxShare bounds the reserve to a part of a small file system: a sixteenth.
	maxShare = 16
	// markShare is the part of the reserve that must be free besides it.
	markShare = 4
	// interval is how often the free space is looked at, apart from failed writes.
	interval = time.Second

	fileName = "reserve"
)

// Level is how much room there is.
type Level int32

// The levels, in falling order.
const (
	Ample Level = iota
	Short
	Scarce
)

// String names a level.
func (l Level) String() string { return [...]string{"ample", "short", "scarce"}[l] }

// Config is what a Space needs.
type Config struct {
	// Dir is watched, and holds the reserve.
	Dir string
	// Reserve is the reserve's size in bytes, MinReserve to MaxReserve; at most a
	// sixteenth of the file system is taken. 0 = DefaultReserve.
	Reserve int64
	Logger  *slog.Logger
}

// Status tells how a disk stands.
type Status struct {
	Level Level
	// FreeBytes is what the file system has free, the reserve not counted.
	FreeBytes int64
	// ReserveBytes is the size of the reserve when there is one, HeldBytes what it
	// takes up now. NeededBytes must be free for Ample to return; 0 in Ample.
	ReserveBytes, HeldBytes, NeededBytes int64
}

// Text says in words what the disk lacks.
func (s Status) Text() string {
	return fmt.Sprintf("%s, %s free, %s needed before new work is taken", s.Level, size(s.FreeBytes), size(s.NeededBytes))
}

// Space watches one directory's disk.
type Space struct {
	cfg     Config
	path    string
	reserve int64 // its size when it is there
	mark    int64

	mu      sync.Mutex
	level   Level
	held    int64
	free    int64
	refused bool // a write failed since the last look
}

// Open makes the reserve if there is room, and looks at the disk once.
func Open(cfg Config) (*Space, error) {
	if cfg.Reserve == 0 {
		cfg.Reserve = DefaultReserve
	}
	if cfg.Reserve < MinReserve || cfg.Reserve > MaxReserve {
		return nil, model.Errorf(model.CodeInvalid, "a disk reserve of %s: it must be between %s and %s",
			size(cfg.Reserve), size(MinReserve), size(MaxReserve))
	}
	s := &Space{cfg: cfg, path: filepath.Join(cfg.Dir, fileName)}
	total, _, err := s.measure()
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "the free space of %s cannot be read: %w", cfg.Dir, err)
	}
	s.reserve = min(cfg.Reserve, total/maxShare)
	s.mark = s.reserve / markShare
	if info, err := os.Stat(s.path); err == nil {
		s.held = allocated(info)
	}
	s.Look()
	return s, nil
}

// allocated is what a file takes up.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// Run looks at the disk until ctx ends.
func (s *Space) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Look()
		case <-ctx.Done():
			return
		}
	}
}

// Look measures and moves between the levels.
func (s *Space) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, free, err := s.measure()
	if err != nil {
		s.cfg.Logger.Warn("the free space of the data directory cannot be read", "dir", s.cfg.Dir, "error", err)
		return
	}
	s.free = free
	was := s.level
	switch full := s.refused; {
	case s.level == Ample && (full || free < s.reserve-s.held+s.mark):
		s.giveUp()
		s.level = Short
	case s.level != Ample && !full && free >= s.needed():
		s.level = Ample
	}
	if s.level != Ample {
		s.level = Short
		if _, free, err = s.measure(); err == nil {
			s.free = free
		}
		if s.free < s.mark {
			s.level = Scarce
		}
	}
	s.refused = false
	if s.level == Ample && s.held < s.reserve {
		s.take()
	}
	s.tell(was)
}

// needed must be free for Ample: the reserve that is missing and twice the mark.
func (s *Space) needed() int64 { return s.reserve - s.held + 2*s.mark }

// tell logs a change of level.
func (s *Space) tell(was Level) {
	switch {
	case s.level == was:
	case s.level == Ample:
		s.cfg.Logger.Info("the disk of the data directory has room again", "dir", s.cfg.Dir, "free", size(s.free))
	default:
		s.cfg.Logger.Error("the disk of the data directory is running full", "dir", s.cfg.Dir, "level", s.level.String(),
			"free", size(s.free), "needed", size(s.needed()))
	}
}

// take makes the reserve.
func (s *Space) take() {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, s.reserve), f.Close())
	}
	switch {
	case err == nil:
		s.held = s.reserve
	case errors.Is(err, unix.EOPNOTSUPP):
		s.cfg.Logger.Warn("the file system of the data directory cannot reserve space: there is no reserve for a full disk", "dir", s.cfg.Dir)
		s.reserve = 0 // the mark stays
	default:
		s.cfg.Logger.Warn("no space could be reserved in the data directory", "dir", s.cfg.Dir, "error", err)
	}
	if err != nil {
		s.giveUp()
	}
}

// giveUp frees the reserve's space; false when there was none.
func (s *Space) giveUp() bool {
	had := s.held > 0
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Logger.Error("the reserved space cannot be given up", "path", s.path, "error", err)
		return false
	}
	s.held = 0
	return had
}

// Full is told that a write failed for want of space. It gives up the reserve and
// returns whether trying again may help.
func (s *Space) Full() bool {
	s.mu.Lock()
	had := s.giveUp()
	s.refused = true
	s.mu.Unlock()
	s.Look()
	return had
}

// Status tells how the disk stands.
func (s *Space) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Level: s.level, FreeBytes: s.free, ReserveBytes: s.reserve, HeldBytes: s.held}
	if s.level != Ample {
		st.NeededBytes = s.needed()
	}
	return st
}

// Refuse is why new work is refused (CodeUnavailable), nil in Ample.
func (s *Space) Refuse() error {
	st := s.Status()
	if st.Level == Ample {
		return nil
	}
	return model.Errorf(model.CodeUnavailable,
		"the disk of the leader's data directory is full (%s free in %s): new work is refused until %s are free; free space there; reading, stopping and purging jobs, system gc, operator commands and leaving work meanwhile%s",
		size(st.FreeBytes), s.cfg.Dir, size(st.NeededBytes), map[Level]string{Scarce: " as far as the remaining space goes"}[st.Level])
}

// measure is the file system's size and what of it is free to this process.
func (s *Space) measure() (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.cfg.Dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs: %w", err)
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
