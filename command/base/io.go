package base

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/mattn/go-isatty"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// IO is what a command talks through.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Client calls the agent; nil for offline commands.
	Client *api.Client
	// Live tells that talk goes to a terminal that can be redrawn.
	Live bool

	noColor             bool
	outColor, talkColor bool
	client              api.Config
}

// Colours of Paint.
const (
	Bold   = "1"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

func (o *IO) terminal() {
	o.Live = isTerminal(o.Err)
	color := !o.noColor && os.Getenv("NO_COLOR") == ""
	o.talkColor, o.outColor = color && o.Live, color && isTerminal(o.Out)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

// Say writes talk: a line to stderr.
func (o *IO) Say(format string, args ...any) { fmt.Fprintf(o.Err, format+"\n", args...) }

// Print writes data: a line to stdout.
func (o *IO) Print(format string, args ...any) { fmt.Fprintf(o.Out, format+"\n", args...) }

// Paint colours a part of talk, where talk has colours.
func (o *IO) Paint(color, text string) string {
	if !o.talkColor || color == "" {
		return text
	}
	return paint(color, text)
}

func paint(color, text string) string { return "\x1b[" + color + "m" + text + "\x1b[0m" }

// Data prints v as JSON or through a template when asked for; false means that
// the command prints its own form.
func (o *IO) Data(opts DataOptions, v any) (bool, error) {
	switch {
	case opts.JSON && opts.Template != "":
		return true, model.Errorf(model.CodeInvalid, "-json and -t exclude each other")
	case opts.JSON:
		return true, o.PrintJSON(v)
	case opts.Template != "":
		t, err := template.New("-t").Parse(opts.Template)
		if err != nil {
			return true, model.Errorf(model.CodeInvalid, "template: %w", err)
		}
		if err := t.Execute(o.Out, v); err != nil {
			return true, model.Errorf(model.CodeInvalid, "template: %w", err)
		}
		if !strings.HasSuffix(opts.Template, "\n") {
			_, err = fmt.Fprintln(o.Out)
		}
		return true, err
	}
	return false, nil
}

// PrintJSON writes v as data.
func (o *IO) PrintJSON(v any) error {
	enc := json.NewEncoder(o.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return enc.Encode(v)
}

// Table prints rows under a header as data, columns aligned.
func (o *IO) Table(header []string, rows [][]string) { WriteTable(o.Out, header, rows) }

// WriteTable prints rows under a header (nil: none), columns aligned.
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
	text = Clean(text)
	if o.outColor {
		text = paint(Bold, text)
	}
	o.Print("\n%s", text)
}
