// Package logpump keeps the output of tasks whose drivers do not write log
// files themselves: they write into two FIFOs, and a pump copies from these into
// rotated files.
//
//	driver ──▶ .<task>.stdout.fifo ──▶ pump ──▶ <task>.stdout.0, .1, ...
//
// Contract and invariants:
//
//   - A FIFO always has a reader while its pump runs, so that a driver never
//     blocks on opening one nor dies of writing to one.
//   - A full disk loses output and never stops a task.
//   - A pump that is started again goes on with the highest file.
//
// Example:
//
//	pump, err := logpump.Start(logpump.Config{Dir: logs, Task: "web", MaxFiles: 10, MaxBytes: 10 << 20, Logger: log})
//	config.StdoutPath, config.StderrPath = pump.Stdout, pump.Stderr
//	pump.Stop() // after the task has ended: what it wrote last is kept
package logpump

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bufferBytes is one read: as much as a pipe holds.
	bufferBytes = 64 << 10
	// drainTime is how long a stopped pump waits for output that is on its way.
	drainTime = 50 * time.Millisecond
)

// Config is the output of one task.
type Config struct {
	Dir      string // of FIFOs and files
	Task     string
	MaxFiles int
	MaxBytes int64
	Logger   *slog.Logger
}

// Pump copies both streams of one task.
type Pump struct {
	// Stdout and Stderr are the paths of the FIFOs.
	Stdout, Stderr string

	streams []*stream
	wg      sync.WaitGroup
}

// Path is the FIFO of one stream.
func Path(dir, task, kind string) string { return filepath.Join(dir, "."+task+"."+kind+".fifo") }

// Start makes the FIFOs, unless they are there, and begins to copy.
func Start(c Config) (*Pump, error) {
	p := &Pump{Stdout: Path(c.Dir, c.Task, "stdout"), Stderr: Path(c.Dir, c.Task, "stderr")}
	for _, kind := range []string{"stdout", "stderr"} {
		s, err := open(c, kind)
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("pipe for %s: %w", kind, err)
		}
		p.streams = append(p.streams, s)
		p.wg.Go(s.run)
	}
	return p, nil
}

// Stop copies what has been written and ends the pump. The FIFOs are removed.
func (p *Pump) Stop() { p.end(true) }

// Leave does the same and leaves the FIFOs, for a later pump to go on.
func (p *Pump) Leave() { p.end(false) }

func (p *Pump) end(remove bool) {
	for _, s := range p.streams {
		if err := s.fifo.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
			s.log.Warn("cannot end a log pump", "error", err)
		}
	}
	p.wg.Wait()
	for _, s := range p.streams {
		s.close()
		if remove {
			_ = os.Remove(s.fifo.Name()) // it goes with the directory at the latest
		}
	}
	p.streams = nil
}

// stream copies one FIFO.
type stream struct {
	Config
	prefix string // of its files
	fifo   *os.File
	log    *slog.Logger

	out    *os.File
	number int
	size   int64
	lost   int64
}

func open(c Config, kind string) (*stream, error) {
	path := Path(c.Dir, c.Task, kind)
	if err := unix.Mkfifo(path, 0o622); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.Chmod(path, 0o622); err != nil { // the umask does not count
		return nil, err
	}
	// Both directions, so that there is always a writer and never an end of file.
	fifo, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if info, err := fifo.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return nil, errors.Join(fmt.Errorf("%s is not a pipe", path), err, fifo.Close())
	}
	s := &stream{Config: c, prefix: c.Task + "." + kind + ".", fifo: fifo, log: c.Logger.With("task", c.Task, "stream", kind)}
	s.number = s.highest()
	return s, nil
}

// highest is the number of the newest file.
func (s *stream) highest() int {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return 0
	}
	highest := 0
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), s.prefix); ok {
			if n, err := strconv.Atoi(rest); err == nil {
				highest = max(highest, n)
			}
		}
	}
	return highest
}

// run copies until the read deadline has passed and the FIFO is empty.
func (s *stream) run() {
	buf := make([]byte, bufferBytes)
	for {
		n, err := s.fifo.Read(buf)
		if n > 0 {
			s.write(buf[:n])
		}
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				s.log.Warn("log pump ended", "error", err)
			}
			return
		}
	}
}

// write appends to the files; what cannot be written is counted and dropped.
func (s *stream) write(data []byte) {
	for len(data) > 0 {
		if s.out == nil || s.size >= s.MaxBytes {
			if err := s.next(); err != nil {
				s.drop(len(data), err)
				return
			}
		}
		part := data[:min(int64(len(data)), s.MaxBytes-s.size)]
		n, err := s.out.Write(part)
		s.size += int64(n)
		data = data[n:]
		if err != nil {
			s.drop(len(data), err)
			return
		}
	}
}

func (s *stream) drop(n int, err error) {
	if s.lost == 0 {
		s.log.Warn("output of a task is lost", "error", err)
	}
	s.lost += int64(n)
}

// next opens the newest file, or the one after it when that is full.
func (s *stream) next() error {
	if s.out != nil {
		if err := s.out.Close(); err != nil {
			s.log.Warn("log file", "error", err)
		}
		s.out = nil
		s.number++
		_ = os.Remove(s.path(s.number - s.MaxFiles)) // there may be none yet
	}
	f, err := os.OpenFile(s.path(s.number), os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.out, s.size = f, info.Size()
	if s.size >= s.MaxBytes {
		return s.next()
	}
	return nil
}

func (s *stream) path(number int) string {
	return filepath.Join(s.Dir, s.prefix+strconv.Itoa(number))
}

func (s *stream) close() {
	err := s.fifo.Close()
	if s.out != nil {
		err = errors.Join(err, s.out.Close())
	}
	if err != nil {
		s.log.Warn("log pump", "error", err)
	}
}
