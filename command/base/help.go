package base

import (
	"flag"
	"fmt"
	"strings"
)

// Usage is the command's form in one line.
func (c *Command) Usage() string {
	return strings.TrimSpace("steppe " + c.Name + " [options] " + c.Args)
}

// Help is the command's help text.
func (c *Command) Help() string {
	var b strings.Builder
	own, common := c.lists()
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n", c.Usage(), indent("  ", c.Synopsis+"."))
	if c.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", indent("  ", c.Long))
	}
	fmt.Fprintf(&b, "\nExample:\n\n%s\n", indent("  ", "  "+strings.ReplaceAll(c.Example, "\n", "\n  ")))
	writeFlags(&b, "Options:", own)
	writeFlags(&b, "Options of all commands:", common)
	return b.String()
}

// flagText is an option's form and its sentence with the default.
func flagText(f *flag.Flag) (form, usage string) {
	value, usage := flag.UnquoteUsage(f)
	form = "-" + f.Name
	if value != "" {
		form += "=<" + value + ">"
		usage = strings.ToUpper(usage[:1]) + usage[1:] // it may begin with the value
	}
	switch f.DefValue {
	case "", "false", "0", "-1", "0s":
	default:
		if !shared[f.Name] { // their default is the environment's
			usage += fmt.Sprintf(" Default: %s.", f.DefValue)
		}
	}
	return form, usage
}

func writeFlags(b *strings.Builder, title string, flags []*flag.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, f := range flags {
		form, usage := flagText(f)
		fmt.Fprintf(b, "\n  %s\n%s\n", form, indent("      ", usage))
	}
}

// helpWidth is where help texts wrap.
const helpWidth = 96

// indent wraps text and begins each line with pad; lines that begin with a space
// stay as they are.
func indent(pad, text string) string {
	var out []string
	for _, para := range strings.Split(text, "\n") {
		if strings.HasPrefix(para, " ") || para == "" {
			out = append(out, strings.TrimRight(pad+para, " "))
			continue
		}
		line := pad
		for _, w := range strings.Fields(para) {
			if len(line)+len(w)+1 > helpWidth && line != pad {
				out = append(out, strings.TrimRight(line, " "))
				line = pad
			}
			line += w + " "
		}
		out = append(out, strings.TrimRight(line, " "))
	}
	return strings.Join(out, "\n")
}

// Markdown is the command's page section of the manual.
func (c *Command) Markdown() string {
	var b strings.Builder
	own, _ := c.lists()
	fmt.Fprintf(&b, "## steppe %s\n\n%s.\n\n    %s\n", c.Name, c.Synopsis, c.Usage())
	if c.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.NewReplacer("\n\n", "\n\n", "\n", "\n\n", "*", `\*`).Replace(c.Long))
	}
	fmt.Fprintf(&b, "\nExample:\n\n    %s\n", strings.ReplaceAll(c.Example, "\n", "\n    "))
	if len(own) > 0 {
		b.WriteString("\n| option | meaning |\n|---|---|\n")
	}
	for _, f := range own {
		form, usage := flagText(f)
		fmt.Fprintf(&b, "| `%s` | %s |\n", form, cell(usage))
	}
	return b.String()
}

// SharedMarkdown is the table of the options that all commands of c's kind have.
func (c *Command) SharedMarkdown() string {
	var b strings.Builder
	b.WriteString("| option | meaning |\n|---|---|\n")
	_, common := c.lists()
	for _, f := range common {
		form, usage := flagText(f)
		fmt.Fprintf(&b, "| `%s` | %s |\n", form, cell(usage))
	}
	return b.String()
}

// cell makes a text fit a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ", "*", `\*`).Replace(s)
}
