package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/model"
)

// tree makes an allocation directory with files.
func tree(t testing.TB, files map[string]string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// sink gathers frames.
type sink struct {
	mu     sync.Mutex
	data   bytes.Buffer
	events []string
	beats  int
	wrote  chan struct{}
}

func newSink() *sink { return &sink{wrote: make(chan struct{}, 1)} }

func (s *sink) send(f *msg.FileFrame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Write(f.Data)
	if f.FileEvent != "" {
		s.events = append(s.events, f.FileEvent)
	}
	if len(f.Data) == 0 && f.FileEvent == "" {
		s.beats++
	}
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	return nil
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.String()
}

func (s *sink) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-s.wrote:
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("not in time: %s; got %q %v", what, s.text(), s.events)
		}
	}
}

func TestListAndStat(t *testing.T) {
	root, _ := tree(t, map[string]string{"alloc/logs/t.stdout.0": "x", "t/local/a.html": "<html>", "t/secrets/key": "s", "t/private/p": "p"})
	list, err := List(root, "/")
	if err != nil || len(list) != 2 || list[0].Name != "alloc" || !list[0].IsDir {
		t.Fatalf("%v %v", list, err)
	}
	info, err := Stat(root, "t/local/a.html")
	if err != nil || info.Size != 6 || !strings.HasPrefix(info.ContentType, "text/html") || info.FileMode != "-rw-r--r--" {
		t.Fatalf("%+v %v", info, err)
	}
	if _, err := Stat(root, "nothing"); model.CodeOf(err) != model.CodeNotFound {
		t.Error(err)
	}
}

// TestConfined: nothing outside, nothing secret, whatever links there are.
func TestConfined(t *testing.T) {
	root, dir := tree(t, map[string]string{"t/local/x": "x", "t/secrets/key": "s", "t/private/p": "p", "alloc/data/secrets/ok": "fine"})
	for link, target := range map[string]string{
		"t/local/out": "/etc/passwd", "t/local/up": "../../../../etc/passwd", "t/local/key": "../secrets/key", "t/local/dir": "../secrets",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"t/secrets", "t/secrets/key", "/t/private/p", "t/local/../secrets/key", "t/local/out", "t/local/up", "t/local/key", "t/local/dir", "a\x00b",
	} {
		if _, err := Stat(root, name); err == nil {
			t.Errorf("%s may be read", name)
		}
		if _, err := List(root, name); err == nil {
			t.Errorf("%s may be listed", name)
		}
	}
	if _, err := Stat(root, "../../t/local/x"); err != nil {
		t.Error("a path above the root is the root:", err)
	}
	if _, err := Stat(root, "alloc/data/secrets/ok"); err != nil {
		t.Error(err)
	}
}

func TestStream(t *testing.T) {
	root, _ := tree(t, map[string]string{"f": "0123456789", "big": strings.Repeat("x", 3*MaxFrame+1)})
	for _, tc := range []struct {
		r    FileRequest
		want string
	}{
		{FileRequest{Path: "f"}, "0123456789"}, {FileRequest{Path: "f", Offset: 4, Limit: 3}, "456"}, {FileRequest{Path: "f", Origin: "end", Offset: 2}, "89"},
		{FileRequest{Path: "f", Offset: 100}, ""}, {FileRequest{Path: "f", Origin: "end", Offset: 100}, "0123456789"},
		{FileRequest{Path: "big"}, strings.Repeat("x", 3*MaxFrame+1)},
	} {
		s := newSink()
		if err := Stream(t.Context(), root, tc.r, s.send); err != nil || s.text() != tc.want {
			t.Errorf("%+v: %d bytes, %v", tc.r, len(s.text()), err)
		}
	}
	for _, bad := range []FileRequest{{Path: "."}, {Path: "f", Offset: -1}, {Path: "f", Origin: "middle"}, {Path: "none"}} {
		if err := Stream(t.Context(), root, bad, newSink().send); err == nil {
			t.Errorf("%+v accepted", bad)
		}
	}
}

func TestFollowFile(t *testing.T) {
	root, dir := tree(t, map[string]string{"f": "one"})
	s, done := newSink(), make(chan error, 1)
	go func() { done <- Stream(t.Context(), root, FileRequest{Path: "f", Follow: true}, s.send) }()
	s.await(t, "start", func() bool { return s.text() == "one" })
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.await(t, "truncated", func() bool { return s.text() == "onex" })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.events, ","); got != eventTruncated+","+eventDeleted {
		t.Errorf("events %s", got)
	}
}

func logName(n int) string { return fmt.Sprintf("alloc/logs/t.stdout.%d", n) }

func TestLogs(t *testing.T) {
	root, _ := tree(t, map[string]string{logName(9): "abc", logName(10): "def", logName(11): "g", "alloc/logs/t.stderr.0": "no", "alloc/logs/t.stdout.x": "no"})
	for _, tc := range []struct {
		from   string
		offset int64
		want   string
	}{{"start", 0, "abcdefg"}, {"start", 2, "cdefg"}, {"start", 3, "defg"}, {"end", 2, "fg"}, {"end", 100, "abcdefg"}, {"end", 0, ""}, {"start", 100, ""}} {
		s := newSink()
		err := Logs(t.Context(), root, LogRequest{Task: "t", Type: "stdout", Origin: tc.from, Offset: tc.offset}, s.send)
		if err != nil || s.text() != tc.want {
			t.Errorf("%s %d: %q %v", tc.from, tc.offset, s.text(), err)
		}
	}
	if err := Logs(t.Context(), root, LogRequest{Task: "nobody", Type: "stdout"}, newSink().send); model.CodeOf(err) != model.CodeNotFound {
		t.Error(err)
	}
	if err := Logs(t.Context(), root, LogRequest{Task: "t", Type: "stdin"}, newSink().send); model.CodeOf(err) != model.CodeInvalid {
		t.Error(err)
	}
}

// TestFollowLogs: everything that is written while files rotate away arrives,
// once, in order, and the stream ends with the task.
func TestFollowLogs(t *testing.T) {
	root, dir := tree(t, map[string]string{"alloc/logs/other": ""})
	s, done := newSink(), make(chan error, 1)
	var over atomic.Bool
	go func() {
		done <- Logs(t.Context(), root, LogRequest{Task: "t", Type: "stdout", Follow: true, Over: over.Load}, s.send)
	}()
	var want strings.Builder
	for i := range 40 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		name := filepath.Join(dir, logName(i/4))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(line)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 { // let the reader come, then remove what it has read
			s.await(t, "all so far", func() bool { return s.text() == want.String() })
			for n := range i/4 - 1 {
				_ = os.Remove(filepath.Join(dir, logName(n)))
			}
		}
	}
	over.Store(true)
	if err := <-done; err != nil || s.text() != want.String() {
		t.Fatalf("%v\n%q", err, s.text())
	}
}

func TestHeartbeatAndGoneReader(t *testing.T) {
	root, _ := tree(t, map[string]string{logName(0): "x"})
	s := newSink()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Logs(ctx, root, LogRequest{Task: "t", Type: "stdout", Follow: true}, s.send) }()
	s.await(t, "heartbeat", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.beats > 0 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	gone := errors.New("reader is gone")
	err := Logs(t.Context(), root, LogRequest{Task: "t", Type: "stdout", Follow: true}, func(*msg.FileFrame) error { return gone })
	if !errors.Is(err, gone) {
		t.Fatal(err)
	}
}

// TestSeek: any offset into any row of files begins where it says.
func TestSeek(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		files, all := map[string]string{}, ""
		first := rapid.IntRange(0, 20).Draw(rt, "first")
		for i, part := range rapid.SliceOfN(rapid.StringMatching(`[a-z]{0,5}`), 1, 5).Draw(rt, "parts") {
			files[logName(first+i)] = part
			all += part
		}
		root, _ := tree(t, files)
		offset := rapid.Int64Range(0, 30).Draw(rt, "offset")
		want := all[min(int(offset), len(all)):]
		from := "start"
		if rapid.Bool().Draw(rt, "end") {
			from, want = "end", all[max(len(all)-int(offset), 0):]
		}
		s := newSink()
		if err := Logs(context.Background(), root, LogRequest{Task: "t", Type: "stdout", Origin: from, Offset: offset}, s.send); err != nil || s.text() != want {
			rt.Fatalf("%q %s %d: %q, want %q (%v)", all, from, offset, s.text(), want, err)
		}
	})
}
