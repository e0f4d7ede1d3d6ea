package jobspec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"

	"github.com/steppe-project/steppe/model"
)

// Limits of what is told.
const (
	maxDiagnostics = 20  // more help nobody
	maxShownLine   = 160 // bytes of a source line
	maxWarnings    = 50
)

// diagnostic is one fault of a file.
type diagnostic struct {
	at      hcl.Range
	message string
	hint    string
}

// diagnostics collects the faults of a parse.
type diagnostics struct{ list []diagnostic }

func (d *diagnostics) add(at hcl.Range, hint, format string, args ...any) {
	d.list = append(d.list, diagnostic{at: at, message: fmt.Sprintf(format, args...), hint: hint})
}

// addHCL takes over the faults that the HCL library found.
func (d *diagnostics) addHCL(diags hcl.Diagnostics) {
	for _, h := range diags {
		if h.Severity != hcl.DiagError {
			continue
		}
		var at hcl.Range
		if h.Subject != nil {
			at = *h.Subject
		}
		d.add(at, "", "%s", strings.TrimSuffix(h.Summary, ".")+": "+strings.TrimSpace(h.Detail))
	}
}

func (d *diagnostics) failed() bool { return len(d.list) > 0 }

// err renders all faults, in the order of the file.
func (d *diagnostics) err(s *sources) error {
	list := slices.Clone(d.list)
	slices.SortStableFunc(list, func(a, b diagnostic) int {
		if c := strings.Compare(a.at.Filename, b.at.Filename); c != 0 {
			return c
		}
		return a.at.Start.Byte - b.at.Start.Byte
	})
	list = slices.CompactFunc(list, func(a, b diagnostic) bool { return a.at == b.at && a.message == b.message })
	more := ""
	if n := len(list) - maxDiagnostics; n > 0 {
		list, more = list[:maxDiagnostics], fmt.Sprintf("\nand %d more", n)
	}
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = s.render(e.at, e.message, e.hint)
	}
	return &model.Error{Code: model.CodeInvalid, Message: strings.Join(texts, "\n") + more}
}

// sources are the texts that ranges point into, by file name.
type sources struct{ text map[string][]byte }

// render shows a fault: file:line:col: message, the source line, a marker.
func (s *sources) render(at hcl.Range, message, hint string) string {
	message = printable(message)
	line, ok := s.line(at)
	if !ok {
		if hint != "" {
			message += " (" + hint + ")"
		}
		if at.Filename == "" {
			return message
		}
		return printable(at.Filename) + ": " + message
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s\n", printable(at.Filename), at.Start.Line, at.Start.Column, message)
	start := at.Start.Byte - line.offset
	width := 1
	if at.End.Line == at.Start.Line && at.End.Byte > at.Start.Byte {
		width = at.End.Byte - at.Start.Byte
	} else if at.End.Line > at.Start.Line {
		width = max(1, len(line.text)-start)
	}
	text, start, width := clip(line.text, start, width)
	fmt.Fprintf(&b, "  %s\n  %s%s", printable(text), indent(text, start), strings.Repeat("^", max(1, columns(text, start, width))))
	if hint != "" {
		b.WriteString(" " + printable(hint))
	}
	return b.String()
}

type sourceLine struct {
	text   string
	offset int // of its first byte
}

func (s *sources) line(at hcl.Range) (sourceLine, bool) {
	src, ok := s.text[at.Filename]
	pos := at.Start.Byte
	if !ok || at.Start.Line == 0 || pos < 0 || pos > len(src) {
		return sourceLine{}, false
	}
	start := bytes.LastIndexByte(src[:pos], '\n') + 1
	end := len(src)
	if n := bytes.IndexByte(src[pos:], '\n'); n >= 0 {
		end = pos + n
	}
	return sourceLine{text: strings.TrimRight(string(src[start:end]), "\r"), offset: start}, true
}

// clip keeps the part of a long line around the marker.
func clip(text string, start, width int) (string, int, int) {
	start = max(0, min(start, len(text)))
	if len(text) > maxShownLine {
		from := max(0, min(start-maxShownLine/4, len(text)-maxShownLine))
		text = strings.ToValidUTF8(text[from:from+maxShownLine], "?")
		start -= from
	}
	start = min(start, len(text))
	return text, start, min(width, len(text)-start)
}

// indent is as wide as the text before start; tabs stay tabs.
func indent(text string, start int) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, text[:start])
}

func columns(text string, start, width int) int {
	if width <= 0 {
		return 1
	}
	return len([]rune(text[start : start+width]))
}

// printable makes control characters visible, so that a job file cannot steer
// the terminal that shows its faults.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
