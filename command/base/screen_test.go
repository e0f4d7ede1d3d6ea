package base

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// glass is a terminal that understands what a Screen writes: cursor up, erase to
// the end of the line, erase to the end of the screen.
type glass struct {
	lines    []string
	row, col int
	t        *rapid.T
}

func (g *glass) write(s string) {
	for i := 0; i < len(s); {
		if g.row == len(g.lines) {
			g.lines = append(g.lines, "")
		}
		switch c := s[i]; {
		case c == '\n':
			g.row, g.col = g.row+1, 0
		case c == '\r':
			g.col = 0
		case c == 0x1b:
			end := strings.IndexAny(s[i:], "AKJ")
			n := 0
			if _, err := fmt.Sscanf(s[i:i+end+1], "\x1b[%dA", &n); err == nil {
				g.row -= n
			} else if s[i+end] == 'K' {
				g.lines[g.row] = g.lines[g.row][:min(g.col, len(g.lines[g.row]))]
			} else {
				g.lines[g.row] = g.lines[g.row][:min(g.col, len(g.lines[g.row]))]
				g.lines = g.lines[:g.row+1]
			}
			i += end
		default:
			line := g.lines[g.row]
			for len(line) <= g.col {
				line += " "
			}
			g.lines[g.row] = line[:g.col] + string(c) + line[g.col+1:]
			g.col++
		}
		i++
		if g.row < 0 {
			g.t.Fatal("the cursor left the screen")
		}
	}
}

func (g *glass) text() string { return strings.TrimRight(strings.Join(g.lines, "\n"), "\n") }

// Whatever is drawn one after the other, the last drawing is what stands below
// what was said before.
func TestTheScreenShowsTheLastDrawing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const columns, rows = 20, 6
		var out bytes.Buffer
		s := &Screen{w: &out, paint: func(_, text string) string { return text }, size: func() (int, int) { return columns, rows }}
		g := &glass{t: t}
		g.write("said before\n")
		var want []string
		for range rapid.IntRange(1, 8).Draw(t, "drawings") {
			lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Line {
				return Line{Text: rapid.StringMatching("[a-z]{0,12}").Draw(t, "text"), Tail: rapid.StringMatching("[a-z]{0,3}").Draw(t, "tail")}
			}), 0, rows-1).Draw(t, "lines")
			out.Reset()
			s.Draw(lines)
			g.write(out.String())
			want = []string{"said before"}
			for _, l := range lines {
				want = append(want, l.Text+l.Tail)
			}
		}
		if got := g.text(); got != strings.TrimRight(strings.Join(want, "\n"), "\n") {
			t.Fatalf("on the screen:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
		}
	})
}

func TestTheScreenCutsWhatDoesNotFit(t *testing.T) {
	var out bytes.Buffer
	s := &Screen{w: &out, paint: paint, size: func() (int, int) { return 10, 3 }}
	s.Draw([]Line{{Text: "one"}, {Text: "two"}, {Text: "0123456789abc"}, {Text: "01234", Tail: "56789", Color: Red}})
	if got, want := out.String(), "01234567…\x1b[K\n01234\x1b[31m567…\x1b[0m\x1b[K\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	out.Reset()
	s.Draw(nil)
	if got, want := out.String(), "\x1b[2A\r\x1b[J"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
