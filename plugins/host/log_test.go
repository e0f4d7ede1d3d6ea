package host

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// logged is what lineLog makes of text, written in pieces of n bytes.
func logged(text string, n int) (string, *lineLog) {
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	l := &lineLog{log: slog.New(h)}
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		_, _ = l.Write([]byte(piece))
		text = text[len(piece):]
	}
	return out.String(), l
}

func TestLineLog(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"hclog", `{"@level":"warn","@message":"low disk","@module":"podman.api","@timestamp":"2026-01-01T00:00:00Z","free":3,"at":"/var"}` + "\n",
			"level=WARN msg=\"low disk\" module=podman.api at=/var free=3\n"},
		{"trace", `{"@level":"trace","@message":"x"}` + "\n", "level=DEBUG msg=x\n"},
		{"error", `{"@level":"error","@message":"x"}` + "\r\n", "level=ERROR msg=x\n"},
		{"plain", "words\n\nmore\n", "level=DEBUG msg=words\nlevel=DEBUG msg=more\n"},
		{"other JSON", `{"a":1}` + "\n" + `{broken` + "\n", "level=DEBUG msg=\"{\\\"a\\\":1}\"\nlevel=DEBUG msg={broken\n"},
		{"panic", "fine\npanic: oh\n\ngoroutine 1\n", "level=DEBUG msg=fine\nlevel=ERROR msg=\"panic: oh\"\nlevel=ERROR msg=\"goroutine 1\"\n"},
		{"no end", "half a line", ""},
	}
	for _, c := range cases {
		for _, n := range []int{1, 7, 4096} {
			if got, _ := logged(c.in, n); got != c.want {
				t.Errorf("%s by %d:\ngot  %s\nwant %s", c.name, n, got, c.want)
			}
		}
	}
	got, l := logged(strings.Repeat("x", 3*maxLogLine), 1000)
	if strings.Count(got, "\n") < 2 || len(l.pending) > maxLogLine {
		t.Errorf("an endless line gave %d lines, %d bytes are held", strings.Count(got, "\n"), len(l.pending))
	}
	_, l = logged(strings.Repeat("noise\n", 1000)+"last words\n", 100)
	if tail := l.last(); !strings.HasSuffix(tail, "last words") || len(tail) > tailBytes {
		t.Errorf("tail %q", tail)
	}
}

func FuzzLineLog(f *testing.F) {
	f.Add([]byte("words\n{\"@level\":\"info\",\"@message\":\"x\",\"@module\":5,\"k\":[{}]}\npanic: x\n"), 3)
	f.Add([]byte("{\"@message\":1}\n\x00\xff\r\n"), 1)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		out, l := logged(string(in), max(1, n))
		if len(l.tail) > tailBytes || len(l.pending) > maxLogLine {
			t.Errorf("%d bytes of tail, %d pending", len(l.tail), len(l.pending))
		}
		if strings.Count(out, "level=") < strings.Count(out, "\n") {
			t.Errorf("a line without a level: %q", out)
		}
	})
}
