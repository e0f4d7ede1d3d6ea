package base

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/agext/levenshtein"
	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"

	"github.com/steppe-project/steppe/model"
)

func (o *IO) terminal() {
	f, ok := o.Out.(*os.File)
	o.Live = ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
	o.Color = o.Live && !o.noColor && os.Getenv("NO_COLOR") == ""
}

// Data prints v as JSON or through a template when asked for; false means that
// the command prints its own form.
func (o *IO) Data(opts DataOptions, v any) (bool, error) {
	switch {
	case opts.JSON && opts.Template != "":
		return true, model.Errorf(model.CodeInvalid, "-json and -t exclude each other")
	case opts.JSON:
		enc := json.NewEncoder(o.Out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "    ")
		return true, enc.Encode(v)
	case opts.Template != "":
		t, err := template.New("-t").Parse(opts.Template)
		if err != nil {
			return true, model.Errorf(model.CodeInvalid, "template: %w", err)
		}
		if err := t.Execute(o.Out, v); err != nil {
			return true, model.Errorf(model.CodeInvalid, "template: %w", err)
		}
		if !strings.HasSuffix(opts.Template, "\n") {
			fmt.Fprintln(o.Out)
		}
		return true, nil
	}
	return false, nil
}

// Table prints rows under a header, columns aligned.
func (o *IO) Table(header []string, rows [][]string) { WriteTable(o.Out, header, rows) }

// WriteTable prints rows under a header, columns aligned.
func WriteTable(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if header != nil {
		fmt.Fprintln(t, strings.Join(header, "\t"))
	}
	for _, r := range rows {
		for i := range r {
			r[i] = Clean(r[i])
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	_ = t.Flush() // the writer's error shows at the next write
}

// Fields prints names and values, one a line.
func (o *IO) Fields(pairs ...string) {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		width = max(width, len(pairs[i]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		o.Print("%-*s = %s", width, pairs[i], Clean(pairs[i+1]))
	}
}

// Title prints a heading.
func (o *IO) Title(text string) {
	if o.Color {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	o.Print("\n%s", text)
}

// Clean makes a text from elsewhere safe for a terminal: control characters show
// as their escapes.
func Clean(s string) string {
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, "\\x%02x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// ShortID is the first 8 characters, or the whole id when verbose.
func ShortID(id string, verbose bool) string {
	if verbose || len(id) <= 8 {
		return id
	}
	return id[:8]
}

// Ago says how long ago unix nanoseconds were.
func Ago(ns int64) string {
	if ns == 0 {
		return "-"
	}
	return Age(time.Since(time.Unix(0, ns))) + " ago"
}

// Age is a duration as people say it: two units at most.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Time is a moment as tables show it.
func Time(t time.Time) string {
	if t.IsZero() || t.UnixNano() <= 0 {
		return "-"
	}
	return t.Local().Format("2006-01-02T15:04:05Z07:00")
}

// Closest returns the candidate nearest to word, or "" when none is near.
func Closest(word string, candidates []string) string {
	best, dist := "", 3
	for _, c := range candidates {
		if d := levenshtein.Distance(word, c, nil); d < dist && d < len(c) {
			best, dist = c, d
		}
	}
	return best
}

// Dash is "-" for an empty text.
func Dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// YesNo is true or false as text.
func YesNo(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// Bytes is a size in units.
func Bytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
