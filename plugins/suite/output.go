package suite

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/steppe-project/steppe/plugins"
)

// maxLogBytes is the rotation size that tasks of the suite get; no case but
// those on rotation writes as much.
const maxLogBytes = 10 << 20

// outputs holds, by task id, what a driver that does not rotate logs itself
// wrote to its FIFOs.
var outputs sync.Map

// attachOutput gives c a place for its output: rotated files for a driver that
// writes them, else FIFOs that are read until the test ends.
func (e *env) attachOutput(t *testing.T, c *plugins.TaskConfig) {
	t.Helper()
	dir := filepath.Join(c.AllocDir, "alloc", "logs")
	if e.caps.RotatesLogs {
		c.Logs = &plugins.LogRotation{Dir: dir, Name: c.Name, MaxFiles: 3, MaxBytes: maxLogBytes}
		return
	}
	c.StdoutPath = filepath.Join(dir, "."+c.Name+".stdout.fifo")
	c.StderrPath = filepath.Join(dir, "."+c.Name+".stderr.fifo")
	for kind, path := range map[string]string{"stdout": c.StdoutPath, "stderr": c.StderrPath} {
		if err := syscall.Mkfifo(path, 0o666); err != nil {
			t.Fatal(err)
		}
		buffer := &lockedBuffer{}
		outputs.Store(c.ID+"/"+kind, buffer)
		// Open for both ways: it neither blocks nor ends when a writer leaves.
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(buffer, f) // ends when f is closed
		}()
		t.Cleanup(func() {
			f.Close()
			<-done
		})
	}
}

// output is what the task has written so far to "stdout" or "stderr".
func output(t *testing.T, c *plugins.TaskConfig, kind string) string {
	t.Helper()
	if c.Logs == nil {
		b, _ := outputs.Load(c.ID + "/" + kind)
		return b.(*lockedBuffer).String()
	}
	data, err := os.ReadFile(filepath.Join(c.Logs.Dir, c.Logs.Name+"."+kind+".0"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}
