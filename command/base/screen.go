package base

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Size of a terminal that does not tell its own.
const (
	defaultColumns = 80
	defaultRows    = 24
)

// Line is one line of a Screen: Tail follows Text, in a colour.
type Line struct {
	Text, Tail, Color string
}

// Screen redraws a few lines at the end of a terminal in place. Each line is
// overwritten, not cleared first, so that nothing flickers; lines are cut at the
// terminal's width, since a wrapped one would count twice.
type Screen struct {
	w     io.Writer
	paint func(color, text string) string
	size  func() (columns, rows int)
	drawn int
}

// Screen returns one at the end of what has been said so far. Only for a Live IO.
func (o *IO) Screen() *Screen {
	return &Screen{w: o.Err, paint: o.Paint, size: func() (int, int) { return terminalSize(o.Err) }}
}

func terminalSize(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if c, r, err := term.GetSize(int(f.Fd())); err == nil && c > 0 && r > 0 {
			return c, r
		}
	}
	return defaultColumns, defaultRows
}

// Draw replaces what the last Draw drew. Lines above the terminal's height are
// left out, the first of them.
func (s *Screen) Draw(lines []Line) {
	columns, rows := s.size()
	if most := max(rows-1, 1); len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	var b strings.Builder
	if up := min(s.drawn, max(rows-1, 1)); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
	}
	for _, l := range lines {
		text, tail := cut(l.Text, columns-1), ""
		if left := columns - 1 - width(text); left > 0 {
			tail = cut(l.Tail, left)
		}
		b.WriteString(text)
		if tail != "" {
			b.WriteString(s.paint(l.Color, tail))
		}
		b.WriteString("\x1b[K\n")
	}
	if s.drawn > len(lines) {
		b.WriteString("\x1b[J") // fewer lines than before
	}
	_, _ = io.WriteString(s.w, b.String()) // a terminal that is gone shows nothing
	s.drawn = len(lines)
}

func width(s string) int { return len([]rune(s)) }

// cut shortens a text to at most n characters.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	if n <= 1 {
		return string(r[:max(n, 0)])
	}
	return string(r[:n-1]) + "…"
}
