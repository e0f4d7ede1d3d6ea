package consensus

import (
	"bytes"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

// TestMain fails when goroutines outlive the tests: every one has an owner that
// waits for it, but those that wait for what raft has forgotten (await).
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	deadline := time.Now().Add(10 * time.Second)
	for code == 0 && runtime.NumGoroutine()-forgotten() > before {
		if time.Now().After(deadline) {
			_, _ = os.Stderr.WriteString("goroutines are left over:\n")
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			code = 1
		}
		time.Sleep(10 * time.Millisecond)
	}
	os.Exit(code)
}

// forgotten counts the goroutines that wait for a future that is never answered.
func forgotten() int {
	var all bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2) // a buffer takes all
	return bytes.Count(all.Bytes(), []byte("raft.(*deferError).Error("))
}
