package alloc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		text  string
		n     int64
		want  string
		whole bool
	}{
		{"", 1, "", false},
		{"a\nb\nc\n", 1, "c\n", true},
		{"a\nb\nc\n", 2, "b\nc\n", true},
		{"a\nb\nc\n", 3, "a\nb\nc\n", false},
		{"a\nb\nc", 1, "c", true},
		{"a\n\n\n", 2, "\n\n", true},
		{"\n", 1, "\n", false},
		{"abc", 5, "abc", false},
	} {
		got, whole := lastLines([]byte(c.text), c.n)
		if string(got) != c.want || whole != c.whole {
			t.Errorf("last %d of %q: %q %v, want %q %v", c.n, c.text, got, whole, c.want, c.whole)
		}
	}
}

// log is a text that readers follow.
type log struct {
	text    string
	more    chan string // what is written while it is followed; closed: it ends
	windows []int64
}

func (l *log) open(_ context.Context, follow bool, fromEnd int64) (io.ReadCloser, error) {
	l.windows = append(l.windows, fromEnd)
	text := l.text
	if fromEnd > 0 && fromEnd < int64(len(text)) {
		text = text[int64(len(text))-fromEnd:]
	}
	if !follow {
		return io.NopCloser(strings.NewReader(text)), nil
	}
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, text)
		for err == nil {
			more, ok := <-l.more
			if !ok {
				break
			}
			_, err = io.WriteString(w, more)
		}
		_ = w.Close()
	}()
	return r, nil
}

func tailOf(ctx context.Context, opts tail, l *log) (string, error) {
	if err := opts.check(); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err := opts.print(ctx, &base.IO{Out: &out}, l.open)
	return out.String(), err
}

func naive(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// Whatever the text and however it is asked for, the tail is its last lines; and
// following it loses nothing and says nothing twice.
func TestTailIsTheEndOfTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringMatching(`[a-z]{0,20}|[a-z]{600,700}`)
		text := ""
		for range rapid.IntRange(0, 12).Draw(t, "lines") {
			text += line.Draw(t, "line") + "\n"
		}
		if rapid.Bool().Draw(t, "unfinished") {
			text += "end"
		}
		n := rapid.IntRange(1, 15).Draw(t, "n")
		l := &log{text: text, more: make(chan string, 3)}
		got, err := tailOf(t.Context(), tail{lines: int64(n)}, l)
		if want := naive(text, n); err != nil || got != want {
			t.Fatalf("last %d of %q: %q %v, want %q", n, text, got, err, want)
		}
		close(l.more)
		got, err = tailOf(t.Context(), tail{lines: int64(n), follow: true}, l)
		if want := naive(text, n); err != nil || got != want {
			t.Fatalf("following, last %d of %q: %q %v, want %q", n, text, got, err, want)
		}
	})
}

func TestTailGoesOn(t *testing.T) {
	l := &log{text: "one\ntwo\nthree\n", more: make(chan string)}
	go func() {
		time.Sleep(2 * caughtUp) // what comes after a silence is new
		for i := range 3 {
			l.more <- fmt.Sprintf("new %d\n", i)
		}
		close(l.more)
	}()
	got, err := tailOf(t.Context(), tail{lines: 1, follow: true}, l)
	if want := "three\nnew 0\nnew 1\nnew 2\n"; err != nil || got != want {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func TestWhereTailBegins(t *testing.T) {
	text := strings.Repeat("line\n", 100)
	for _, c := range []struct {
		opts tail
		want string
	}{
		{tail{}, text}, {tail{tail: true}, strings.Repeat("line\n", tailLines)}, {tail{tail: true, lines: 2}, "line\nline\n"},
		{tail{bytes: 7}, "e\nline\n"}, {tail{tail: true, bytes: 5}, "line\n"},
	} {
		if got, err := tailOf(t.Context(), c.opts, &log{text: text}); err != nil || got != c.want {
			t.Errorf("%+v: %q %v", c.opts, got, err)
		}
	}
	for _, bad := range []tail{{lines: -1}, {bytes: -1}, {lines: 1, bytes: 1}} {
		if _, err := tailOf(t.Context(), bad, &log{}); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Long lines make it read more, and no more than it must.
func TestTailReadsMoreForLongLines(t *testing.T) {
	l := &log{text: strings.Repeat(strings.Repeat("x", 5000)+"\n", 50)}
	got, err := tailOf(t.Context(), tail{lines: 3}, l)
	if err != nil || len(got) != 3*5001 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if last := l.windows[len(l.windows)-1]; last > 100_000 {
		t.Errorf("windows %v", l.windows)
	}
}

func TestInterruptedFollowingIsNoError(t *testing.T) {
	for _, opts := range []tail{{follow: true}, {follow: true, lines: 1}} {
		ctx, cancel := context.WithCancel(t.Context())
		l := &log{text: "x\n", more: make(chan string)}
		open := func(_ context.Context, follow bool, fromEnd int64) (io.ReadCloser, error) {
			r, err := l.open(ctx, follow, fromEnd)
			if follow {
				time.AfterFunc(10*time.Millisecond, func() { cancel(); _ = r.(*io.PipeReader).CloseWithError(context.Canceled) })
			}
			return r, err
		}
		var out bytes.Buffer
		if err := opts.print(ctx, &base.IO{Out: &out}, open); err != nil {
			t.Errorf("%+v: %v", opts, err)
		}
		close(l.more)
	}
}

func TestTaskNames(t *testing.T) {
	a := &model.Allocation{ID: "0123456789", TaskGroup: "g", Job: &model.Job{TaskGroups: []*model.TaskGroup{
		{Name: "g", Tasks: []*model.Task{{Name: "web"}, {Name: "log"}}}, {Name: "h", Tasks: []*model.Task{{Name: "other"}}},
	}}}
	for _, c := range []struct{ task, want string }{
		{"web", "web"}, {"", "allocation 01234567 has several tasks, name one: web, log"},
		{"wbe", `allocation 01234567 has no task "wbe" (did you mean "web"?); it has: web, log`},
		{"other", `allocation 01234567 has no task "other"; it has: web, log`},
	} {
		got, err := taskOf(a, c.task)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %q", c.task, got)
		}
	}
	if _, err := named(a, []string{"a", "web"}, "log"); model.CodeOf(err) != model.CodeInvalid {
		t.Error("two tasks were named")
	}
	if got, err := named(a, []string{"a"}, ""); got != "" || err != nil {
		t.Error(got, err)
	}
	a.Job, a.TaskStates = nil, map[string]*model.TaskState{"only": {}}
	if got, err := taskOf(a, ""); got != "only" || err != nil {
		t.Error(got, err)
	}
}
